"""Labels corrected by clicks and scribbles: what is near them changes, all else stays as it was.

A click says what the voxel under it is. What may change with it is what the click contradicts: a click for a mass on
kidney or background takes from both, any other click takes only from the structure under it; a click that agrees
with the labels takes nothing, and holds its place against others. So no edit changes a segment that was not clicked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.errors import InputError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.learning.interaction_walk import USUAL_WALK, Floats, Mask, WalkSettings, walk

Voxel = tuple[int, int, int]
_ORGANS = frozenset({Structure.BACKGROUND, Structure.KIDNEY})


@dataclass(frozen=True)
class Click:
    """What an annotator says the voxel (i, j, k) is; `BACKGROUND` for none of the structures."""

    structure: Structure
    voxel: Voxel


@dataclass(frozen=True, eq=False)
class Scribbles:
    """Strokes over what is `structure` and over what is not, on the image's grid; nothing changes outside `box`."""

    structure: Structure
    foreground: Mask = field(repr=False)
    background: Mask = field(repr=False)
    box: Box | None = None


@dataclass(frozen=True)
class EditSettings:
    """How far an edit reaches, and how much its evidence counts. Logits: 0 is undecided, 2 is 7 to 1.

    `radius_mm` bounds what one click changes, `seed_mm` is the ball that is certain. The CT numbers' evidence is
    limited, because neighbors of a mass often have its CT numbers.
    `whole_mass` favors that a mass that is clicked away, or is of another class, is so as a whole.
    """

    radius_mm: float = 30.0
    seed_mm: float = 2.5
    scribble_margin_mm: float = 15.0
    most_from_hu: float = 3.0
    far_away: float = 2.0
    whole_mass: float = 2.5
    before: float = 1.0
    least_spread_hu: float = 12.0
    bin_hu: float = 10.0
    walk: WalkSettings = USUAL_WALK


DEFAULT = EditSettings()


def with_clicks(
    volume: CTVolume,
    labels: LabelMap,
    clicks: Sequence[Click],
    *,
    frozen: Iterable[Structure] = (),
    settings: EditSettings = DEFAULT,
) -> LabelMap:
    """The labels with all clicks taken into account; the order of the clicks does not matter.

    Voxels of a `frozen` structure keep it, and no voxel becomes one. Raises `InputError` for a click outside the
    image, and `LabelError` for two clicks that call one voxel different things.
    """
    _check(clicks, labels.grid)
    held = frozenset(frozen)
    values = np.array(labels.values, order="K")
    best = np.full(values.shape, 0.5, np.float32)
    wanted = {click.structure for click in clicks if labels.values[click.voxel] != click.structure} - held
    for structure in sorted(wanted):
        own = [c for c in clicks if c.structure is structure and labels.values[c.voxel] != structure]
        own = [c for c in own if Structure(int(labels.values[c.voxel])) not in held]
        if not own:
            continue
        box = _around([c.voxel for c in own], labels.grid, settings.radius_mm)
        others = [c.voxel for c in clicks if c.structure is not structure]
        x = _click_walk(volume, labels, own, others, box, held, settings)
        better = x > best[box.slices]
        values[box.slices][better] = structure
        best[box.slices][better] = x[better]
    return LabelMap(values, labels.grid)


