"""Pictures for the report page: a plane with contours, calipers, names and activation, as values that a page shows."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renalct.core.findings import ActivationMap, Caliper, Findings, Kidney, Mass
from renalct.core.volume import CTVolume, Mask
from renalct.pictures.colors import KIDNEY_COLOR, class_color, gray_of, heat_of, hexadecimal
from renalct.pictures.contours import Polygon, beveled, outlines
from renalct.pictures.planes import Cut, Plane, Rectangle, square_pixels

_SLAB_MM = 3.0
_FINEST_MM = 0.4
_MOST_PIXELS = 560
_SCALES_MM = (100, 50, 20, 10, 5, 2, 1)


@dataclass(frozen=True)
class Layer:
    """Pixels (a PNG as a data URI) and the rectangle of the plane that they cover."""

    uri: str
    place: Rectangle


@dataclass(frozen=True)
class Outline:
    """A contour as SVG path data in mm. A projected one belongs to a mass that lies in front of or behind the plane."""

    path: str
    color: str
    kind: str
    """``kidney``, ``mass`` or ``projected``"""


@dataclass(frozen=True)
class Line:
    """A straight line in mm of the plane; `kind` is ``long``, ``short`` (axis), ``tick`` or ``leader``."""

    start: tuple[float, float]
    stop: tuple[float, float]
    kind: str


@dataclass(frozen=True)
class Label:
    """A name beside a contour; `anchor` is the end of the text that lies at (x, y): ``start`` or ``end``."""

    text: str
    x: float
    y: float
    anchor: str
    color: str


@dataclass(frozen=True)
class Picture:
    """A plane as the page shows it. All lengths are mm from the outer top left corner of the plane."""

    title: str
    alt: str
    shown: Rectangle
    letter_mm: float
    letters: tuple[str, str, str, str]
    gray: Layer
    heat: Layer | None = None
    outlines: tuple[Outline, ...] = ()
    lines: tuple[Line, ...] = ()
    labels: tuple[Label, ...] = ()

    @property
    def scale_mm(self) -> int:
        """The length of the scale bar: the longest round one that fits a third of the width."""
        return next((mm for mm in _SCALES_MM if mm <= self.shown.width_mm / 3), 1)


def shaded(volume: CTVolume, plane: Plane, shown: Rectangle) -> Layer:
    """The CT numbers of a plane as gray square pixels, averaged over 3 mm, at least where `shown` lies."""
    pixels = plane.slab(volume.hu, _SLAB_MM)
    finest = max(_FINEST_MM, min(plane.pixel_mm) / 2, max(shown.width_mm, shown.height_mm) / _MOST_PIXELS)
    top, bottom = _reach(shown.top_mm, shown.height_mm, plane.pixel_mm[0], pixels.shape[0])
    left, right = _reach(shown.left_mm, shown.width_mm, plane.pixel_mm[1], pixels.shape[1])
    square = square_pixels(pixels[top:bottom, left:right], plane.pixel_mm, finest)
    part = Cut(pixels[top:bottom, left:right], top, left)
    return Layer(png_uri(gray_of(square)), _place(part, plane))


def heated(activation: ActivationMap, plane: Plane) -> Layer | None:
    """The activation map in a plane as colors with opacity; None when the plane does not pass through it."""
    cut = plane.cut(activation.values, activation.box)
    if cut is None:
        return None
    values = square_pixels(cut.pixels, plane.pixel_mm, max(min(plane.pixel_mm), 0.5))
    return Layer(png_uri(heat_of(values)), _place(cut, plane))


def contours_of(findings: Findings, plane: Plane) -> tuple[Outline, ...]:
    """The outlines in that plane of all kidneys, then of all masses."""
    drawn = []
    objects: Iterable[Kidney | Mass] = (*findings.kidneys, *findings.masses)
    for each in objects:
        cut = plane.cut(each.mask.voxels, each.mask.box)
        if cut is not None and cut.pixels.any():
            kind = "mass" if isinstance(each, Mass) else "kidney"
            drawn.append(Outline(path_data(cut, plane), _color(each), kind))
    return tuple(drawn)


def projected(mass: Mass, plane: Plane) -> Outline:
    """The outline of a mass as it is seen through all slices."""
    return Outline(path_data(plane.shadow(mass.mask), plane), _color(mass), "projected")


def calipers_of(mass: Mass, plane: Plane) -> tuple[Line, ...]:
    """The long and the short axis of a mass, where they lie in that plane."""
    return tuple(
        Line(_pair(plane, caliper.start), _pair(plane, caliper.stop), kind)
        for caliper, kind in ((mass.short_axis, "short"), (mass.longest_axial, "long"))
        if lies_in(caliper, plane)
    )


def lies_in(caliper: Caliper, plane: Plane) -> bool:
    """Whether both ends of a caliper belong to the slice of that plane."""
    return all(abs(end[plane.normal] - plane.index) < 0.5 for end in (caliper.start, caliper.stop))


def names_of(
    masses: Iterable[Mass], plane: Plane, *, shown: Rectangle, letter_mm: float
) -> tuple[tuple[Label, ...], tuple[Line, ...]]:
    """Labels beside the masses, on the outer side where there is room, each on its own line; and their leader lines."""
    right, gap = shown.left_mm + shown.width_mm, 1.5 * letter_mm
    labels, leaders = [], []
    lowest: dict[tuple[bool, bool], float] = {}
    places = [(plane.around(mass.mask.box), mass) for mass in masses]
    for place, mass in sorted(places, key=lambda pair: (pair[0].top_mm + pair[0].height_mm / 2, pair[1].number)):
        # Room for the text and, beyond it, for the letter at the edge of the picture.
        room = gap + letter_mm * (0.62 * len(mass.name) + 1.5)
        place_right, level = place.left_mm + place.width_mm, place.top_mm + place.height_mm / 2
        on_left = (place.left_mm + place_right) / 2 < (shown.left_mm + right) / 2
        outside = place.left_mm - room > shown.left_mm if on_left else place_right + room < right
        leftward = on_left == outside
        column = (on_left, outside)
        y = lowest[column] = max(level, lowest.get(column, shown.top_mm) + 1.3 * letter_mm)
        edge, away = (place.left_mm, -1) if leftward else (place_right, 1)
        labels.append(Label(mass.name, edge + away * gap, y, "end" if leftward else "start", _color(mass)))
        leaders.append(Line((edge + away * gap * 0.8, y), (edge, level), "leader"))
    return tuple(labels), tuple(leaders)


def path_data(cut: Cut, plane: Plane) -> str:
    """SVG path data (mm, two decimals) of the outlines of a boolean cut, corners cut off by half a pixel."""
    height, width = plane.pixel_mm
    in_mm = [(polygon + np.array([cut.left, cut.top])) * (width, height) for polygon in outlines(cut.pixels)]
    return "".join(_path(beveled(polygon, min(height, width) / 2)) for polygon in in_mm)


def png_uri(pixels: NDArray[np.uint8]) -> str:
    """The pixels (gray, or with 3 or 4 channels last) as a PNG in a data URI; equal pixels, equal text."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, format="PNG", compress_level=6)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def greatest_slice(mask: Mask, axis: int) -> int:
    """The voxel index along `axis` where the mask has the greatest area; the first of equals."""
    areas = np.count_nonzero(mask.voxels, axis=tuple(other for other in range(3) if other != axis))
    return mask.box.start[axis] + int(np.argmax(areas))


def _path(corners: Polygon) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in corners.tolist()) + "Z"


def _color(each: Kidney | Mass) -> str:
    return hexadecimal(class_color(each.classification.mass_class) if isinstance(each, Mass) else KIDNEY_COLOR)


def _pair(plane: Plane, point: tuple[float, float, float]) -> tuple[float, float]:
    x, y = plane.to_picture(point)
    return float(x), float(y)


def _place(cut: Cut, plane: Plane) -> Rectangle:
    (rows, columns), (height, width) = cut.pixels.shape, plane.pixel_mm
    return Rectangle(cut.left * width, cut.top * height, columns * width, rows * height)


def _reach(start_mm: float, length_mm: float, pixel_mm: float, count: int) -> tuple[int, int]:
    """The pixels, and one more on both sides, that cover a stretch of an axis; at least one of the `count` pixels."""
    first = min(max(0, int(start_mm // pixel_mm) - 1), count - 1)
    last = min(max(first + 1, int((start_mm + length_mm) // pixel_mm) + 2), count)
    return first, last
