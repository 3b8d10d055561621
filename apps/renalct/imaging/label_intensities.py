"""Checks of labels against the CT numbers under them: the class of a mass, air, and bone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.phase import Phase, PhaseEstimate
from renalct.imaging.components import connected
from renalct.imaging.label_findings import CheckSettings, Finding, FindingKind, Severity
from renalct.imaging.label_scene import Booleans, Piece, Scene
from renalct.imaging.measure import FAT_BELOW_HU

_LEAST_INNER_VOXELS = 30
_ABOVE_KIDNEY_HU = 100.0
_UNENHANCED_HU = 45.0


def find_contradicting_hu(scene: Scene, phase: PhaseEstimate, settings: CheckSettings) -> Iterator[Finding]:
    """Masses and kidneys whose HU are not those of what they are called."""
    least = settings.judged_mm3 / scene.voxel_mm3
    kidneys = []
    for piece in scene.pieces:
        if piece.structure is Structure.KIDNEY:
            if piece.count * scene.grid.voxel_ml >= settings.kidney_ml:
                kidneys.append((piece, float(np.median(_hu(scene, piece)))))
        elif piece.count >= least:
            yield from _mass(scene, piece, settings)
    yield from _kidneys(scene, kidneys, phase, settings)


def _mass(scene: Scene, piece: Piece, settings: CheckSettings) -> Iterator[Finding]:
    hu = _inner_hu(scene, piece)
    mean, median, fat = float(hu.mean()), float(np.median(hu)), float(np.mean(hu < FAT_BELOW_HU))
    words = f"on {scene.place(piece).words}"
    sentence = ""
    if piece.structure is Structure.CYST and mean > settings.dense_cyst_hu:
        sentence = f"The cyst {words} has a mean of {mean:.0f} HU: fluid is under 20 HU; see whether it is a tumor."
    elif piece.structure is Structure.ANGIOMYOLIPOMA and fat < settings.least_aml_fat_share:
        sentence = (
            f"The angiomyolipoma {words} shows no fat ({fat:.0%} under {FAT_BELOW_HU:.0f} HU): call it a tumor unless "
            "histology says otherwise."
        )
    elif piece.structure is Structure.TUMOR and fat > settings.fat_tumor_share:
        sentence = f"The tumor {words} is {fat:.0%} fat: see whether it is an angiomyolipoma, or fat beside the kidney."
    elif piece.structure is Structure.TUMOR and median < settings.fluid_tumor_hu:
        sentence = f"The tumor {words} has a median of {median:.0f} HU, as fluid has: see whether it is a cyst."
    if sentence:
        yield _finding(scene, piece, sentence, Severity.WARNING)


def _kidneys(
    scene: Scene, kidneys: list[tuple[Piece, float]], phase: PhaseEstimate, settings: CheckSettings
) -> Iterator[Finding]:
    low, high = settings.kidney_hu
    brightest = max((median for _, median in kidneys), default=0.0)
    for piece, median in kidneys:
        words = f"The kidney on {scene.place(piece).words} has a median of {median:.0f} HU"
        if not low <= median <= high:
            yield _finding(scene, piece, f"{words}, which no kidney has: see what is labelled.", Severity.ERROR)
        elif median < settings.unequal_kidneys * brightest:
            sentence = f"{words} and the other {brightest:.0f}: an obstructed kidney, or another organ is labelled."
            yield _finding(scene, piece, sentence, Severity.WARNING)
    if kidneys and low <= brightest < _UNENHANCED_HU and phase.phase not in (Phase.NON_CONTRAST, Phase.UNKNOWN):
        piece = kidneys[0][0]
        sentence = f"No kidney enhances ({brightest:.0f} HU) although the phase is {phase.phase.value}: see the series."
        yield _finding(scene, piece, sentence, Severity.NOTE)


def _finding(scene: Scene, piece: Piece, sentence: str, severity: Severity) -> Finding:
    place, volume_mm3 = scene.place(piece), piece.count * scene.voxel_mm3
    return Finding(FindingKind.HU_CONTRADICTS, severity, sentence, piece.structure, place, volume_mm3)


def find_in_air(scene: Scene, settings: CheckSettings) -> Iterator[Finding]:
    """Labels in air: outside of the body, in the lung, or in the bowel."""
    assert scene.hu is not None
    in_air = (scene.values > 0) & (scene.hu < settings.air_below_hu)
    found = _patches(in_air, settings.air_mm3 / scene.voxel_mm3)
    yield from _leaks(scene, found, FindingKind.OUTSIDE_BODY, Severity.ERROR)


def find_in_bone(scene: Scene, settings: CheckSettings) -> Iterator[Finding]:
    """Labels that leak into bone: dense voxels that go on outside of the labels as a large object."""
    assert scene.hu is not None
    labelled = scene.values > 0
    limit = settings.bone_above_hu
    if scene.kidney.any():
        limit = max(limit, float(np.percentile(scene.hu[scene.kidney][::7], 95)) + _ABOVE_KIDNEY_HU)
    dense = scene.hu > limit
    if np.count_nonzero(dense & labelled) * scene.voxel_mm3 < settings.bone_mm3:
        return
    numbers, count = connected(dense, connectivity=6)
    outside = np.bincount(numbers[~labelled], minlength=count + 1) * scene.grid.voxel_ml
    bones = outside > settings.bone_ml
    bones[0] = False
    found = _patches(labelled & bones[numbers], settings.bone_mm3 / scene.voxel_mm3)
    yield from _leaks(scene, found, FindingKind.IN_BONE, Severity.WARNING)


def _leaks(scene: Scene, found: Iterator[Piece], kind: FindingKind, severity: Severity) -> Iterator[Finding]:
    """One finding for each structure that leaks, at the place of its largest patch."""
    patches: dict[Structure, list[Piece]] = defaultdict(list)
    for piece in found:
        patches[_most_common(scene, piece)].append(piece)
    for structure, pieces in sorted(patches.items()):
        place = scene.place(max(pieces, key=lambda piece: piece.count))
        volume_mm3 = sum(piece.count for piece in pieces) * scene.voxel_mm3
        where = f"on {place.words}" + (f" and {len(pieces) - 1} other places" if len(pieces) > 1 else "")
        tissue = "air" if kind is FindingKind.OUTSIDE_BODY else "bone"
        sentence = f"{volume_mm3:.0f} mm3 of {structure.title} lie in {tissue} {where}: correct the outline."
        yield Finding(kind, severity, sentence, structure, place, volume_mm3)


def _patches(where: Booleans, least_voxels: float) -> Iterator[Piece]:
    """The connected patches of at least so many voxels."""
    if np.count_nonzero(where) < least_voxels:
        return
    numbers, count = connected(where)
    statistics = cc3d.statistics(numbers)
    for number in range(1, count + 1):
        size, inside = int(statistics["voxel_counts"][number]), statistics["bounding_boxes"][number]
        if size >= least_voxels:
            box = Box(tuple(s.start for s in inside), tuple(s.stop for s in inside))
            yield Piece(box, size, numbers[inside] == number)


def _most_common(scene: Scene, piece: Piece) -> Structure:
    return Structure(int(np.bincount(scene.values[piece.box.slices][piece.voxels]).argmax()))


def _hu(scene: Scene, piece: Piece) -> NDArray[Any]:
    assert scene.hu is not None
    hu: NDArray[Any] = scene.hu[piece.box.slices][piece.voxels]
    return hu


def _inner_hu(scene: Scene, piece: Piece) -> NDArray[np.float64]:
    """The HU of a piece without its outermost voxels on each slice, which partly are those of its neighbours."""
    assert scene.hu is not None
    plane = np.ones([1 if axis == scene.axial else 3 for axis in range(3)], bool)
    inner = ndimage.binary_erosion(piece.voxels, plane)
    chosen = inner if np.count_nonzero(inner) >= _LEAST_INNER_VOXELS else piece.voxels
    return np.asarray(scene.hu[piece.box.slices][chosen], np.float64)
