"""Real kidneys and masses moved into other volumes: matched in brightness and noise, feathered, never onto bone.

Both volumes keep their own grids: a piece is carried over in millimetres and resampled where it comes to lie.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap, Mask
from renalct.imaging.components import connected
from renalct.synthetic.fields import Floats, Point, rotation
from renalct.synthetic.pieces import Bools, Bytes, Piece, upright

BONE_HU, _AIR_HU = 200.0, -250.0
_FLUID_HU, _ENHANCED_HU = 30.0, 55.0  # what lies under the first does not enhance; kidneys under the second do not
_STRONGEST = 2.0
_LARGEST_MUSCLE_SHARE = 0.2
_NOISE_REACH = 3.0
_FINE = (1.2, 1.2, 0.0)  # voxels: what is finer is noise
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class TransplantSettings:
    """How a piece is put in: half-width of the blended edge, turning and scaling of masses, and how often to try."""

    feather_mm: float = 1.2
    turn_rad: float = 0.5
    scale: float = 0.15
    mirror: float = 0.5
    match: bool = True
    attempts: int = 40

    def __post_init__(self) -> None:
        if self.feather_mm <= 0 or self.attempts < 1 or not 0 <= self.scale < 1 or not 0 <= self.mirror <= 1:
            raise ValueError("feather_mm and attempts are positive, scale is from 0 to under 1, mirror from 0 to 1")


@dataclass(frozen=True, eq=False)
class Transplanted:
    """A volume with what was put in, its label map, and where the piece lies."""

    volume: CTVolume = field(repr=False)
    label_map: LabelMap = field(repr=False)
    mask: Mask


def transplant(
    volume: CTVolume,
    label_map: LabelMap,
    piece: Piece,
    *,
    seed: int,
    settings: TransplantSettings = TransplantSettings(),
) -> Transplanted | None:
    """The volume with a mass put onto one of its kidneys, or a kidney put in the place of one; None if it fits nowhere.

    The piece lies where it touches a kidney, no other mass, no bone and no air, and inside the field but for first and
    last slices; one that its own volume cut off, only where the recipient ends too. The same seed gives the same
    voxels. The input is not changed.
    """
    rng = np.random.default_rng(seed)
    hu = volume.hu.astype(np.float32)
    values = label_map.values.copy()
    up_hu, up_values = upright(hu, label_map), upright(values, label_map)
    spacing = label_map.grid.canonical().spacing_mm
    target_hu = up_hu[up_values == Structure.KIDNEY]
    if not target_hu.size or piece.goes_off:
        return None
    if settings.match:
        piece = _matched(piece, float(np.median(target_hu)))
    hard = _hard(up_hu, up_values)
    for _ in range(settings.attempts):
        placed = _placed(piece, up_values, spacing, settings, rng)
        if placed is None or not _fits(placed, up_hu, up_values, hard):
            continue
        if settings.match:
            placed = _as_noisy(placed, up_hu, up_values, rng)
        filled = _put(up_hu, up_values, placed, settings.feather_mm, hard)
        whole = np.zeros(label_map.grid.shape, dtype=bool)
        upright(whole, label_map)[placed.box.slices] = filled
        tight = Box.around(whole)
        out = np.rint(hu).astype(np.int16) if volume.hu.dtype == np.int16 else hu
        return Transplanted(
            CTVolume(out, volume.grid, volume.phase, volume.source),
            LabelMap(values, label_map.grid),
            Mask(tight, whole[tight.slices]),
        )
    return None


def matched_hu(hu: Floats, *, kidney_hu: float, target_hu: float) -> Floats:
    """CT numbers with all enhancement above 30 HU scaled so that a kidney of one median gets the other.

    Fluid and fat stay as they are. Kidneys that do not enhance are no measure: then nothing is changed.
    """
    if not (kidney_hu > _ENHANCED_HU and target_hu > _ENHANCED_HU):
        return hu
    factor = float(np.clip((target_hu - _FLUID_HU) / (kidney_hu - _FLUID_HU), 1 / _STRONGEST, _STRONGEST))
    return np.where(hu > _FLUID_HU, _FLUID_HU + (hu - _FLUID_HU) * np.float32(factor), hu).astype(np.float32)


def _matched(piece: Piece, target_hu: float) -> Piece:
    hu = matched_hu(piece.hu, kidney_hu=piece.kidney_hu, target_hu=target_hu)
    return replace(piece, hu=hu, kidney_hu=target_hu)


def _hard(hu: Floats, values: Bytes) -> Bools:
    """Bone, filled vessels and air: what nothing may grow into, with a voxel about it."""
    found = ((hu > BONE_HU) | (hu < _AIR_HU)) & (values == 0)
    found = ndimage.binary_opening(found, np.ones((2, 2, 1), dtype=bool))  # single noisy pixels are neither
    return np.asarray(ndimage.binary_dilation(found, np.ones((3, 3, 1), dtype=bool)))


@dataclass(frozen=True, eq=False)
class _Placed:
    """A piece resampled onto a box of the recipient: CT numbers, labels, distance from its surface (mm)."""

    box: Box
    hu: Floats
    labels: Bytes
    distance_mm: Floats
    around_mm: float
    replaced: Bools = field(repr=False)  # on the whole recipient


def _placed(
    piece: Piece, values: Bytes, spacing: Point, settings: TransplantSettings, rng: np.random.Generator
) -> _Placed | None:
    kidneys = np.argwhere(values == Structure.KIDNEY)
    if piece.around_mm:
        place, matrix, replaced = _kidney_place(piece, values, kidneys, spacing, rng)
    else:
        place = kidneys[int(rng.integers(len(kidneys)))].astype(np.float64)
        mirror = np.diag([-1.0 if rng.random() < settings.mirror else 1.0, 1.0, 1.0])
        size = 1 + rng.uniform(-settings.scale, settings.scale)
        matrix = rotation(0, 0, rng.normal(0, settings.turn_rad)) @ mirror * size
        replaced = np.zeros(values.shape, dtype=bool)
    extent = np.abs(matrix) @ (np.asarray(piece.labels.shape) * piece.spacing_mm / 2)
    middle = (np.asarray(piece.labels.shape) - 1) / 2 * piece.spacing_mm / spacing
    place = np.rint(place) + middle % 1  # voxel on voxel where spacings are alike
    half, last = extent[2] / spacing[2], values.shape[2] - 1
    lowest = last + 0.5 - half if piece.goes_on[1] else -np.inf  # where it is cut off, the recipient ends too
    highest = half - 0.5 if piece.goes_on[0] else np.inf
    if lowest > highest + 1e-6:
        return None
    place[2] = np.clip(place[2], min(lowest, highest), highest)
    low = np.floor(place - extent / spacing).astype(int)
    high = np.ceil(place + extent / spacing).astype(int) + 1
    if (low[:2] < 0).any() or (high[:2] > values.shape[:2]).any():
        return None
    start, stop = np.maximum(low, 0), np.minimum(high, values.shape)
    if (stop <= start).any():
        return None
    box = Box(tuple(int(v) for v in start), tuple(int(v) for v in stop))  # type: ignore[arg-type]
    index = np.indices(box.shape, dtype=np.float32).reshape(3, -1)
    offset = (index + start[:, None] - place[:, None]) * np.asarray(spacing)[:, None]
    source = (np.linalg.inv(matrix) @ offset) / np.asarray(piece.spacing_mm)[:, None]
    source += (np.asarray(piece.labels.shape)[:, None] - 1) / 2
    source = source.reshape(3, *box.shape)
    inside = piece.labels > 0
    distance = _signed(inside, piece.spacing_mm)
    hu = piece.hu if piece.around_mm else _spread(piece.hu, distance)
    labels = piece.labels if piece.around_mm else _spread(piece.labels, distance)
    edge = ndimage.map_coordinates(distance, source, order=1, mode="nearest")
    if box.shape == tuple(high - low):  # nothing is cut off: the volume is kept
        count = inside.sum() * np.prod(piece.spacing_mm) / np.prod(spacing) * abs(np.linalg.det(matrix))
        rank = edge.size - int(np.clip(round(float(count)), 1, edge.size - 1)) - 1
        edge = edge - min(float(np.partition(edge.ravel(), rank)[rank]), float(edge.max()) - 1e-3)
    return _Placed(
        box,
        ndimage.map_coordinates(hu, source, order=1, mode="nearest"),
        np.where(edge > 0, ndimage.map_coordinates(labels, source, order=0, mode="nearest"), 0).astype(np.uint8),
        edge.astype(np.float32),
        piece.around_mm,
        replaced,
    )


def _kidney_place(
    piece: Piece, values: Bytes, kidneys: NDArray[np.intp], spacing: Point, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], Bools]:
    """The middle of a recipient's organ, a shift of a few mm, and the organ that is replaced."""
    parts, _ = connected(np.ascontiguousarray(values > 0))
    chosen = parts == parts[tuple(kidneys[int(rng.integers(len(kidneys)))])]
    place = np.argwhere(chosen).mean(axis=0) + rng.normal(0, (4, 4, 0)) / spacing
    own = np.argwhere(piece.labels > 0).mean(axis=0)
    center = (np.asarray(piece.labels.shape) - 1) / 2
    return place - (own - center) * piece.spacing_mm / spacing, np.eye(3), np.asarray(chosen)


