"""Kidneys and masses cut out of labelled volumes, to be put into others (`transplant`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import Side, Structure
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.imaging.components import connected
from renalct.synthetic.fields import Floats, Point

_MARGIN_MM = 6.0  # of fat that comes along with a kidney
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Piece:
    """A mass, or a kidney with its masses, cut out upright (axes R, A, S), and the median HU of its kidney's tissue.

    `labels` are 0 outside of the piece. `around_mm` of what surrounds it are carried along: 0 for a mass. `goes_on`
    says whether the piece is cut off by the first or last slice (foot, head) of its volume, `goes_off` whether
    by another face of it: then it cannot be put anywhere.
    """

    hu: Floats = field(repr=False)
    labels: Bytes = field(repr=False)
    spacing_mm: Point
    kidney_hu: float
    around_mm: float
    goes_on: tuple[bool, bool] = (False, False)
    goes_off: bool = False


def upright(values: NDArray[Scalar], label_map: LabelMap) -> NDArray[Scalar]:
    """A view of an array on a label map's grid with axes along R, A and S."""
    axes = label_map.grid.canonical_axes
    turned = values.transpose([axis for axis, _ in axes])
    return turned[tuple(slice(None, None, sign) for _, sign in axes)]


def cut_mass(volume: CTVolume, label_map: LabelMap, mask: Mask) -> Piece:
    """The mass of a mask, with nothing of what surrounds it."""
    inside = np.zeros(label_map.grid.shape, dtype=bool)
    mask.paint(inside, True)
    return _cut(volume, label_map, inside, 0.0)


def cut_kidney(volume: CTVolume, label_map: LabelMap, side: Side) -> Piece | None:
    """The largest labelled organ right or left of the middle of the field, with the fat about it; None without one."""
    organ = _organ(label_map, side)
    return None if organ is None else _cut(volume, label_map, organ, _MARGIN_MM)


def _organ(label_map: LabelMap, side: Side) -> Bools | None:
    parts, count = connected(np.ascontiguousarray(label_map.values > 0))
    middle = label_map.grid.to_patient((np.asarray(label_map.grid.shape) - 1) / 2)[0]
    best: tuple[int, int] | None = None
    for number in range(1, count + 1):
        where = np.argwhere(parts == number)
        right = label_map.grid.to_patient(where.mean(axis=0))[0] > middle
        if right == (side is Side.RIGHT) and (best is None or len(where) > best[0]):
            best = len(where), number
    return None if best is None else np.asarray(parts == best[1])


def _cut(volume: CTVolume, label_map: LabelMap, inside: Bools, around_mm: float) -> Piece:
    if not inside.any():
        raise ValueError("a piece holds at least one voxel")
    kidney = volume.hu[label_map.values == Structure.KIDNEY]
    reference = float(np.median(kidney)) if kidney.size else float("nan")
    spacing = label_map.grid.canonical().spacing_mm
    whole = upright(inside, label_map)
    box = Box.around(whole).grown([int(np.ceil((around_mm + 4) / s)) for s in spacing], whole.shape)  # type: ignore[arg-type]
    labels = np.where(whole, upright(label_map.values, label_map), 0)[box.slices].astype(np.uint8)
    hu = upright(volume.hu, label_map)[box.slices].astype(np.float32)
    goes_on = bool(whole[:, :, 0].any()), bool(whole[:, :, -1].any())
    goes_off = bool(whole[[0, -1]].any() or whole[:, [0, -1]].any())
    return Piece(hu, labels, spacing, reference, around_mm, goes_on, goes_off)