def with_scribbles(
    volume: CTVolume, labels: LabelMap, scribbles: Scribbles, *, settings: EditSettings = DEFAULT
) -> LabelMap:
    """The labels with `scribbles.structure` drawn anew between the strokes; other segments lose only what was
    stroked as foreground.

    What leaves the structure becomes background, or kidney where a mass lies within one. Raises `InputError` when no
    stroke marks the structure.
    """
    if not scribbles.foreground.any():
        raise InputError("there is no foreground scribble; draw one over the structure, and update again")
    structure, grid = scribbles.structure, labels.grid
    strokes = scribbles.foreground | scribbles.background
    margin = [int(np.ceil(settings.scribble_margin_mm / mm)) for mm in grid.spacing_mm]
    box = scribbles.box or Box.around(strokes).grown(margin, grid.shape)
    foreground, background = scribbles.foreground[box.slices], scribbles.background[box.slices]
    before = labels.values[box.slices]
    hu = volume.hu[box.slices].astype(np.float32)
    under = {Structure(int(v)) for v in np.unique(before[foreground])}
    taken = under | {structure, Structure.BACKGROUND} | ({Structure.KIDNEY} if structure not in _ORGANS else set())
    free = np.isin(before, [int(s) for s in taken])
    inside = _log_density(hu, hu[foreground], settings)
    outside = _log_density(hu, hu[background] if background.any() else hu[free & (before != structure)], settings)
    logit = np.clip(inside - outside, -settings.most_from_hu, settings.most_from_hu)
    logit += np.where(before == structure, settings.before, -settings.before)
    x = walk(
        hu, grid.spacing_mm, changed=foreground, kept=background & ~foreground, free=free, prior=_probability(logit),
        settings=settings.walk,
    )  # fmt: skip
    chosen = _touching(x > 0.5, foreground | (before == structure))
    values = np.array(labels.values, order="K")
    part = values[box.slices]
    around = Structure.KIDNEY if structure not in _ORGANS and (before == Structure.KIDNEY).any() else None
    left = (before == structure) & ~chosen
    part[left] = Structure.BACKGROUND if around is None else _filled_from_kidney(before, left)
    part[chosen] = structure
    return LabelMap(values, grid)


def _click_walk(
    volume: CTVolume,
    labels: LabelMap,
    own: Sequence[Click],
    others: Sequence[Voxel],
    box: Box,
    held: frozenset[Structure],
    settings: EditSettings,
) -> Floats:
    """How probable it is that each voxel of the box becomes the structure of the clicks."""
    spacing, before = labels.grid.spacing_mm, labels.values[box.slices]
    hu = volume.hu[box.slices].astype(np.float32)
    logit = np.full(before.shape, -np.inf, np.float32)
    seeds = np.zeros(before.shape, bool)
    for click in own:
        distance = _distance_mm(click.voxel, box, spacing)
        taken = [int(s) for s in _takes(click.structure, Structure(int(labels.values[click.voxel]))) - held]
        may = np.isin(before, taken) & (distance <= settings.radius_mm)
        seed = may & (distance <= settings.seed_mm) & (before == labels.values[click.voxel])
        seed[tuple(v - start for v, start in zip(click.voxel, box.start, strict=True))] = True
        evidence = _evidence(hu, before, click, seed, may, labels, settings)
        evidence -= settings.far_away * distance / settings.radius_mm
        np.maximum(logit, np.where(may, evidence, -np.inf), out=logit)
        seeds |= seed
    kept = np.zeros(before.shape, bool)
    for voxel in others:
        kept |= _distance_mm(voxel, box, spacing) <= settings.seed_mm
        index = tuple(v - start for v, start in zip(voxel, box.start, strict=True))
        if all(0 <= v < n for v, n in zip(index, before.shape, strict=True)):
            kept[index] = True
            seeds[index] = False
    free = np.isfinite(logit)
    kept &= ~seeds
    prior = _probability(np.where(free, logit, 0))
    x = walk(hu, spacing, changed=seeds, kept=kept & free, free=free, prior=prior, settings=settings.walk)
    return np.where(_touching(x > 0.5, seeds), x, np.float32(0))


def _takes(structure: Structure, under: Structure) -> frozenset[Structure]:
    """The structures from which a click takes voxels."""
    if structure not in _ORGANS and under in _ORGANS:
        return _ORGANS
    return frozenset({under})


