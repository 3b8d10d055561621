"""Masses of one training sample pasted onto the kidney of another (TumorCP: Yang et al., MICCAI 2021)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.labels import Structure
from renalct.imaging.components import connected

Image = NDArray[np.float32]
Labels = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)

_EDGE_VOXELS = (0.4, 1.0)
_LARGEST_SHARE = 0.25


def paste_mass(
    image: Image, labels: Labels, donor: Image, donor_labels: Labels, rng: np.random.Generator
) -> tuple[Image, Labels]:
    """The sample (channels, x, y, z) and its labels (x, y, z) with the donor's mass on a kidney voxel.

    The donor has the same shape, and its mass in the middle. The mass is turned by a multiple of 90 degrees in the
    axial plane and perhaps mirrored, and blended over an edge of about a voxel. A sample without kidney, and a donor
    whose mass fills more than a quarter of it, leave the sample as it is.
    """
    middle = tuple(n // 2 for n in labels.shape)
    kidney = np.argwhere(labels[:, :, middle[2]] == Structure.KIDNEY)
    mass = _component(donor_labels, middle)
    if not len(kidney) or not mass.any() or mass.mean() > _LARGEST_SHARE:
        return image, labels
    turns, flip = int(rng.integers(4)) if labels.shape[0] == labels.shape[1] else 0, bool(rng.random() < 0.5)
    mass, donor_labels = _turned(mass, turns, flip), _turned(donor_labels, turns, flip)
    donor = np.stack([_turned(channel, turns, flip) for channel in donor])
    center = np.rint(np.argwhere(mass.any(axis=2)).mean(axis=0)).astype(int)
    shift = kidney[int(rng.integers(len(kidney)))] - center
    put, take = _overlap(labels.shape, shift)
    sigma = rng.uniform(*_EDGE_VOXELS)
    share = ndimage.gaussian_filter(mass.astype(np.float32), (sigma, sigma, 0))[take]
    image, labels = image.copy(), labels.copy()
    image[(slice(None), *put)] += share * (donor[(slice(None), *take)] - image[(slice(None), *put)])
    pasted = mass[take]
    labels[put][pasted] = donor_labels[take][pasted]
    return image, labels


def _component(labels: Labels, middle: tuple[int, ...]) -> NDArray[np.bool_]:
    """The voxels of the mass in the middle; none where there is no mass."""
    parts, _ = connected(np.ascontiguousarray(labels > Structure.KIDNEY))
    chosen = parts[middle]
    filled: NDArray[np.bool_] = (parts == chosen) & bool(chosen)
    return filled


def _turned(array: NDArray[T], turns: int, flip: bool) -> NDArray[T]:
    turned: NDArray[T] = np.rot90(array, turns, axes=(0, 1))
    return turned[::-1] if flip else turned


def _overlap(
    shape: tuple[int, ...], shift: NDArray[np.intp]
) -> tuple[tuple[slice, slice, slice], tuple[slice, slice, slice]]:
    """Where a donor moved by `shift` in the plane lies in the sample, and the part of the donor that lies there."""
    put, take = [], []
    for size, offset in zip(shape[:2], shift, strict=True):
        put.append(slice(max(0, int(offset)), min(size, size + int(offset))))
        take.append(slice(max(0, -int(offset)), min(size, size - int(offset))))
    return (put[0], put[1], slice(None)), (take[0], take[1], slice(None))
