"""The right and the left half of a patient, from where the kidneys lie."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.labels import Side
from renalct.imaging.components import connected
from renalct.imaging.measure import sides
from renalct.metrics.overlap import LabelPair, MaskPair
from renalct.metrics.surfels import Booleans

MIN_KIDNEY_ML = 10.0
"""A smaller part of the label map is no kidney (as for the analysis of a patient)."""
_WHOLE_BODY_MM = 250.0


@dataclass(frozen=True, eq=False)
class Halves:
    """Where the patient's right half is, as an array that broadcasts to the arrays of the pair that it was made from.

    `right` is None when right and left cannot be told.
    """

    right: Booleans | None = field(repr=False)

    def of(self, side: Side) -> Booleans:
        """Where that half is; everything for `UNDETERMINED`."""
        if self.right is None or side is Side.UNDETERMINED:
            return np.ones((1, 1, 1), bool)
        return self.right if side is Side.RIGHT else ~self.right

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides that can be told apart, the right one first."""
        return (Side.UNDETERMINED,) if self.right is None else (Side.RIGHT, Side.LEFT)

    def cut(self, pair: MaskPair) -> Halves:
        """The same halves for a pair of masks that was cut out of the pair that they were made from."""
        if self.right is None:
            return self
        inner = [part if n > 1 else slice(None) for part, n in zip(pair.box.slices, self.right.shape, strict=True)]
        return Halves(self.right[tuple(inner)])


def halves_of(pair: LabelPair) -> Halves:
    """The right and left half of a patient, by the kidneys (with masses) of the reference; by the prediction's if the
    reference is empty.

    Two kidneys whose centers are at least 60 mm apart are parted by the middle of the empty sagittal planes between
    them, or, where there are none, voxel by voxel after the nearer kidney. A single one takes its side from the middle
    of the image if that is at least 250 mm wide and the kidney 15 mm off it; what lies beyond the middle, and beyond
    the kidney, is the other half. Anything else stays undetermined.
    """
    labels = pair.reference if pair.reference.any() else pair.prediction
    mask = labels > 0
    across, sign = pair.whole.canonical_axes[0]
    lateral = pair.axes.index(across)
    spacing, start = pair.spacing_mm[lateral], pair.box.start[across]
    profile = mask.sum(axis=tuple(n for n in range(3) if n != lateral), dtype=np.int64)
    least = MIN_KIDNEY_ML / pair.whole.voxel_ml
    gap = _gap(profile, least, sign * spacing)
    if gap is not None:
        return _beyond(gap, lateral, pair, sign)
    organs = _two_organs(mask, pair, least, lateral, sign)
    if organs is not None:
        return Halves(organs)
    middle = (pair.whole.shape[across] - 1) / 2 - start
    center = float(np.average(np.arange(profile.size), weights=profile))
    filled = np.flatnonzero(profile)
    if pair.whole.shape[across] * spacing < _WHOLE_BODY_MM:
        return Halves(None)
    (side,) = sides([(sign * (center - middle) * spacing, 0.0, 0.0)], 0.0)
    if side is Side.UNDETERMINED:
        return Halves(None)
    below = center < middle
    border = max(middle, float(filled[-1]) + 0.5) if below else min(middle, float(filled[0]) - 0.5)
    return _beyond(border, lateral, pair, sign)


def _gap(profile: NDArray[np.int64], least: float, step_mm: float) -> float | None:
    """The middle of the widest run of empty planes, when it parts two kidneys."""
    filled = np.flatnonzero(profile)
    widths = np.diff(filled)
    if not widths.size or widths.max() < 2:
        return None
    last = int(np.argmax(widths))
    border = (filled[last] + filled[last + 1]) / 2
    low, high = filled[: last + 1], filled[last + 1 :]
    if min(profile[low].sum(), profile[high].sum()) < least:
        return None
    centers = [float(np.average(part, weights=profile[part])) * step_mm for part in (low, high)]
    return None if Side.UNDETERMINED in _told_apart(centers) else float(border)


def _two_organs(mask: Booleans, pair: LabelPair, least: float, lateral: int, sign: int) -> Booleans | None:
    """Where the nearer of the two largest components is the right one, if they are two kidneys."""
    labels, _ = connected(mask)
    sizes = np.bincount(labels.ravel())[1:]
    if sizes.size < 2:
        return None
    largest = np.argsort(-sizes, kind="stable")[:2] + 1
    if sizes[largest - 1].min() < least:
        return None
    places = [np.flatnonzero((labels == n).any(axis=tuple(a for a in range(3) if a != lateral))) for n in largest]
    centers = []
    for number, place in zip(largest, places, strict=True):
        profile = (labels == number).sum(axis=tuple(a for a in range(3) if a != lateral), dtype=np.int64)
        centers.append(float(np.average(place, weights=profile[place])) * sign * pair.spacing_mm[lateral])
    told = _told_apart(centers)
    if Side.UNDETERMINED in told:
        return None
    organs = np.isin(labels, largest)
    nearest = ndimage.distance_transform_edt(
        ~organs, sampling=pair.spacing_mm, return_distances=False, return_indices=True
    )
    right: Booleans = labels[tuple(nearest)] == largest[told.index(Side.RIGHT)]
    return right


def _told_apart(centers_mm: list[float]) -> tuple[Side, ...]:
    return sides([(center, 0.0, 0.0) for center in centers_mm], None)


def _beyond(border: float, lateral: int, pair: LabelPair, sign: int) -> Halves:
    n = pair.reference.shape[lateral]
    high = np.arange(n) > border
    shape = [1, 1, 1]
    shape[lateral] = n
    return Halves((high if sign > 0 else ~high).reshape(shape))
