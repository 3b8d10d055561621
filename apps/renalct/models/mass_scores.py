"""How sure the segmenting networks are of each mass: their probability of mass, kept beside the label map."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap, Mask
from renalct.imaging.components import Organ, without_masses
from renalct.models.recipe import Activation, Stage

Bytes = NDArray[np.uint8]


def mass_score(scores: NDArray[np.float32], stage: Stage) -> Bytes:
    """The probability of any mass at each voxel as 0 to 255, from the stage's channels (channels, x, y, z)."""
    softmax = stage.activation is Activation.SOFTMAX
    masses = [n for n, t in enumerate(stage.targets, start=int(softmax)) if t.painted_as is not Structure.KIDNEY]
    if not masses:
        return np.zeros(scores.shape[1:], np.uint8)
    any_mass = scores[masses].sum(axis=0) if softmax else scores[masses].max(axis=0)
    rounded: Bytes = np.rint(255 * np.clip(any_mass, 0, 1)).astype(np.uint8)
    return rounded


@dataclass(frozen=True, eq=False)
class Segmentation(LabelMap):
    """A label map with the mass scores (0 to 255) of the boxes of its grid that networks looked at."""

    mass_scores: tuple[tuple[Box, Bytes], ...] = field(default=(), repr=False)


def confidence(segmented: LabelMap, mask: Mask) -> float | None:
    """The mean probability of mass over the voxels of a mask, 0 to 1: how sure the networks are that it is one.

    Voxels outside of what networks looked at count as 0. None for a label map that has no scores.
    """
    if not isinstance(segmented, Segmentation) or not segmented.mass_scores:
        return None
    found = np.zeros(mask.box.shape, np.uint8)
    for box, scores in segmented.mass_scores:
        if not box.overlaps(mask.box):
            continue
        start, stop = np.maximum(box.start, mask.box.start), np.minimum(box.stop, mask.box.stop)
        inside = tuple(slice(a, b) for a, b in zip(start - mask.box.start, stop - mask.box.start, strict=True))
        theirs = tuple(slice(a, b) for a, b in zip(start - box.start, stop - box.start, strict=True))
        np.maximum(found[inside], scores[theirs], out=found[inside])
    return round(float(found[mask.voxels].mean()) / 255, 4)


def trusted(organ: Organ, segmented: LabelMap, *, least: float) -> Organ:
    """The organ without the masses of which the networks are less sure than `least`; see `without_masses`."""
    sure = [confidence(segmented, mask) for mask in organ.masses]
    unsure = [mask for mask, value in zip(organ.masses, sure, strict=True) if value is not None and value < least]
    return without_masses(organ, unsure, shape=segmented.grid.shape)
