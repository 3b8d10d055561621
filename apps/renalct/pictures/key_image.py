"""Key images: the source slice of a mass with its contour, diameters, activation and a warning, burned in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from renalct.core.findings import ActivationMap, Caliper, Findings, Mass
from renalct.core.labels import MassClass
from renalct.core.volume import CTVolume, Mask
from renalct.pictures.colors import CALIPER_COLOR, KIDNEY_COLOR, RGB, class_color, gray_of, heat_of
from renalct.pictures.contours import rim
from renalct.pictures.drawing import greatest_slice
from renalct.pictures.planes import direction_letters

KeyImage = NDArray[np.uint8]
"""RGB, indexed (row, column, channel): row j and column i of one slice k of the volume."""

_WARNINGS = ("AI, unverified", "Not for clinical use")
_TEXT_COLOR: RGB = (255, 255, 255)
_WARNING_COLOR: RGB = (255, 214, 102)
_SLICE_AXIS = 2
_LARGEST_TEXT, _SMALLEST_TEXT = 28, 8


def key_slice(mass: Mass) -> int:
    """The slice k that shows a mass: that of its longest axial diameter.

    Where that diameter does not lie in one slice k (the slices are not axial), the slice with the most of the mass.
    """
    if _in_slice(mass.longest_axial, round(mass.longest_axial.start[_SLICE_AXIS])):
        return round(mass.longest_axial.start[_SLICE_AXIS])
    return greatest_slice(mass.mask, _SLICE_AXIS)


def draw_key_image(volume: CTVolume, mass: Mass, findings: Findings, *, heading: str) -> KeyImage:
    """The slice `key_slice(mass)` as RGB pixels (row j, column i), one for each pixel of the source, not turned.

    In the soft tissue window, with the mass' activation map, a line one pixel outside of every kidney and mass (kidneys
    dashed), the mass' calipers, and burned in: a warning, `heading` (name and version of the release), the
    mass' name, class and probability, and the directions of the patient. Text is scaled to the picture; of a picture
    too small for a line that line is left out, the warning last.
    """
    k = key_slice(mass)
    pixels = np.repeat(gray_of(volume.hu[:, :, k].T)[:, :, None], 3, axis=2)
    if mass.activation is not None:
        _cover(pixels, mass.activation, k)
    rows, columns = np.indices(pixels.shape[:2])
    masses = [(_slice_of(each.mask, k, pixels.shape[:2]), each) for each in findings.masses]
    inside_a_mass = np.any([covered for covered, _ in masses], axis=0)
    for kidney in findings.kidneys:
        edge = rim(_slice_of(kidney.mask, k, pixels.shape[:2])) & ~inside_a_mass
        pixels[edge & ((rows + columns) % 6 < 4)] = KIDNEY_COLOR
    for covered, each in sorted(masses, key=lambda pair: pair[1].number == mass.number):
        pixels[rim(covered)] = class_color(each.classification.mass_class)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for caliper in (mass.short_axis, mass.longest_axial):
        if _in_slice(caliper, k):
            draw.line([caliper.start[:2], caliper.stop[:2]], fill=CALIPER_COLOR, width=1)
    lines = [(text, _WARNING_COLOR) for text in _WARNINGS]
    lines += [(_title(mass), class_color(mass.classification.mass_class)), (heading, _TEXT_COLOR)]
    _write(draw, image.size, lines)
    _write_letters(draw, image.size, volume)
    return np.array(image)


def _title(mass: Mass) -> str:
    mass_class = mass.classification.mass_class
    probability = None if mass_class is MassClass.UNKNOWN else mass.classification.probability(mass_class)
    sure = "" if probability is None else f" {100 * probability:.0f} %"
    named = "class unknown" if mass_class is MassClass.UNKNOWN else mass_class.title
    return f"{mass.name}: {named}{sure}, {mass.longest_axial.length_mm:.0f} mm"


def _in_slice(caliper: Caliper, k: int) -> bool:
    return abs(caliper.start[_SLICE_AXIS] - k) < 0.5 and abs(caliper.stop[_SLICE_AXIS] - k) < 0.5


def _slice_of(mask: Mask, k: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    whole = np.zeros(shape, dtype=bool)
    columns, rows, slices = mask.box.slices
    if slices.start <= k < slices.stop:
        whole[rows, columns] = mask.voxels[:, :, k - slices.start].T
    return whole


def _cover(pixels: KeyImage, activation: ActivationMap, k: int) -> None:
    """Lay the activation map over the pixels, in place."""
    columns, rows, slices = activation.box.slices
    if slices.start <= k < slices.stop:
        heat = heat_of(activation.values[:, :, k - slices.start].T).astype(np.float32)
        opacity = heat[:, :, 3:] / np.float32(255)
        below = pixels[rows, columns]
        pixels[rows, columns] = np.rint(below * (1 - opacity) + heat[:, :, :3] * opacity).astype(np.uint8)


def _write(draw: ImageDraw.ImageDraw, size: tuple[int, int], lines: Iterable[tuple[str, RGB]]) -> None:
    """Write lines from the top left corner down, each as large as it fits, in the upper third of the picture."""
    columns, rows = size
    wanted = min(_LARGEST_TEXT, max(_SMALLEST_TEXT + 1, rows // 34))
    margin = max(1, wanted // 3)
    y = margin
    for text, color in lines:
        for height in range(wanted, _SMALLEST_TEXT - 1, -1):
            font = ImageFont.load_default(height)
            _, _, right, bottom = draw.textbbox((margin, y), text, font=font, stroke_width=1)
            if right <= columns and bottom <= max(rows / 3, 2 * _SMALLEST_TEXT):
                _put(draw, (margin, y), text, color=color, height=height)
                y += round(height * 1.25)
                break


def _write_letters(draw: ImageDraw.ImageDraw, size: tuple[int, int], volume: CTVolume) -> None:
    """Write what lies at the right edge and at the bottom (R L A P H F) where there is room."""
    columns, rows = size
    height = min(_LARGEST_TEXT, rows // 34)
    if height < _SMALLEST_TEXT or columns < rows // 2:
        return
    directions = volume.grid.affine[:3, :3] / np.asarray(volume.grid.spacing_mm)
    to_right, to_bottom = (direction_letters(directions[:, axis]) for axis in (0, 1))
    _put(draw, (columns - height // 2, rows // 2), to_right, height=height, anchor="rm")
    _put(draw, (columns // 2, rows - height // 2), to_bottom, height=height, anchor="mb")


def _put(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    *,
    height: int,
    color: RGB = _TEXT_COLOR,
    anchor: str = "la",
) -> None:
    font = ImageFont.load_default(height)
    draw.text(place, text, fill=color, font=font, anchor=anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    draw.text(place, text, fill=color, font=font, anchor=anchor)  # once more: small letters are thin and look dull
