"""Pictures of cases: reference and prediction as contours on the image, and activation maps of masses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Line
from numpy.typing import NDArray

from renalct.core.findings import ActivationMap
from renalct.core.grid import Box
from renalct.core.labels import MassClass, Region, Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.metrics.figures import SOFT, Figure, Words, drawn, say_nothing_to_show
from renalct.pictures.colors import KIDNEY_COLOR, class_color, gray_of, heat_of, hexadecimal
from renalct.pictures.contours import outlines
from renalct.pictures.planes import Plane, View

_MARGIN_MM, _PANEL_INCHES, _PER_ROW = 25.0, 2.6, 4
_STRUCTURE_COLORS = {
    Structure.KIDNEY: hexadecimal(KIDNEY_COLOR),
    Structure.TUMOR: hexadecimal(class_color(MassClass.SOLID)),
    Structure.CYST: hexadecimal(class_color(MassClass.CYSTIC)),
    Structure.ANGIOMYOLIPOMA: hexadecimal(class_color(MassClass.AML)),
}
KEY = (
    "Solid line: reference; dotted line: prediction. Green: kidney, orange: tumor, blue: cyst, yellow: angiomyolipoma."
)
"""How to read the contours of `case_figure`."""


@dataclass(frozen=True, eq=False)
class Shot:
    """One axial slice of a case around its kidneys: gray values, both label maps, the size of a pixel, its words."""

    title: str
    words: str
    gray: NDArray[np.uint8] = field(repr=False)
    reference: NDArray[np.uint8] = field(repr=False)
    prediction: NDArray[np.uint8] = field(repr=False)
    pixel_mm: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, eq=False)
class ActivationShot:
    """One axial slice around a mass: gray values, activation (0 to 1), and where the mass is."""

    title: str
    words: str
    gray: NDArray[np.uint8] = field(repr=False)
    activation: NDArray[np.float32] = field(repr=False)
    mask: NDArray[np.bool_] = field(repr=False)
    pixel_mm: tuple[float, float] = (1.0, 1.0)


def shot_of(reference: LabelMap, prediction: LabelMap, *, volume: CTVolume | None, title: str, words: str) -> Shot:
    """The axial slice with the greatest area of reference mass (of the predicted mass, of anything, where none is).

    Without an image the gray values are those of an empty one.
    """
    grid = reference.grid
    index = _slice_to_show(reference, prediction)
    plane = Plane(grid, View.AXIAL, index)
    filled = Box.around((reference.values > 0) | (prediction.values > 0))
    box = filled if 0 not in filled.shape else Box.whole(grid.shape)
    box = box.grown([round(_MARGIN_MM / mm) for mm in grid.spacing_mm], within=grid.shape)
    parts = []
    for values in (volume.hu if volume else None, reference.values, prediction.values):
        cut = None if values is None else plane.cut(values[box.slices], box)
        parts.append(None if cut is None else cut.pixels)
    shape = parts[1].shape if parts[1] is not None else (1, 1)
    gray = np.full(shape, 40, np.uint8) if parts[0] is None else gray_of(parts[0])
    empty = np.zeros(shape, np.uint8)
    first, second = (empty if part is None else np.ascontiguousarray(part) for part in parts[1:])
    return Shot(title, words, gray, first, second, plane.pixel_mm)


def activation_shot(
    volume: CTVolume, prediction: LabelMap, activation: ActivationMap, *, title: str, words: str
) -> ActivationShot:
    """The axial slice of the greatest area of predicted mass inside the box of an activation map, with the map."""
    box, grid = activation.box, volume.grid
    where = prediction.region(Region.MASS)[box.slices]
    areas = np.count_nonzero(where, axis=tuple(axis for axis in range(3) if axis != grid.axial_axis))
    plane = Plane(grid, View.AXIAL, box.start[grid.axial_axis] + int(np.argmax(areas)))
    cuts = [plane.cut(array, box) for array in (volume.hu[box.slices], activation.values, where)]
    gray, heat, mask = (np.zeros((1, 1), np.float32) if cut is None else cut.pixels for cut in cuts)
    return ActivationShot(title, words, gray_of(gray), heat, mask.astype(bool), plane.pixel_mm)


def case_figure(words: Words, shots: Sequence[Shot]) -> Figure:
    """Panels, one per case, with the contours of reference (solid) and prediction (dotted)."""
    with drawn(words, width=_width(len(shots)), height=_height(len(shots))) as (sheet, made):
        for axes, shot in zip(_panels(sheet, len(shots)), shots, strict=False):
            _show(axes, shot.gray, shot.pixel_mm, shot.title, shot.words)
            for values, style, width in ((shot.reference, "solid", 1.5), (shot.prediction, (0, (1.2, 1.4)), 1.7)):
                for structure, color in _STRUCTURE_COLORS.items():
                    _outline(axes, values == structure, color, style=style, width=width)
    return made[0]


def activation_figure(words: Words, shots: Sequence[ActivationShot]) -> Figure:
    """Panels, one per mass: the image with the activation map over it and the outline of the mass."""
    with drawn(words, width=_width(len(shots)), height=_height(len(shots))) as (sheet, made):
        for axes, shot in zip(_panels(sheet, len(shots)), shots, strict=False):
            _show(axes, shot.gray, shot.pixel_mm, shot.title, shot.words)
            axes.imshow(heat_of(shot.activation), interpolation="bilinear")
            _outline(axes, shot.mask, "white", style="solid", width=1.4)
    return made[0]


def _slice_to_show(reference: LabelMap, prediction: LabelMap) -> int:
    axis = reference.grid.axial_axis
    others = tuple(other for other in range(3) if other != axis)
    for where in (
        reference.region(Region.MASS),
        prediction.region(Region.MASS),
        (reference.values > 0) | (prediction.values > 0),
    ):
        areas = np.count_nonzero(where, axis=others)
        if areas.any():
            return int(np.argmax(areas))
    return reference.grid.shape[axis] // 2


def _panels(sheet: object, count: int) -> list[Axes]:
    columns = min(max(count, 1), _PER_ROW)
    panels = sheet.subplots(math.ceil(max(count, 1) / columns), columns, squeeze=False).ravel()  # type: ignore[attr-defined]
    for axes in panels[count:]:
        axes.set_axis_off()
    if not count:
        say_nothing_to_show(panels[0], "no case to show")
    return list(panels)


def _show(axes: Axes, gray: NDArray[np.uint8], pixel_mm: tuple[float, float], title: str, words: str) -> None:
    axes.imshow(gray, cmap="gray", vmin=0, vmax=255, aspect=pixel_mm[0] / pixel_mm[1], interpolation="bilinear")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(words, fontsize=8.5, color=SOFT)


def _outline(axes: Axes, mask: NDArray[np.bool_], color: str, *, style: object, width: float) -> None:
    for polygon in outlines(np.ascontiguousarray(mask)):
        path = Line(np.vstack([polygon, polygon[:1]]) - 0.5)
        axes.add_patch(PathPatch(path, facecolor="none", edgecolor=color, linewidth=width, linestyle=style))


def _width(count: int) -> float:
    return _PANEL_INCHES * min(max(count, 1), _PER_ROW) + 0.2


def _height(count: int) -> float:
    return (_PANEL_INCHES + 0.35) * math.ceil(max(count, 1) / _PER_ROW)
