"""Orders of points that are unlike each other: k-means, CoreSet and typicality over rows of features."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

Points = NDArray[np.float64]
_NEIGHBORS = 20  # of typicality (Hacohen et al. 2022)


def k_centers(points: Points, known: Points, count: int, rng: np.random.Generator) -> list[int]:
    """CoreSet (Sener and Savarese 2018): each next point is the one farthest from all before it and from `known`.

    Without known points the first is the one nearest to the mean. Equal distances are ordered by `rng`; points after
    the first `count` too.
    """
    shuffled = rng.permutation(len(points))
    points = points[shuffled]
    nearest = cdist(points, known).min(axis=1) if len(known) else np.full(len(points), np.inf)
    order: list[int] = []
    for _ in range(min(count, len(points))):
        if not order and not len(known):
            chosen = int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmin())
        else:
            chosen = int(nearest.argmax())
        order.append(chosen)
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen], axis=1))
        nearest[order] = -1.0
    return [int(n) for n in shuffled[_then_others(order, len(points))]]


def k_means_order(points: Points, known: Points, count: int, rng: np.random.Generator) -> list[int]:
    """The points nearest to the means of `count` clusters, largest cluster first, then the others by `rng`.

    `known` points are clustered with them, and clusters that hold one come last: they are shown already.
    """
    clusters, order = _clusters(points, known, count, rng), []
    for members, mean in clusters:
        order.append(int(members[np.linalg.norm(points[members] - mean, axis=1).argmin()]))
    return _completed(order, len(points), count, rng)


def typical_order(points: Points, known: Points, count: int, rng: np.random.Generator) -> list[int]:
    """TypiClust (Hacohen et al. 2022): the most typical point of each of `count` clusters, largest cluster first.

    Typical is a point whose nearest neighbors in its cluster are near; clusters that hold a known point come last.
    """
    order = []
    for members, _ in _clusters(points, known, count, rng):
        distances = np.sort(cdist(points[members], points[members]), axis=1)[:, 1 : 1 + _NEIGHBORS]
        spread = distances.mean(axis=1) if distances.size else np.zeros(len(members))
        order.append(int(members[int(spread.argmin())]))
    return _completed(order, len(points), count, rng)


def _clusters(
    points: Points, known: Points, count: int, rng: np.random.Generator
) -> list[tuple[NDArray[np.intp], Points]]:
    """The members among `points` and the mean of each cluster: those without known points first, then the largest."""
    if not len(points):
        return []
    everything = np.concatenate([points, known]) if len(known) else points
    k = min(len(np.unique(everything, axis=0)), count + len(known))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster is left out below
        means, labels = kmeans2(everything, k, minit="++", seed=rng)
    found = []
    for number in range(k):
        members = np.flatnonzero(labels[: len(points)] == number)
        if len(members):
            seen = int((labels[len(points) :] == number).sum())
            found.append((seen > 0, -len(members), int(members[0]), members, means[number]))
    found.sort(key=lambda each: each[:3])
    return [(members, mean) for _, _, _, members, mean in found]


def _completed(order: list[int], length: int, count: int, rng: np.random.Generator) -> list[int]:
    """The first `count` of an order and then the others, those that are missing at random."""
    rest = order[count:] + [int(n) for n in rng.permutation(length) if n not in set(order)]
    return order[:count] + rest


def _then_others(order: list[int], length: int) -> list[int]:
    return order + [n for n in range(length) if n not in set(order)]
