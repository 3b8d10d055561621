"""Connected domains of mass in reference and prediction, and which of them meet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.imaging.components import connected
from renalct.metrics.overlap import iou
from renalct.metrics.surfels import Booleans

_LARGEST_TABLE = 2**24
_NUMBERS = len(Structure)


@dataclass(frozen=True, eq=False)
class Domains:
    """The 26-connected components of a mask, numbered from 1 by decreasing size, then by position.

    `labels` (0 outside) has the shape of the mask; `voxels`, `boxes`, `structures` (that of most voxels) and `right`
    (share of voxels in the patient's right half) have one entry per domain, that of number n at n - 1. `dropped`
    counts the components that were too small, `small` is where they are.
    """

    labels: NDArray[np.unsignedinteger[Any]] = field(repr=False)
    voxels: NDArray[np.int64]
    boxes: tuple[Box, ...]
    structures: tuple[Structure, ...]
    right: NDArray[np.float64]
    dropped: int = 0
    small: Booleans | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Meeting:
    """A reference domain and a predicted domain that share voxels, by their numbers."""

    reference: int
    prediction: int
    voxels: int
    iou: float


def find_domains(mask: Booleans, values: NDArray[np.uint8], right: Booleans, *, min_voxels: float = 0) -> Domains:
    """The connected domains of a mask with at least `min_voxels`, larger ones first.

    `values` are the structures of the voxels; `right`, which broadcasts to the mask, is the patient's right half.
    """
    if not mask.any():
        empty = np.zeros(0, np.int64)
        return Domains(np.zeros(mask.shape, np.uint32), empty, (), (), empty.astype(float))
    raw, count = connected(mask, dtype=np.uint32)
    where = np.flatnonzero(mask)
    found = raw.ravel()[where].astype(np.int64)
    table = np.bincount(found * _NUMBERS + values.ravel()[where], minlength=(count + 1) * _NUMBERS)
    by_structure = table.reshape(count + 1, _NUMBERS)[1:]
    on_right = np.bincount(found[np.broadcast_to(right, mask.shape).ravel()[where]], minlength=count + 1)[1:]
    voxels = by_structure.sum(axis=1)
    kept = np.flatnonzero(voxels >= min_voxels)
    order = kept[np.argsort(-voxels[kept], kind="stable")]
    numbers = np.zeros(count + 1, np.uint32)
    numbers[order + 1] = np.arange(1, order.size + 1, dtype=np.uint32)
    bounds = cc3d.statistics(raw, no_slice_conversion=True)["bounding_boxes"].astype(int)
    dropped = int(count - order.size)
    identity = not dropped and bool((order == np.arange(count)).all())
    labels = raw if identity else numbers[raw]
    return Domains(
        labels,
        voxels[order],
        tuple(Box((b[0], b[2], b[4]), (b[1] + 1, b[3] + 1, b[5] + 1)) for b in bounds[order + 1].tolist()),
        tuple(Structure(int(best)) for best in by_structure[order].argmax(axis=1)),
        on_right[order] / np.maximum(voxels[order], 1),
        dropped,
        (raw > 0) & (labels == 0) if dropped else None,
    )


def meetings(reference: Domains, prediction: Domains) -> tuple[Meeting, ...]:
    """The pairs of domains that share a voxel, by the numbers of the reference, then of the prediction."""
    if not len(reference) or not len(prediction):
        return ()
    ours, theirs = reference.labels.ravel(), prediction.labels.ravel()
    both = np.flatnonzero((ours > 0) & (theirs > 0))
    keys = ours[both].astype(np.int64) * (len(prediction) + 1) + theirs[both]
    if (len(reference) + 1) * (len(prediction) + 1) <= max(_LARGEST_TABLE, keys.size):
        counts = np.bincount(keys)
        unique = np.flatnonzero(counts)
        counts = counts[unique]
    else:
        unique, counts = np.unique(keys, return_counts=True)
    found = []
    for key, shared in zip(unique.tolist(), counts.tolist(), strict=True):
        r, p = divmod(key, len(prediction) + 1)
        share = iou(shared, int(reference.voxels[r - 1]), int(prediction.voxels[p - 1]))
        found.append(Meeting(r, p, shared, share))
    return tuple(found)


def pair_off(found: tuple[Meeting, ...]) -> tuple[Meeting, ...]:
    """The meetings that remain when every domain keeps one partner: the highest IoU first, then the lowest numbers.

    For any threshold these are also the pairs that the same rule forms among the meetings above it.
    """
    references: set[int] = set()
    predictions: set[int] = set()
    pairs = []
    for meeting in sorted(found, key=lambda m: (-m.iou, m.reference, m.prediction)):
        if meeting.reference not in references and meeting.prediction not in predictions:
            references.add(meeting.reference)
            predictions.add(meeting.prediction)
            pairs.append(meeting)
    return tuple(pairs)
