"""Checks of shapes alone: masses apart, islands, holes, slices left out, flat objects, and objects that stand twice."""

from __future__ import annotations

from collections.abc import Iterator

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.imaging.components import connected
from renalct.imaging.label_findings import CheckSettings, Finding, FindingKind, Place, Severity
from renalct.imaging.label_scene import Booleans, Piece, Scene

_LEAST_KIDNEY_SHARE = 0.5


def find_apart(scene: Scene, settings: CheckSettings) -> Iterator[Finding]:
    """Masses that touch no kidney, and pieces too small to be one: far ones are errors, small ones islands."""
    kidney_surface: KDTree | None = None
    islands: list[tuple[Structure, Piece]] = []
    if not scene.kidney.any():
        return
    for organ in scene.organs:
        inside = scene.values[organ.box.slices][organ.voxels]
        volume_mm3 = organ.count * scene.voxel_mm3
        if (inside == Structure.KIDNEY).any():
            if volume_mm3 < settings.island_mm3:
                islands.append((Structure(int(np.bincount(inside).argmax())), organ))
            continue
        structure = Structure(int(np.bincount(inside).argmax()))
        if volume_mm3 < settings.crumb_mm3:
            islands.append((structure, organ))
            continue
        if kidney_surface is None:
            kidney_surface = KDTree(scene.surface_mm(scene.kidney))
        apart_mm = float(kidney_surface.query(scene.millimeters(organ))[0].min())
        if apart_mm > settings.touching_mm:
            yield _apart(scene, organ, structure, apart_mm, settings)
    for piece in scene.pieces:
        assert piece.structure is not None
        small = piece.count * scene.voxel_mm3 < settings.crumb_mm3 or piece.count <= settings.crumb_voxels
        if piece.structure is not Structure.KIDNEY and small and all(piece.box != other.box for _, other in islands):
            islands.append((piece.structure, piece))
    for structure in sorted({structure for structure, _ in islands}):
        yield _islands(scene, structure, [piece for own, piece in islands if own is structure])


def _apart(scene: Scene, piece: Piece, structure: Structure, apart_mm: float, settings: CheckSettings) -> Finding:
    place, volume_mm3 = scene.place(piece), piece.count * scene.voxel_mm3
    size = f"The {structure.title} of {volume_mm3 / 1000:.1f} ml on {place.words}"
    if apart_mm > settings.far_mm:
        sentence = (
            f"{size} lies {apart_mm:.0f} mm from every kidney: it may belong to another organ (spleen, liver, bowel); "
            "remove it, or label the kidney that it belongs to."
        )
        return Finding(FindingKind.MASS_FAR, Severity.ERROR, sentence, structure, place, volume_mm3)
    sentence = f"{size} touches no kidney ({apart_mm:.0f} mm away): close the seam, or remove it."
    return Finding(FindingKind.MASS_APART, Severity.WARNING, sentence, structure, place, volume_mm3)


def _islands(scene: Scene, structure: Structure, pieces: list[Piece]) -> Finding:
    largest = max(pieces, key=lambda piece: piece.count)
    place, volume_mm3 = scene.place(largest), largest.count * scene.voxel_mm3
    count = f"{len(pieces)} small pieces" if len(pieces) > 1 else "A small piece"
    which = "the largest of" if len(pieces) > 1 else "of"
    sentence = f"{count} of {structure.title}, {which} {volume_mm3:.0f} mm3 on {place.words}: remove strays."
    severity = Severity.WARNING if volume_mm3 >= 100 else Severity.NOTE
    return Finding(
        FindingKind.ISLAND, severity, sentence, structure, place, sum(p.count for p in pieces) * scene.voxel_mm3
    )


