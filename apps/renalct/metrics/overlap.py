"""Two label maps of one case laid on each other: cut to what is labelled, region by region, and their overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import GeometryError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Region, Structure
from renalct.core.volume import LabelMap
from renalct.metrics.surface_scores import Distances, compare_masks, join_apart
from renalct.metrics.surfels import Booleans, Spacing

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class MaskPair:
    """A region in the reference and in the prediction, both cut to the box at index `start` that holds both.

    `parts` are two pairs that share no 2 x 2 x 2 block of voxels and make this one; distances are then taken part by
    part.
    """

    reference: Booleans = field(repr=False)
    prediction: Booleans = field(repr=False)
    spacing_mm: Spacing
    start: tuple[int, int, int] = (0, 0, 0)
    parts: tuple[MaskPair, MaskPair] | None = None

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Voxels of the reference, and of the prediction."""
        return int(np.count_nonzero(self.reference)), int(np.count_nonzero(self.prediction))

    @cached_property
    def both(self) -> int:
        """Voxels that are in both."""
        return int(np.count_nonzero(self.reference & self.prediction))

    @property
    def dice(self) -> float:
        """2 |P and R| / (|P| + |R|); 1 when both are empty."""
        return dice(self.both, *self.counts)

    @cached_property
    def distances(self) -> Distances:
        """The distances between the surfaces, measured once."""
        if self.parts:
            return join_apart(self.parts[0].distances, self.parts[1].distances)
        return compare_masks(self.reference, self.prediction, self.spacing_mm, start=self.start)

    @property
    def box(self) -> Box:
        """Where the arrays lie in those that they were cut out of."""
        return Box.whole(self.reference.shape).shifted(self.start)  # type: ignore[arg-type]

    def within(self, where: Booleans) -> MaskPair:
        """The part of both masks inside `where`, an array that broadcasts to them, cut to its own box."""
        return cut(replace(self, reference=self.reference & where, prediction=self.prediction & where, parts=None))


@dataclass(frozen=True, eq=False)
class LabelPair:
    """The labels of reference and prediction inside the box that holds all of both, as C-contiguous arrays.

    The axes run as they do in memory: axis n is axis `axes[n]` of `grid`, the grid of the box.
    """

    reference: Labels = field(repr=False)
    prediction: Labels = field(repr=False)
    axes: tuple[int, int, int]
    box: Box
    whole: Grid

    @property
    def spacing_mm(self) -> Spacing:
        """Distance between voxels along the arrays' own axes."""
        x, y, z = (self.whole.spacing_mm[axis] for axis in self.axes)
        return x, y, z

    @property
    def grid(self) -> Grid:
        """The grid of the box, with the axes of the label maps as they were given."""
        return self.whole.cropped(self.box)

    def region(self, region: Region) -> MaskPair:
        """Both masks of a region, cut to their box."""
        return cut(MaskPair(_mask(self.reference, region.value), _mask(self.prediction, region.value), self.spacing_mm))


def lay_on_each_other(prediction: LabelMap, reference: LabelMap, *, case: str) -> LabelPair | None:
    """Both label maps inside the smallest box that holds all labels of both; None when neither has any.

    Raises `GeometryError` when their grids differ: KiTS's own script compares nothing, and takes the spacing of the
    prediction.
    """
    _check_same_place(prediction.grid, reference.grid, case)
    i, j, k = sorted(range(3), key=lambda axis: -abs(reference.values.strides[axis]))
    ours, theirs = reference.values.transpose(i, j, k), prediction.values.transpose(i, j, k)
    first, second = box_of(ours), box_of(theirs)
    if not math.prod(first.shape) and not math.prod(second.shape):
        return None
    box = first if not math.prod(second.shape) else second if not math.prod(first.shape) else first.union(second)
    back = [(i, j, k).index(axis) for axis in range(3)]
    return LabelPair(
        np.ascontiguousarray(ours[box.slices]),
        np.ascontiguousarray(theirs[box.slices]),
        (i, j, k),
        Box(tuple(box.start[n] for n in back), tuple(box.stop[n] for n in back)),  # type: ignore[arg-type]
        reference.grid,
    )


def dice(both: float, reference: float, prediction: float) -> float:
    """2 |P and R| / (|P| + |R|) of three volumes or counts; 1 when both are empty.

    Beheshtifard 2023 prints 2 |P and R| / |P or R|, which grows to 2 and is no Dice coefficient.
    """
    return 2 * both / (reference + prediction) if reference + prediction else 1.0


def iou(both: float, reference: float, prediction: float) -> float:
    """|P and R| / |P or R| of three volumes or counts; 1 when both are empty."""
    union = reference + prediction - both
    return both / union if union else 1.0


def same_or(inner: MaskPair, outer: MaskPair) -> MaskPair:
    """The outer pair, whose distances need not be measured twice, when the inner one has all of its voxels."""
    return outer if inner.counts == outer.counts else inner


def cut(pair: MaskPair) -> MaskPair:
    """The same pair on the smallest box that holds both masks; on no voxels when both are empty."""
    first, second = box_of(pair.reference), box_of(pair.prediction)
    filled = [box for box in (first, second) if math.prod(box.shape)]
    if not filled:
        nothing = np.zeros((0, 0, 0), bool)
        return replace(pair, reference=nothing, prediction=nothing)
    box = filled[0].union(filled[-1])
    return replace(
        pair,
        reference=np.ascontiguousarray(pair.reference[box.slices]),
        prediction=np.ascontiguousarray(pair.prediction[box.slices]),
        start=box.shifted(pair.start).start,
    )


def box_of(array: NDArray[np.bool_] | Labels) -> Box:
    """The smallest box that holds every voxel which is not 0; quick when the first axis is the slowest in memory."""
    if not array.size:
        return Box((0, 0, 0), (0, 0, 0))
    values = array.view(np.uint8)
    plane = values.max(axis=0)
    rows, columns = np.flatnonzero(plane.max(axis=1)), np.flatnonzero(plane.max(axis=0))
    if not rows.size:
        return Box((0, 0, 0), (0, 0, 0))
    row, column = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    slabs = np.flatnonzero(values[:, row, column].max(axis=(1, 2)))
    return Box((int(slabs[0]), row.start, column.start), (int(slabs[-1]) + 1, row.stop, column.stop))


def _mask(values: Labels, structures: frozenset[Structure]) -> Booleans:
    """Where a voxel is of one of the structures; comparing is several times as quick as looking up in a table."""
    if structures == frozenset(Structure) - {Structure.BACKGROUND}:
        return np.not_equal(values, 0)
    mask: Booleans = np.zeros(values.shape, bool)
    for structure in structures:
        mask |= values == structure.value
    return mask


def _check_same_place(prediction: Grid, reference: Grid, case: str) -> None:
    advice = "resample the prediction to the grid of the reference, or give the pair that belongs together"
    if prediction.shape != reference.shape:
        raise GeometryError(
            f"{case}: the prediction has {prediction.shape} voxels and the reference {reference.shape}; {advice}"
        )
    frames = {prediction.frame_of_reference_uid, reference.frame_of_reference_uid} - {""}
    if len(frames) > 1:
        raise GeometryError(f"{case}: prediction and reference lie in two frames of reference; {advice}")
    if not replace(prediction, frame_of_reference_uid="").same_as(replace(reference, frame_of_reference_uid="")):
        corners = np.array([(0, 0, 0), prediction.shape]) - 0.5
        apart = np.abs(prediction.to_patient(corners) - reference.to_patient(corners)).max()
        raise GeometryError(
            f"{case}: prediction and reference have the same shape but lie up to {apart:.3g} mm apart; {advice}"
        )