def _signed(inside: Bools, spacing: Point) -> Floats:
    """Distance from the surface (mm), positive inside; slices beyond the first and last count as more of the same."""
    padded = np.pad(np.pad(inside, ((1, 1), (1, 1), (0, 0))), ((0, 0), (0, 0), (1, 1)), mode="edge")
    distance = ndimage.distance_transform_edt(padded, sampling=spacing)
    distance -= ndimage.distance_transform_edt(~padded, sampling=spacing)
    half = 0.5 * min(spacing)
    return np.asarray((distance - np.sign(distance) * half)[1:-1, 1:-1, 1:-1], dtype=np.float32)


def _spread(values: NDArray[Scalar], distance_mm: Floats) -> NDArray[Scalar]:
    """The values of the inside carried outwards, so that what surrounded a mass does not come along with it."""
    core = distance_mm > 0.25 * distance_mm.max() if distance_mm.max() < 2 else distance_mm > 0.8
    nearest = ndimage.distance_transform_edt(~core, return_distances=False, return_indices=True)
    spread: NDArray[Scalar] = values[tuple(nearest)]
    return spread


def _fits(placed: _Placed, hu: Floats, values: Bytes, hard: Bools) -> bool:
    inside = placed.labels > 0
    under = values[placed.box.slices]
    if not inside.any() or (hard[placed.box.slices] & inside).any():
        return False
    near = ndimage.binary_dilation(inside)
    masses = (under > Structure.KIDNEY) & near
    if placed.around_mm:
        return not (masses & ~placed.replaced[placed.box.slices]).any() and bool(
            (placed.replaced[placed.box.slices] & inside).any()
        )
    muscle = (under == 0) & (hu[placed.box.slices] > 0) & inside  # or another organ: a mass pushes little of it aside
    if muscle.sum() > _LARGEST_MUSCLE_SHARE * inside.sum():
        return False
    return not masses.any() and bool((under[near] == Structure.KIDNEY).any())


