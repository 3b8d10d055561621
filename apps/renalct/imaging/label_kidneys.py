"""Checks of the kidneys as organs: how many, how large, on which side, and whether the labels fit the image at all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.labels import Side, Structure
from renalct.core.volume import CTVolume
from renalct.imaging.label_findings import Arrangement, CheckSettings, Finding, FindingKind, Place, Severity, Statements
from renalct.imaging.label_scene import Piece, Scene
from renalct.imaging.measure import body_midline_mm, centroid_mm

_EXPECTED = {
    Arrangement.USUAL: range(2, 3),
    Arrangement.SINGLE: range(1, 2),
    Arrangement.HORSESHOE: range(1, 3),
    Arrangement.TRANSPLANT: range(1, 5),
    Arrangement.NONE: range(1),
}
_WHOLE_COVER_MM = 120.0
_SAMPLES = 20000
_AXIS_WORDS = ("left and right", "front and back", "head and feet")


def kidney_pieces(scene: Scene, settings: CheckSettings) -> tuple[Piece, ...]:
    """The labelled objects that hold enough kidney to be one."""
    least = settings.kidney_ml / scene.grid.voxel_ml
    return tuple(organ for organ in scene.organs if _kidney_voxels(scene, organ) >= least)


def find_kidney_count(scene: Scene | None, stated: Statements, settings: CheckSettings) -> Iterator[Finding]:
    """Another number of kidneys than the patient has as stated; without a scene nothing at all is labelled."""
    kidneys = kidney_pieces(scene, settings) if scene else ()
    expected = _EXPECTED[stated.kidneys]
    silent = stated.absent | stated.not_assessed
    if len(kidneys) in expected or Structure.KIDNEY in silent:
        return
    cut = scene is not None and _is_cut(scene, kidneys)
    found = {0: "No kidney is", 1: "Only one kidney is"}.get(len(kidneys), f"{len(kidneys)} kidneys are")
    advice = "label the other, or say so (kidneys: single, horseshoe or none)"
    if len(kidneys) > max(expected):
        advice = "remove what is no kidney, join what is one, or say so (kidneys: transplant)"
    if not kidneys:
        advice = "label them, or say that there is none (kidneys: none)"
    severity = Severity.NOTE if cut else Severity.WARNING if kidneys else Severity.ERROR
    place = scene.place(kidneys[-1]) if scene and kidneys else None
    usual = (
        "" if stated.kidneys is Arrangement.USUAL else f" although the patient is said to have: {stated.kidneys.value}"
    )
    yield Finding(FindingKind.KIDNEY_COUNT, severity, f"{found} labelled{usual}; {advice}.", Structure.KIDNEY, place)


def find_kidney_volumes(scene: Scene, stated: Statements, settings: CheckSettings) -> Iterator[Finding]:
    """Kidneys that are whole in the image and far from the usual volume.

    Too small is judged with the masses, too large without them: a large mass takes the place of parenchyma.
    """
    if stated.kidneys is not Arrangement.USUAL:
        return
    for organ in kidney_pieces(scene, settings):
        if scene.at_image_end(organ):
            continue
        own_ml = _kidney_voxels(scene, organ) * scene.grid.voxel_ml
        whole_ml = organ.count * scene.grid.voxel_ml
        low, high = ((math.log(ml) - settings.usual_ln_ml) / settings.usual_ln_sd for ml in (whole_ml, own_ml))
        if low >= -settings.unusual_z and high <= settings.unusual_z:
            continue
        ml, z = (whole_ml, low) if low < -settings.unusual_z else (own_ml, high)
        place = scene.place(organ)
        least, most = (math.exp(settings.usual_ln_ml + n * settings.usual_ln_sd) for n in (-2, 2))
        sentence = (
            f"The kidney on {place.words} has {ml:.0f} ml (z = {z:+.1f}; 95 % have {least:.0f} to {most:.0f} ml): "
            f"{'complete its label' if z < 0 else 'see whether it holds another organ or both kidneys'}."
        )
        yield Finding(FindingKind.KIDNEY_VOLUME, Severity.WARNING, sentence, Structure.KIDNEY, place, ml * 1000.0)


def find_named_sides(
    scene: Scene, volume: CTVolume | None, stated: Statements, settings: CheckSettings
) -> Iterator[Finding]:
    """Segments that a name puts on one side of the patient and their voxels on the other."""
    named = [side for side in stated.sided if side.mask.count]
    if not named:
        return
    centers = [centroid_mm(side.mask, scene.grid)[0] for side in named]
    middle = _middle_mm(scene, volume, [(n.side, x) for n, x in zip(named, centers, strict=True)])
    for side, x in zip(named, centers, strict=True):
        off = (x - middle) * (1 if side.side is Side.RIGHT else -1)
        if off < -settings.off_side_mm:
            i, j, k = np.argwhere(side.mask.voxels)[side.mask.count // 2] + side.mask.box.start
            voxel = Place.at((int(i), int(j), int(k)), scene.grid)
            sentence = (
                f"The {side.structure.title} that is named {side.side.value} lies on the patient's "
                f"{'left' if side.side is Side.RIGHT else 'right'} ({voxel.words}): exchange the names, or see "
                "whether the labels are mirrored."
            )
            yield Finding(
                FindingKind.SIDE_NAMES, Severity.ERROR, sentence, side.structure, voxel,
                side.mask.count * scene.voxel_mm3,
            )  # fmt: skip


def _middle_mm(scene: Scene, volume: CTVolume | None, named: list[tuple[Side, float]]) -> float:
    """The patient's midline: that of the body where the image shows both flanks, else between the labels."""
    found = None if volume is None else body_midline_mm(volume, scene.box)
    if found is not None:
        return found
    places = [x for _, x in named]
    if max(places) - min(places) > 60.0:
        return (max(places) + min(places)) / 2
    corners = scene.grid.to_patient([(0, 0, 0), tuple(n - 1 for n in scene.grid.shape)])
    return float(corners[:, 0].mean())


