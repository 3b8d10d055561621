"""Gray values of CT numbers, the color of each kind of object, and the scale of activation maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from renalct.core.labels import MassClass
from renalct.imaging.intensity import window

RGB = tuple[int, int, int]
Gray = NDArray[np.uint8]

WINDOW_HU = (-160.0, 240.0)
"""The soft tissue window of every picture (level 40, width 400): the usual one for the abdomen."""

# Colors that stay apart in all common forms of color blindness (after Okabe and Ito, made lighter for a dark picture).
# A color is never the only sign: kidneys have a dashed line, and every mass has its name and class beside it.
KIDNEY_COLOR: RGB = (82, 214, 160)
CALIPER_COLOR: RGB = (255, 255, 255)
_CLASS_COLORS: dict[MassClass, RGB] = {
    MassClass.AML: (246, 226, 74),
    MassClass.CYSTIC: (96, 190, 245),
    MassClass.SOLID: (255, 128, 80),
    MassClass.UNKNOWN: (232, 160, 216),
}

# Dark violet over red and orange to light yellow: lightness grows evenly, so that the scale also reads in gray.
_HEAT_STOPS: tuple[RGB, ...] = (
    (30, 8, 66), (92, 17, 110), (150, 38, 103), (206, 66, 73), (240, 112, 32), (252, 170, 15), (246, 240, 120),
)  # fmt: skip
HEAT_OPACITY = 0.62
"""How much of the color of an activation of 1 covers the picture; less activation covers less."""


def class_color(mass_class: MassClass) -> RGB:
    """The line color of masses of that class."""
    return _CLASS_COLORS[mass_class]


def hexadecimal(color: RGB) -> str:
    """The color as in CSS, for example ``#52d6a0``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def gray_of(hu: NDArray[np.generic]) -> Gray:
    """Gray values 0 to 255 (uint8) of CT numbers: black below `WINDOW_HU`, white above."""
    gray: Gray = np.rint(window(hu, *WINDOW_HU) * np.float32(255)).astype(np.uint8)
    return gray


def heat_of(activation: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colors with opacity (uint8, last axis red, green, blue, alpha) of activations from 0 to 1."""
    value = np.clip(activation, 0.0, 1.0)
    at = np.linspace(0.0, 1.0, len(_HEAT_STOPS))
    channels = [np.interp(value, at, [stop[c] for stop in _HEAT_STOPS]) for c in range(3)]
    channels.append(value * HEAT_OPACITY * 255.0)
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def heat_gradient() -> str:
    """The scale of `heat_of` as a CSS gradient from 0 (left) to 1 (right)."""
    return f"linear-gradient(90deg, {', '.join(hexadecimal(stop) for stop in _HEAT_STOPS)})"
