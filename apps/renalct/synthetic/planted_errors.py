"""Errors of annotators, planted into good labels: what the checks of labels shall find, and how often they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from renalct.core.labels import KNOWN_CLASSES, Side, Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.imaging.label_findings import NOTHING_STATED, Arrangement, Finding, FindingKind, NamedSide, Statements
from renalct.synthetic import planted_shapes as shapes
from renalct.synthetic.fields import random_streams
from renalct.synthetic.masses import MassSpec
from renalct.synthetic.phantom import make_phantom
from renalct.synthetic.planted_subject import Booleans, Harm, Subject, kidneys_by_side, objects, opposite
from renalct.synthetic.settings import Coverage, random_settings

_NEAR_MM = 15.0


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labels that are taken to be good, their image (None: not known), and what is stated of them."""

    name: str
    volume: CTVolume | None = field(repr=False)
    label_map: LabelMap = field(repr=False)
    stated: Statements = NOTHING_STATED


@dataclass(frozen=True, eq=False)
class Planted:
    """Labels with one error of a kind; `where` are the voxels that are wrong (None: no single place)."""

    kind: FindingKind
    strength: str
    labelled: Labelled = field(repr=False)
    where: Booleans | None = field(default=None, repr=False)

    def is_found(self, findings: Sequence[Finding]) -> bool:
        """Whether a finding of this kind is among them, and within 15 mm of the error where both have a place."""
        return any(finding.kind is self.kind and self._near(finding) for finding in findings)

    def _near(self, finding: Finding) -> bool:
        if self.where is None or finding.place is None:
            return True
        spacing = self.labelled.label_map.grid.spacing_mm
        offsets = (np.argwhere(self.where) - np.asarray(finding.place.voxel)) * spacing
        return bool(np.sqrt((offsets**2).sum(axis=1)).min() <= _NEAR_MM)


def good_labels(volume: CTVolume | None, label_map: LabelMap, *, name: str) -> Labelled:
    """Labels whose every structure is stated to be present or absent, as one says who has looked for all of them.

    One kidney alone is stated to be a single one.
    """
    found = frozenset(Structure(int(v)) for v in np.unique(label_map.values) if v)
    kidneys = objects(label_map.values == Structure.KIDNEY, least_voxels=5.0 / label_map.grid.voxel_ml)
    arrangement = {0: Arrangement.NONE, 1: Arrangement.SINGLE}.get(len(kidneys), Arrangement.USUAL)
    absent = frozenset(s for s in Structure if s) - found
    return Labelled(name, volume, label_map, Statements(present=found, absent=absent, kidneys=arrangement))


def made_labels(seed: int, *, finest_mm: tuple[float, float] = (1.2, 2.0)) -> Labelled:
    """The true labels of a made abdomen with two kidneys and two to four masses, in slices as clinics make them.

    `finest_mm` are the least spacings in and across slices.
    """
    rng = np.random.default_rng((seed, 92))
    drawn = random_settings(rng)
    plane, thick = (max(a, b) for a, b in zip(finest_mm, drawn.spacing_mm[1:], strict=True))
    masses = tuple(
        MassSpec(KNOWN_CLASSES[int(rng.integers(3))], float(np.exp(rng.uniform(np.log(8), np.log(45)))), side)
        for side in (Side.LEFT, Side.RIGHT)
        for _ in range(int(rng.integers(1, 3)))
    )
    settings = replace(
        drawn, spacing_mm=(plane, plane, thick), field_mm=(370.0, 300.0, 300.0), field_shift_mm=(0.0, 0.0, 0.0),
        coverage=Coverage.ABDOMEN, kidneys=(Side.LEFT, Side.RIGHT), masses=masses,
    )  # fmt: skip
    phantom = make_phantom(settings, seed=seed)
    return good_labels(phantom.volumes[0], phantom.label_map, name=f"phantom_{seed:05d}")


def planted(labelled: Labelled, *, seed: int) -> Iterator[Planted]:
    """The labels with one error after the other, every kind in several strengths; the same seed, the same errors.

    An error that these labels leave no room for (a gap in a mass where there is none) is left out.
    """
    if labelled.volume is None:
        raise ValueError("errors are planted into labels with their image")
    streams = random_streams(seed, 91)
    subject = Subject(labelled.volume, labelled.label_map)
    for kind, strength, harm in ERRORS:
        harmed = harm(subject, next(streams))
        if harmed is not None:
            values = np.asfortranarray(harmed.values)
            label_map = LabelMap(values, labelled.label_map.grid)
            stated = _restated(labelled.stated, values)
            yield Planted(kind, strength, replace(labelled, label_map=label_map, stated=stated), harmed.where)
    yield from _misstated(labelled)


def _restated(stated: Statements, values: NDArray[np.uint8]) -> Statements:
    """The statements of somebody who believes in the harmed labels."""
    found = frozenset(Structure(int(v)) for v in np.unique(values) if v)
    masses = frozenset(Structure) - {Structure.BACKGROUND, Structure.KIDNEY}
    return replace(stated, present=found, absent=masses - found)