def find_holes(scene: Scene, settings: CheckSettings) -> Iterator[Finding]:
    """Places without a label inside a mass, or in a kidney where the HU are the kidney's own.

    The sinus of a kidney is enclosed by its label in nearly every patient; only the HU tell it from a hole, so that
    without an image holes are looked for in masses alone.
    """
    usual_hu = None
    if scene.hu is not None and scene.kidney.any():
        low, high = np.percentile(scene.hu[scene.kidney][::5], (10, 90))
        usual_hu = float(low), float(high)
    for hole in _enclosed(scene.values == 0, settings.hole_mm3 / scene.voxel_mm3):
        around = _ring(scene.values, hole)
        structure = Structure(int(np.bincount(around).argmax()))
        in_mass = float(np.mean(around != Structure.KIDNEY)) >= _LEAST_KIDNEY_SHARE
        if in_mass or (usual_hu is not None and _is_parenchyma(scene, hole, usual_hu, settings)):
            yield _hole(scene, hole, structure)


def _enclosed(empty: Booleans, least_voxels: float) -> Iterator[Piece]:
    """The pieces of what is empty (6 neighbours) that do not reach a face of the array."""
    numbers, count = connected(empty, connectivity=6)
    statistics = cc3d.statistics(numbers)
    for number in range(1, count + 1):
        inside, size = statistics["bounding_boxes"][number], int(statistics["voxel_counts"][number])
        reaches = any(s.start == 0 or s.stop == n for s, n in zip(inside, empty.shape, strict=True))
        if size >= least_voxels and not reaches:
            box = Box(tuple(s.start for s in inside), tuple(s.stop for s in inside))
            yield Piece(box, size, numbers[inside] == number)


def _ring(values: NDArray[np.uint8], piece: Piece) -> NDArray[np.uint8]:
    """The values of the voxels that share a face with a piece inside the array."""
    i, j, k = values.shape
    box = piece.box.grown(1, within=(i, j, k))
    mask = np.zeros(box.shape, bool)
    mask[piece.box.inside(box).slices] = piece.voxels
    ring: NDArray[np.uint8] = values[box.slices][ndimage.binary_dilation(mask) & ~mask]
    return ring


def _is_parenchyma(scene: Scene, hole: Piece, usual_hu: tuple[float, float], settings: CheckSettings) -> bool:
    """Whether the HU of a hole are those of the kidneys: the fat, urine and vessels of the sinus have others."""
    assert scene.hu is not None
    low, median = np.percentile(scene.hu[hole.box.slices][hole.voxels], (25, 50))
    return bool(low > usual_hu[0] - settings.like_kidney_hu and usual_hu[0] <= median <= usual_hu[1])


def _hole(scene: Scene, hole: Piece, structure: Structure) -> Finding:
    place, volume_mm3 = scene.place(hole), hole.count * scene.voxel_mm3
    sentence = f"A hole of {volume_mm3:.0f} mm3 in the {structure.title} on {place.words}: fill it."
    return Finding(FindingKind.HOLE, Severity.WARNING, sentence, structure, place, volume_mm3)


def find_gaps(scene: Scene, settings: CheckSettings, within: Box) -> Iterator[Finding]:
    """Slices between labelled ones on which an object is missing, one finding for each structure.

    A voxel counts as missing when its structure stands above and below it. A kidney counts as missing only where
    nothing is labelled; a mass also where something else is.
    """
    turned = np.moveaxis(scene.values[within.slices], scene.axial, 2)
    for structure in (s for s in Structure if s):
        mask = turned == structure
        if not mask.any():
            continue
        between = turned > 0 if structure is Structure.KIDNEY else mask
        found = [
            gap for n in range(1, settings.longest_gap_slices + 1) for gap in _gaps(scene, mask, between, n, settings)
        ]
        if found:
            yield _gap(scene, structure, found, within)


Gap = tuple[range, NDArray[np.intp], float]
"""The slices that are missing, a voxel of the slice before them, and the volume that is missing."""