def find_mirrored(scene: Scene, volume: CTVolume, settings: CheckSettings) -> Iterator[Finding]:
    """Labels that fit the image better when the array is turned round along an axis, or along two.

    How well labels fit is the difference in HU between what lies just inside of their edge and just outside of it.
    """
    edge = _edge(scene)
    if edge is None:
        return
    as_given = _fit(volume, *edge)
    best, axes = as_given, tuple[int, ...]()
    for count in (1, 2):
        for turned in itertools.combinations(range(3), count):
            fit = _fit(volume, *(_turned(points, turned, scene.grid.shape) for points in edge))
            if fit > best + (settings.mirrored_hu if count > len(axes) else 0.0):
                best, axes = fit, turned
    if not axes:
        return
    world = {voxel: name for name, (voxel, _) in zip(_AXIS_WORDS, scene.grid.canonical_axes, strict=True)}
    words = " and ".join(world[axis] for axis in axes)
    sentence = (
        f"The labels fit the image better with {words} exchanged (their edges differ by {best:.0f} instead of "
        f"{as_given:.0f} HU): they are mirrored; save them on the image's own orientation."
    )
    yield Finding(FindingKind.MIRRORED, Severity.ERROR, sentence)


def _edge(scene: Scene) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Voxels of the image just inside and just outside of all labels, at most `_SAMPLES` of each."""
    labelled = scene.values > 0
    inner = labelled & ~ndimage.binary_erosion(labelled, iterations=2, border_value=1)
    outer = ndimage.binary_dilation(labelled, iterations=3) & ~ndimage.binary_dilation(labelled)
    points = [np.argwhere(mask) + np.asarray(scene.box.start) for mask in (inner, outer)]
    if min(len(p) for p in points) < 100:
        return None
    chosen = [p[:: max(1, len(p) // _SAMPLES)] for p in points]
    return chosen[0], chosen[1]


def _turned(points: NDArray[np.intp], axes: tuple[int, ...], shape: tuple[int, int, int]) -> NDArray[np.intp]:
    turned = points.copy()
    for axis in axes:
        turned[:, axis] = shape[axis] - 1 - turned[:, axis]
    return turned


def _fit(volume: CTVolume, inner: NDArray[np.intp], outer: NDArray[np.intp]) -> float:
    means = [float(np.clip(volume.hu[tuple(points.T)], -200, 300).mean()) for points in (inner, outer)]
    return means[0] - means[1]


def _kidney_voxels(scene: Scene, piece: Piece) -> int:
    return int(np.count_nonzero((scene.values[piece.box.slices] == Structure.KIDNEY) & piece.voxels))


def _is_cut(scene: Scene, kidneys: tuple[Piece, ...]) -> bool:
    """Whether the image is too short for both kidneys, or a kidney goes on beyond it."""
    covered_mm = scene.grid.spacing_mm[scene.axial] * scene.grid.shape[scene.axial]
    return covered_mm < _WHOLE_COVER_MM or any(scene.at_image_end(piece) for piece in kidneys)
