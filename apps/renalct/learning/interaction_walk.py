"""A random walk between what stays and what changes, with a prior at every voxel.

Grady, "Multilabel random walker image segmentation using prior models", CVPR 2005, for two labels: the probability x
of every free voxel minimises sum of w_ij (x_i - x_j)^2 over neighbors, plus strength * (x_i - prior_i)^2; seeds are
fixed. Weights fall with the difference of the CT numbers of neighbors, and with their distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LEAST_WEIGHT = 1e-4
_TOLERANCE = 1e-3
_MOST_STEPS = 400


@dataclass(frozen=True)
class WalkSettings:
    """`edge_noises`: a step of so many standard deviations of the noise is an edge (weight 0.6). `prior_strength`:
    of the prior against the neighbors, which have a weight of 1 along the shortest side of a voxel."""

    edge_noises: float = 2.0
    prior_strength: float = 0.06
    smoothing_mm: float = 0.7
    least_noise_hu: float = 4.0


USUAL_WALK = WalkSettings()


def walk(
    hu: Floats,
    spacing_mm: tuple[float, float, float],
    *,
    changed: Mask,
    kept: Mask,
    free: Mask,
    prior: Floats,
    settings: WalkSettings,
) -> Floats:
    """The probability that each voxel changes: 1 on `changed`, 0 on `kept`, the walk's on `free`, 0 elsewhere.

    Voxels that are neither free nor seeds take no part: nothing is known from them. All arrays have one 3D shape.
    """
    x = np.where(changed, np.float32(1), np.float32(0))
    free = free & ~changed & ~kept
    if not free.any():
        return x
    taking_part = free | changed | kept
    number = np.full(hu.shape, -1, np.int64)
    number[free] = np.arange(np.count_nonzero(free))
    smooth = ndimage.gaussian_filter(hu, [settings.smoothing_mm / mm for mm in spacing_mm])
    scale = settings.edge_noises * max(_noise_hu(smooth), settings.least_noise_hu)
    count = int(np.count_nonzero(free))
    diagonal = np.full(count, settings.prior_strength)
    right = settings.prior_strength * prior[free].astype(np.float64)
    rows, columns, values = [], [], []
    for axis, mm in enumerate(spacing_mm):
        near, far = _pairs(axis)
        both = taking_part[near] & taking_part[far]
        weight = _LEAST_WEIGHT + np.exp(-(((smooth[near] - smooth[far])[both] / scale) ** 2) / 2)
        weight *= (min(spacing_mm) / mm) ** 2
        one, other = number[near][both], number[far][both]
        for here, there, seed in ((one, other, x[far][both]), (other, one, x[near][both])):
            diagonal += np.bincount(here[here >= 0], weight[here >= 0], minlength=count)
            fixed = (here >= 0) & (there < 0)
            right += np.bincount(here[fixed], (weight * seed)[fixed], minlength=count)
        inner = (one >= 0) & (other >= 0)
        rows.append(one[inner])
        columns.append(other[inner])
        values.append(-weight[inner])
    upper = sparse.coo_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(count, count)
    )
    matrix = (upper + upper.T + sparse.diags_array(diagonal)).tocsr()
    solved, _ = cg(
        matrix, right, x0=prior[free], rtol=_TOLERANCE, maxiter=_MOST_STEPS, M=sparse.diags_array(1 / diagonal)
    )
    x[free] = np.clip(solved, 0, 1)
    return x


def _noise_hu(hu: Floats) -> float:
    """The standard deviation of the noise: of differences along the first axis, whose edges are outliers."""
    steps = np.abs(np.diff(hu, axis=0))
    return float(1.4826 * np.median(steps) / np.sqrt(2)) if steps.size else 0.0


def _pairs(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The indices of all voxels but the last, and all but the first, along an axis."""
    whole = [slice(None)] * 3
    near, far = list(whole), list(whole)
    near[axis], far[axis] = slice(None, -1), slice(1, None)
    return tuple(near), tuple(far)