def _gaps(scene: Scene, mask: Booleans, between: Booleans, length: int, settings: CheckSettings) -> Iterator[Gap]:
    if mask.shape[2] < length + 2:
        return
    missing = mask[:, :, : -length - 1] & mask[:, :, length + 1 :]
    for step in range(1, length + 1):
        missing &= ~between[:, :, step : step - length - 1 or None]
    areas = np.count_nonzero(missing, axis=(0, 1)) * scene.voxel_mm2
    for k in np.flatnonzero(areas >= settings.gap_mm2):
        below, above = (ndimage.label(mask[:, :, n], np.ones((3, 3)))[0] for n in (k, k + length + 1))
        parts, count = ndimage.label(missing[:, :, k], np.ones((3, 3)))
        for part in range(1, count + 1):
            where = parts == part
            area = int(np.count_nonzero(where))
            outlines = [int(np.count_nonzero(p == p[where][0])) for p in (below, above)]
            share = settings.missing_share if length == 1 else settings.missing_share_of_several
            if area * scene.voxel_mm2 >= settings.gap_mm2 and area >= share * min(outlines):
                first = np.argwhere(where)[area // 2]
                volume = area * length * scene.voxel_mm3
                yield range(int(k) + 1, int(k) + length + 1), np.append(first, k), volume


def _gap(scene: Scene, structure: Structure, gaps: list[Gap], within: Box) -> Finding:
    slices = sorted({k for missing, _, _ in gaps for k in missing})
    first = max(gaps, key=lambda gap: gap[2])
    i, j, k = (int(v) for v in first[1])
    turned = np.insert(np.asarray([i, j]), scene.axial, k + 1)
    place = scene.place_of(turned + np.asarray(within.start))
    count = f"{len(slices)} slices" if len(slices) > 1 else "A slice"
    sentence = (
        f"{count} between labelled ones without {structure.title}, on {place.words}"
        + (" and elsewhere" if len(slices) > 1 else "")
        + ": fill between slices."
    )
    return Finding(
        FindingKind.SLICE_GAP, Severity.WARNING, sentence, structure, place, sum(volume for _, _, volume in gaps)
    )


def find_flat(scene: Scene, settings: CheckSettings) -> Iterator[Finding]:
    """Objects wide enough to show on the neighbouring slices that are labelled on one slice alone."""
    distance_mm = scene.grid.spacing_mm[scene.axial]
    if scene.grid.shape[scene.axial] < 3:
        return
    for piece in (*(p for p in scene.pieces if p.structure is not Structure.KIDNEY), *scene.organs):
        wide_mm = 2 * float(np.sqrt(piece.count * scene.voxel_mm2 / np.pi))
        if piece.box.shape[scene.axial] > 1 or wide_mm < max(settings.flat_mm, 2 * distance_mm):
            continue
        if scene.at_image_end(piece) or (piece.structure is None and not _holds_kidney(scene, piece)):
            continue
        structure = piece.structure or Structure.KIDNEY
        place = scene.place(piece)
        sentence = (
            f"The {structure.title} on {place.words} is {wide_mm:.0f} mm wide and labelled on this slice alone: "
            "label its other slices, or remove it."
        )
        yield Finding(
            FindingKind.SINGLE_SLICE, Severity.WARNING, sentence, structure, place, piece.count * scene.voxel_mm3
        )


def _holds_kidney(scene: Scene, piece: Piece) -> bool:
    return bool((scene.values[piece.box.slices][piece.voxels] == Structure.KIDNEY).any())


def find_twice(scene: Scene, settings: CheckSettings) -> Iterator[Finding]:
    """Objects that are equal voxel by voxel: one was copied to another place."""
    large = [p for p in scene.pieces if p.count * scene.voxel_mm3 >= settings.twice_mm3]
    for number, piece in enumerate(large):
        for other in large[:number]:
            same = piece.count == other.count and piece.structure is other.structure
            if same and np.array_equal(piece.voxels, other.voxels):
                assert piece.structure is not None
                here, there = scene.place(piece), scene.place(other)
                sentence = (
                    f"The {piece.structure.title} on {here.words} is an exact copy of that on {there.words}: "
                    "remove the one that is too many."
                )
                yield _copy(piece, here, sentence, scene)


def _copy(piece: Piece, place: Place, sentence: str, scene: Scene) -> Finding:
    volume_mm3 = piece.count * scene.voxel_mm3
    return Finding(FindingKind.DUPLICATE, Severity.ERROR, sentence, piece.structure, place, volume_mm3)
