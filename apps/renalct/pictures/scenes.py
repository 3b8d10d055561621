"""Which planes the report page shows: an overview of the patient, and three planes through each mass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalct.core.findings import Findings, Mass
from renalct.core.grid import Box, Grid
from renalct.core.volume import CTVolume, Mask
from renalct.pictures.drawing import (
    Line,
    Picture,
    calipers_of,
    contours_of,
    greatest_slice,
    heated,
    names_of,
    projected,
    shaded,
)
from renalct.pictures.planes import Plane, Rectangle, View

_MARGIN_MM = 75.0
_SMALLEST_MM = 60.0
_TIMES_DIAMETER = 2.2
_LETTER_SHARE, _CARD_LETTER_SHARE = 0.042, 0.055


def overview(volume: CTVolume, findings: Findings, view: View) -> Picture:
    """The plane that shows the most of all kidneys and masses, with every mass named.

    A mass that the plane misses is drawn with a dotted line, as it is seen through all slices. Without findings, the
    middle plane.
    """
    masks = [each.mask for each in findings.kidneys] + [each.mask for each in findings.masses]
    masks = [mask for mask in masks if mask.count]
    plane = Plane(volume.grid, view, _fullest_slice(masks, volume.grid, Plane(volume.grid, view, 0).normal))
    shown = _around_all(masks, plane)
    letter_mm = _LETTER_SHARE * (shown.width_mm * shown.height_mm) ** 0.5
    missed = [mass for mass in findings.masses if plane.cut(mass.mask.voxels, mass.mask.box) is None]
    labels, leaders = names_of(findings.masses, plane, shown=shown, letter_mm=letter_mm)
    return Picture(
        title=f"{view.value.capitalize()} overview",
        alt=f"{view.value.capitalize()} CT picture: {_in_words(findings)}.",
        shown=shown,
        letter_mm=letter_mm,
        letters=plane.letters,
        gray=shaded(volume, plane, shown),
        outlines=contours_of(findings, plane) + tuple(projected(mass, plane) for mass in missed),
        lines=leaders,
        labels=labels,
    )


def mass_views(volume: CTVolume, findings: Findings, mass: Mass) -> tuple[Picture, ...]:
    """An axial (that of the longest diameter), a coronal and a sagittal picture of a mass, all at the same scale.

    Each has the contours of all objects; the axial one has the calipers, and ticks on the other two show its level.
    Every picture has the mass' activation map as its `heat`, where there is one.
    """
    axial_axis = volume.grid.axial_axis
    axial_index = round((mass.longest_axial.start[axial_axis] + mass.longest_axial.stop[axial_axis]) / 2)
    pictures: list[Picture] = []
    for view in View:
        first = Plane(volume.grid, view, 0)
        index = axial_index if view is View.AXIAL else greatest_slice(mass.mask, first.normal)
        plane = Plane(volume.grid, view, index)
        shown = _around_mass(mass, plane)
        pictures.append(
            Picture(
                title=view.value.capitalize(),
                alt=f"{view.value.capitalize()} CT picture through {mass.name} with its contour"
                + (
                    f" and its longest axial diameter of {mass.longest_axial.length_mm:.1f} mm."
                    if not pictures
                    else "."
                ),
                shown=shown,
                letter_mm=_CARD_LETTER_SHARE * shown.width_mm,
                letters=plane.letters,
                gray=shaded(volume, plane, shown),
                heat=heated(mass.activation, plane) if mass.activation else None,
                outlines=contours_of(findings, plane),
                lines=calipers_of(mass, plane) if view is View.AXIAL else _level(mass, plane, shown),
            )
        )
    return tuple(pictures)


def _fullest_slice(masks: list[Mask], grid: Grid, axis: int) -> int:
    """The slice with the greatest sum of each object's area there, as a share of its greatest area."""
    if not masks:
        return grid.shape[axis] // 2
    score: NDArray[np.float64] = np.zeros(grid.shape[axis])
    for mask in masks:
        areas = np.count_nonzero(mask.voxels, axis=tuple(other for other in range(3) if other != axis))
        score[mask.box.start[axis] : mask.box.stop[axis]] += areas / areas.max()
    return int(np.argmax(score))


def _around_all(masks: list[Mask], plane: Plane) -> Rectangle:
    """The part of the plane within 75 mm of all masks (all of it without masks), never flatter than three to one."""
    whole = plane.extent
    left, top, right, bottom = 0.0, 0.0, whole.width_mm, whole.height_mm
    if masks:
        box: Box = masks[0].box
        for mask in masks[1:]:
            box = box.union(mask.box)
        inner = plane.around(box)
        left, top = max(left, inner.left_mm - _MARGIN_MM), max(top, inner.top_mm - _MARGIN_MM)
        right = min(right, inner.left_mm + inner.width_mm + _MARGIN_MM)
        bottom = min(bottom, inner.top_mm + inner.height_mm + _MARGIN_MM)
    width, height = max(right - left, (bottom - top) / 3), max(bottom - top, (right - left) / 3)
    return Rectangle((left + right - width) / 2, (top + bottom - height) / 2, width, height)


def _around_mass(mass: Mass, plane: Plane) -> Rectangle:
    inner = plane.around(mass.mask.box)
    side = max(_SMALLEST_MM, _TIMES_DIAMETER * mass.max_3d_diameter_mm)
    center = inner.left_mm + inner.width_mm / 2, inner.top_mm + inner.height_mm / 2
    return Rectangle(center[0] - side / 2, center[1] - side / 2, side, side)


def _level(mass: Mass, plane: Plane, shown: Rectangle) -> tuple[Line, ...]:
    """Ticks near the left and the right edge, inside of the letters, where the axial picture cuts this one."""
    y = float(plane.to_picture(mass.longest_axial.start)[1])
    near, far = (shown.left_mm + shown.width_mm * share for share in (0.09, 0.15))
    mirror = 2 * shown.left_mm + shown.width_mm
    return Line((near, y), (far, y), "tick"), Line((mirror - far, y), (mirror - near, y), "tick")


def _in_words(findings: Findings) -> str:
    kidneys = ", ".join(f"{kidney.side.value} kidney" for kidney in findings.kidneys)
    masses = ", ".join(f"{mass.name} ({mass.classification.mass_class.title})" for mass in findings.masses)
    return "contours of " + ", ".join(part for part in (kidneys, masses) if part) if kidneys or masses else "no finding"