def _put(hu: Floats, values: Bytes, placed: _Placed, feather_mm: float, hard: Bools) -> Bools:
    """Blend a piece into upright views of a volume and its labels; returns where it lies in its box."""
    part, under = hu[placed.box.slices], values[placed.box.slices]
    inside = placed.labels > 0
    if placed.around_mm:
        _empty(hu, values, placed.replaced)
    share = np.clip(0.5 + (placed.distance_mm + placed.around_mm) / (2 * feather_mm), 0, 1).astype(np.float32)
    share = share * share * (3 - 2 * share)
    foreign = ((placed.hu > BONE_HU) | (placed.hu < _AIR_HU)) & ~inside
    blocked = ndimage.binary_dilation(foreign | hard[placed.box.slices], np.ones((3, 3, 1), dtype=bool)) & ~inside
    share *= 1 - ndimage.gaussian_filter(blocked.astype(np.float32), (0.7, 0.7, 0)) * ~inside
    part += share * (placed.hu - part)
    under[inside] = placed.labels[inside]
    return inside


def _noise_sd(hu: Floats, where: Bools) -> float:
    """Standard deviation of the finest structure, taken to be normal; edges are few and do not count."""
    return 1.5 * float(np.median(np.abs(hu - ndimage.gaussian_filter(hu, _FINE))[where]))


def _as_noisy(placed: _Placed, hu: Floats, values: Bytes, rng: np.random.Generator) -> _Placed:
    """A piece with as much noise as the recipient's kidneys have; a noisier one is left as it is."""
    box = Box.around(values > 0)
    inside = placed.labels > 0
    wanted, own = _noise_sd(hu[box.slices], values[box.slices] > 0), _noise_sd(placed.hu, inside)
    if wanted <= own:
        return placed
    noise = ndimage.gaussian_filter(rng.standard_normal(placed.hu.shape, dtype=np.float32), (0.5, 0.5, 0))
    noise *= np.float32(np.sqrt(wanted**2 - own**2) / max(_noise_sd(noise, np.ones_like(inside)), 1e-6))
    return replace(placed, hu=placed.hu + noise)


def _empty(hu: Floats, values: Bytes, organ: Bools) -> None:
    """Make fat of an organ, with the noise that is there; its labels go."""
    box = Box.around(organ).grown((6, 6, 0), organ.shape)  # type: ignore[arg-type]
    part, gone = hu[box.slices], organ[box.slices]
    fat = part[(values[box.slices] == 0) & (part < -30) & (part > -160)]
    level = np.float32(np.median(fat)) if fat.size else np.float32(-100)
    noise = part - ndimage.gaussian_filter(part, _FINE)
    sd = _noise_sd(part, gone)
    noise = np.clip(noise, -_NOISE_REACH * sd, _NOISE_REACH * sd)
    soft = ndimage.gaussian_filter(ndimage.binary_dilation(gone).astype(np.float32), (1.0, 1.0, 0.0))
    soft[gone] = 1.0
    part += soft * (level + noise - part)
    values[organ] = 0
