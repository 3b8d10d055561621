"""Masses as the cascade finds them, with the class that the reference gives: for training a classifier on its own
future input instead of readers' masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from renalct.cascade import Cascade
from renalct.core.volume import Mask
from renalct.models.cases import Case, CaseFile, LabelledMass
from renalct.models.release import load_release


def with_cascade_masks(files: Sequence[CaseFile], release: Path) -> tuple[CaseFile, ...]:
    """The files, giving cases whose masses are those that a release's cascade finds on the image.

    A found mass has the class of the reference mass that it shares most voxels with; one that touches none is left out.
    """
    return tuple(replace(file, load=_Found(file.load, release)) for file in files)


@dataclass(frozen=True)
class _Found:
    load: Callable[[], tuple[Case, ...]]
    release: Path

    def __call__(self) -> tuple[Case, ...]:
        cascade = Cascade(load_release(self.release), explained=False)
        return tuple(_with_found(case, cascade) for case in self.load())


def _with_found(case: Case, cascade: Cascade) -> Case:
    segmented = cascade.segment(case.volume, cascade.localize(case.volume))
    masses = [mass.mask for mass in cascade.characterize(case.volume, segmented).masses]
    found = [(mask, _best(mask, case.masses)) for mask in masses]
    return replace(case, masses=tuple(LabelledMass(m, best.mass_class) for m, best in found if best is not None))


def _best(mask: Mask, masses: Sequence[LabelledMass]) -> LabelledMass | None:
    """The reference mass that shares most voxels with a mask."""
    shared = [shared_voxels(mask, mass.mask) for mass in masses]
    return masses[int(np.argmax(shared))] if any(shared) else None


def shared_voxels(one: Mask, other: Mask) -> int:
    """How many voxels two masks of one grid share."""
    if not one.box.overlaps(other.box):
        return 0
    start = np.maximum(one.box.start, other.box.start)
    stop = np.minimum(one.box.stop, other.box.stop)

    def part(mask: Mask) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        low, high = start - mask.box.start, stop - mask.box.start
        return mask.voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]

    return int(np.count_nonzero(part(one) & part(other)))