def _misstated(labelled: Labelled) -> Iterator[Planted]:
    """Good voxels with statements that are missing, wrong, or on the wrong side."""
    stated = labelled.stated
    for structure in (Structure.TUMOR, Structure.CYST):
        if structure in stated.absent:
            silent = replace(labelled, stated=replace(stated, absent=stated.absent - {structure}))
            yield Planted(FindingKind.EMPTY_CLASS, f"{structure.title}, nothing said", silent)
        else:
            values = labelled.label_map.values.copy(order="F")
            values[values == structure] = Structure.KIDNEY
            silent = replace(labelled, label_map=LabelMap(values, labelled.label_map.grid))
            silent = replace(silent, stated=replace(stated, present=stated.present - {structure}))
            yield Planted(FindingKind.EMPTY_CLASS, f"{structure.title} erased", silent)
            denied = replace(stated, present=stated.present - {structure}, absent=stated.absent | {structure})
            yield Planted(FindingKind.PRESENCE, f"{structure.title} denied", replace(labelled, stated=denied))
    sided = tuple(
        NamedSide(opposite(side), Structure.KIDNEY, mask) for side, mask in kidneys_by_side(labelled.label_map)
    )
    if len(sided) == 2:
        for count, strength in ((2, "both names"), (1, "one name")):
            named = replace(stated, sided=sided[:count])
            yield Planted(FindingKind.SIDE_NAMES, strength, replace(labelled, stated=named))


Planting = Callable[[Subject, np.random.Generator], Harm | None]


@dataclass(frozen=True)
class _With:
    """A way to plant an error, with its strength."""

    harm: Callable[..., Harm | None]
    values: tuple[object, ...]

    def __call__(self, subject: Subject, rng: np.random.Generator) -> Harm | None:
        return self.harm(subject, rng, *self.values)


def _graded(
    kind: FindingKind, harm: Callable[..., Harm | None], *grades: tuple[str, object] | tuple[str, object, object]
) -> tuple[tuple[FindingKind, str, Planting], ...]:
    return tuple((kind, words, _With(harm, tuple(values))) for words, *values in grades)


S = Structure
ERRORS: tuple[tuple[FindingKind, str, Planting], ...] = (
    *_graded(FindingKind.MASS_APART, shapes.mass_beside, ("4 mm away", 4.0), ("8 mm away", 8.0), ("12 mm away", 12.0)),
    *_graded(FindingKind.MASS_FAR, shapes.mass_beside, ("30 mm away", 30.0), ("60 mm away", 60.0)),
    *_graded(
        FindingKind.HOLE, shapes.hole, ("4 mm, kidney", S.KIDNEY, 4.0), ("7 mm, kidney", S.KIDNEY, 7.0),
        ("4 mm, mass", S.TUMOR, 4.0), ("8 mm, mass", S.TUMOR, 8.0), ("4 mm, cyst", S.CYST, 4.0),
    ),
    *_graded(
        FindingKind.ISLAND, shapes.stray, ("one voxel of tumor", S.TUMOR, 0.0), ("3 mm of kidney", S.KIDNEY, 3.0),
        ("6 mm of kidney", S.KIDNEY, 6.0),
    ),
    *_graded(
        FindingKind.MIRRORED, shapes.mirrored, ("left and right", (0,)), ("front and back", (1,)),
        ("head and feet", (2,)), ("turned by 180 degrees", (0, 1)),
    ),
    *_graded(FindingKind.KIDNEY_COUNT, shapes.without_kidney, ("one is missing", 1), ("both are missing", 2)),
    *_graded(FindingKind.KIDNEY_COUNT, shapes.third_kidney, ("one of 15 ml too many", 15.0), ("one of 60 ml", 60.0)),
    *_graded(FindingKind.KIDNEY_VOLUME, shapes.unfinished, ("20 % of a kidney", 0.2), ("30 % of a kidney", 0.3)),
    *_graded(FindingKind.KIDNEY_VOLUME, shapes.swollen, ("550 ml", 550.0), ("800 ml", 800.0)),
    *_graded(
        FindingKind.HU_CONTRADICTS, shapes.renamed, ("tumor called cyst", S.TUMOR, S.CYST),
        ("tumor called angiomyolipoma", S.TUMOR, S.ANGIOMYOLIPOMA), ("cyst called tumor", S.CYST, S.TUMOR),
    ),
    *_graded(FindingKind.HU_CONTRADICTS, shapes.in_fat, ("12 mm of fat as tumor", 12.0), ("20 mm of fat", 20.0)),
    *_graded(
        FindingKind.SLICE_GAP, shapes.gap, ("1 slice, kidney", S.KIDNEY, 1), ("3 slices, kidney", S.KIDNEY, 3),
        ("1 slice, mass", S.TUMOR, 1), ("2 slices, mass", S.TUMOR, 2), ("1 slice, cyst", S.CYST, 1),
    ),
    *_graded(FindingKind.OUTSIDE_BODY, shapes.in_air, ("8 mm", 8.0), ("15 mm", 15.0)),
    *_graded(FindingKind.IN_BONE, shapes.in_bone, ("10 mm", 10.0), ("16 mm", 16.0)),
    *_graded(FindingKind.DUPLICATE, shapes.copied, ("mass", S.TUMOR), ("cyst", S.CYST), ("kidney", S.KIDNEY)),
    *_graded(FindingKind.SINGLE_SLICE, shapes.disc, ("disc of 12 mm", 12.0), ("disc of 25 mm", 25.0)),
)  # fmt: skip
"""Kind, strength, and how it is planted."""