def _evidence(
    hu: Floats,
    before: NDArray[np.uint8],
    click: Click,
    seed: Mask,
    may: Mask,
    labels: LabelMap,
    settings: EditSettings,
) -> Floats:
    """The logit, from CT numbers, that a voxel is what the click says rather than what it was."""
    inside = _log_density(hu, hu[seed], settings)
    logit = np.zeros(hu.shape, np.float32)
    for value in np.unique(before[may]):
        part = may & (before == value)
        outside = _log_density(hu, hu[part], settings)
        logit[part] = np.clip(inside - outside, -settings.most_from_hu, settings.most_from_hu)[part]
    under = Structure(int(labels.values[click.voxel]))
    if under not in _ORGANS:
        whole = _touching(before == under, seed)
        logit += np.where(whole, settings.whole_mass, 0).astype(np.float32)
    return logit


def _log_density(hu: Floats, sample: Floats, settings: EditSettings) -> Floats:
    """The logarithm of a smooth histogram of a sample, looked up at every voxel."""
    low, high = -250.0, 450.0
    edges = np.arange(low, high + settings.bin_hu, settings.bin_hu)
    counts, _ = np.histogram(np.clip(sample, low, high - 1), edges)
    spread = max(settings.least_spread_hu, 1.4826 * float(np.median(np.abs(sample - np.median(sample)))) / 2)
    density = ndimage.gaussian_filter1d(counts.astype(np.float64), spread / settings.bin_hu, mode="nearest")
    density = (density / max(density.sum(), 1)) + 1e-3
    index = np.clip(((hu - low) / settings.bin_hu).astype(np.intp), 0, len(density) - 1)
    found: Floats = np.log(density)[index].astype(np.float32)
    return found


def _touching(mask: Mask, seeds: Mask) -> Mask:
    """The 26-connected components of a mask that hold a seed."""
    numbered, _ = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    wanted = np.unique(numbered[seeds & mask])
    found: Mask = np.isin(numbered, wanted[wanted > 0])
    return found


def _filled_from_kidney(before: NDArray[np.uint8], left: Mask) -> NDArray[np.uint8]:
    """For each voxel that leaves a mass: kidney or background, whichever is nearer."""
    unknown = ~np.isin(before, [int(s) for s in _ORGANS])
    nearest = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
    found: NDArray[np.uint8] = before[tuple(nearest)][left]
    return found


def _probability(logit: Floats) -> Floats:
    return (1 / (1 + np.exp(-logit))).astype(np.float32)


def _distance_mm(voxel: Voxel, box: Box, spacing_mm: tuple[float, float, float]) -> Floats:
    axes = [(np.arange(a, b) - v) * mm for a, b, v, mm in zip(box.start, box.stop, voxel, spacing_mm, strict=True)]
    i, j, k = np.meshgrid(*axes, indexing="ij", sparse=True)
    distance: Floats = np.sqrt(i**2 + j**2 + k**2).astype(np.float32)
    return distance


def _around(voxels: Sequence[Voxel], grid: Grid, radius_mm: float) -> Box:
    low, high = np.min(voxels, axis=0), np.max(voxels, axis=0)
    margin = [int(np.ceil(radius_mm / mm)) for mm in grid.spacing_mm]
    return Box(tuple(map(int, low)), tuple(int(v) + 1 for v in high)).grown(margin, grid.shape)  # type: ignore[arg-type]


def _check(clicks: Sequence[Click], grid: Grid) -> None:
    said: dict[Voxel, Structure] = {}
    for click in clicks:
        if not all(0 <= v < n for v, n in zip(click.voxel, grid.shape, strict=True)):
            size = " x ".join(map(str, grid.shape))
            raise InputError(f"the click at {click.voxel} lies outside the image of {size} voxels; click on the image")
        if said.setdefault(click.voxel, click.structure) is not click.structure:
            raise LabelError(
                f"the voxel {click.voxel} is clicked as {said[click.voxel].title} and as {click.structure.title}; "
                "remove one of the clicks"
            )
