"""The metrics against their peers on made label maps as large as those of KiTS23.

    python benchmarks/bench_metrics.py [--repeat 3] [--cases 489] [--slices 47 560]

First checks that all sides give the same numbers, then prints, for a made case as large as the middle case of each
fifth of KiTS23 (512 x 512 voxels, 47 to 560 slices): surface Dice and Hausdorff distance of the three KiTS regions by
this package, by `surface-distance` and by MONAI, and the matching of connected domains by this package and by scipy.
The peers get the masks ready made; ours starts from the label maps. Last, whole evaluations from compressed NIfTI
files in two processes, and what they say about all cases of KiTS23. Marks: 5 times as fast as both peers on surfaces,
10 times as fast as scipy on domains, all cases in under 15 minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from renalct.core.grid import Grid
from renalct.core.labels import Region
from renalct.core.volume import LabelMap
from scipy import ndimage

FIFTHS = ((47, 4.8), (85, 4.6), (109, 4.4), (208, 2.5), (567, 0.8))
"""Slices and their distance in mm: the means of each fifth of 316 KiTS23 cases by number of slices."""
IN_PLANE, PIXEL_MM = 512, 0.8
LARGEST_FOR_MONAI = 2**26
"""MONAI makes several float arrays of all voxels and channels: 567 slices take more than 10 GB."""
SURFACE_MARK, DOMAIN_MARK, MINUTES_MARK = 5.0, 10.0, 15.0
Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Pair:
    """A made reference and a disturbed copy of it."""

    reference: LabelMap
    prediction: LabelMap

    @property
    def spacing(self) -> tuple[float, float, float]:
        return self.reference.grid.spacing_mm


def main() -> int:
    """Run the benchmark; the exit code is 0 when all marks are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3, help="runs of ours; the median is reported (3)")
    parser.add_argument("--cases", type=int, default=489, help="cases that the estimate is for (489, KiTS23)")
    parser.add_argument("--slices", type=int, nargs=2, default=(0, 10**9), help="only sizes in this range of slices")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")  # surface-distance and MONAI use names that are on their way out
    low, high = arguments.slices
    sizes = [size for size in FIFTHS if low <= size[0] <= high]
    pairs = [made_pair(slices, thickness, seed=n) for n, (slices, thickness) in enumerate(sizes)]
    warm_up()
    surface_ratio = bench_surfaces(pairs, arguments.repeat)
    domain_ratio = bench_domains(pairs, arguments.repeat)
    minutes = bench_cases(pairs, arguments.cases)
    met = surface_ratio >= SURFACE_MARK and domain_ratio >= DOMAIN_MARK and minutes <= MINUTES_MARK
    return 0 if met else 1


# The label maps


def made_pair(slices: int, thickness_mm: float, *, seed: int) -> Pair:
    """Two kidneys with tumors and cysts as a reader draws them, and as a network sees them: the outlines wander by a
    few voxels, the smallest cyst is lost, and there are two masses too many."""
    grid = Grid((IN_PLANE, IN_PLANE, slices), np.diag([PIXEL_MM, PIXEL_MM, thickness_mm, 1.0]))
    random = np.random.default_rng(seed)
    height = min(110.0, 0.45 * slices * thickness_mm)
    values = [np.zeros(grid.shape, np.uint8) for _ in range(2)]
    for x in (130.0, 280.0):
        center = np.array([x, 240.0, slices * thickness_mm / 2])
        masses = [(random.uniform(-30, 30, 3), radius, value) for radius, value in ((18, 2), (9, 3), (4, 3))]
        blobs = [(center, (30.0, 28.0, height / 2), 1)]
        blobs += [(center + offset, (radius,) * 3, value) for offset, radius, value in masses]
        for number, blob in enumerate(blobs):
            paint(values[0], grid, blob, wobble_mm=0.0, seed=0)
            if number < 3:
                paint(values[1], grid, blob, wobble_mm=1.2, seed=seed + number)
    for offset in ((60, 60, 0), (-60, 80, 20)):
        place = np.array([205.0, 240.0, slices * thickness_mm / 2]) + offset
        paint(values[1], grid, (place, (5.0,) * 3, 2), wobble_mm=0.0, seed=0)
    in_file_order = [np.asfortranarray(array) for array in values]  # as read from NIfTI
    return Pair(*(LabelMap(array, grid) for array in in_file_order))


def paint(values: np.ndarray, grid: Grid, blob: tuple, *, wobble_mm: float, seed: int) -> None:  # type: ignore[type-arg]
    """Paint an ellipsoid whose surface wanders smoothly by some `wobble_mm`."""
    center, radii, value = blob
    spacing = np.array(grid.spacing_mm)
    start = np.maximum(0, ((center - radii - 6) / spacing).astype(int))
    stop = np.minimum(grid.shape, ((center + radii + 6) / spacing).astype(int) + 1)
    axes = [np.arange(a, b) * s - c for a, b, s, c in zip(start, stop, spacing, center, strict=True)]
    squares = sum((x / r) ** 2 for x, r in zip(np.meshgrid(*axes, indexing="ij", sparse=True), radii, strict=True))
    reach = np.sqrt(squares)
    if wobble_mm:
        coarse = np.random.default_rng(seed).normal(size=tuple(np.maximum(3, (stop - start) // 12)))
        field = ndimage.zoom(coarse, np.array(reach.shape) / coarse.shape, order=1)
        reach = reach + field * wobble_mm / min(radii)
    part = values[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    part[reach <= 1] = value


def warm_up() -> None:
    """Import all sides and run them once on a small pair, so that nobody's first call is timed."""
    grid = Grid((24, 24, 24), np.eye(4))
    values = np.zeros(grid.shape, np.uint8)
    values[4:16, 4:16, 4:16] = 2
    pair = Pair(LabelMap(values, grid), LabelMap(np.roll(values, 2, 0), grid))
    masks = [(pair.reference.region(region), pair.prediction.region(region)) for region in Region]
    check_surfaces(
        by_renalct(pair), by_surface_distance(masks, pair.spacing), by_monai(masks, pair.spacing), pair.spacing
    )
    assert domains_by_renalct(pair) == domains_by_scipy(*masks[1])


# Surfaces


def bench_surfaces(pairs: list[Pair], repeat: int) -> float:
    """Time surface Dice and Hausdorff distance of all regions; the lowest ratio of the sums to a peer's."""
    print("Surface Dice and Hausdorff distance of three regions, processor seconds per case (one thread)")
    print(f"  {'slices':>6}{'renalct':>10}{'surface-distance':>18}{'MONAI':>10}{'MONAI, cut by hand':>20}")
    seconds = []
    for pair in pairs:
        masks = [(pair.reference.region(region), pair.prediction.region(region)) for region in Region]
        small = [cut(*both) for both in masks]
        ours, our_seconds = timed(lambda pair=pair: by_renalct(pair), repeat)
        theirs, their_seconds = timed(lambda masks=masks, pair=pair: by_surface_distance(masks, pair.spacing))
        check_surfaces(ours, theirs, theirs, pair.spacing)
        monai_seconds = float("nan")
        if pair.reference.values.size <= LARGEST_FOR_MONAI:
            monai, monai_seconds = timed(lambda masks=masks, pair=pair: by_monai(masks, pair.spacing))
            check_surfaces(ours, theirs, monai, pair.spacing)
        again, cut_seconds = timed(
            lambda small=small, pair=pair: [by_monai([both], pair.spacing, [n])[0] for n, both in enumerate(small)]
        )
        check_surfaces(ours, theirs, again, pair.spacing)
        seconds.append((our_seconds, their_seconds, monai_seconds, cut_seconds))
        print("  {:>6}{:>10.3f}{:>18.2f}{:>10.2f}{:>20.2f}".format(pair.reference.grid.shape[2], *seconds[-1]))
    table = np.array(seconds)
    ratios = [float(np.nansum(table[:, n]) / table[~np.isnan(table[:, n]), 0].sum()) for n in (1, 2, 3)]
    print(
        f"  all equal; surface-distance takes {ratios[0]:.1f} times as long, MONAI {ratios[1]:.1f}"
        f"   mark {SURFACE_MARK:.0f}; MONAI on masks that were cut out before {ratios[2]:.1f}\n"
    )
    return min(ratio for ratio in ratios[:2] if not np.isnan(ratio))  # MONAI is not run on the largest


def by_renalct(pair: Pair) -> list[tuple[float, float]]:
    """Surface Dice and Hausdorff distance of each region, from the label maps."""
    from renalct.metrics.overlap import lay_on_each_other, same_or
    from renalct.metrics.scores import ScoreSettings

    settings = ScoreSettings()
    laid = lay_on_each_other(pair.prediction, pair.reference, case="made")
    assert laid is not None
    found, before = [], None
    for region in Region:
        masks = laid.region(region)
        before = masks if before is None else same_or(masks, before)
        found.append((before.distances.surface_dice(settings.tolerance_mm(region)), before.distances.hausdorff_mm()))
    return found


def by_surface_distance(masks: list[tuple[Bools, Bools]], spacing: tuple[float, ...]) -> list[tuple[float, float]]:
    """The same by the package `surface-distance`."""
    import surface_distance
    from renalct.metrics.scores import ScoreSettings

    found = []
    for region, (reference, prediction) in zip(Region, masks, strict=True):
        distances = surface_distance.compute_surface_distances(reference, prediction, spacing)
        tolerance = ScoreSettings().tolerance_mm(region)
        found.append(
            (
                float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance)),
                float(surface_distance.compute_robust_hausdorff(distances, 100)),
            )
        )
    return found


def by_monai(
    masks: list[tuple[Bools, Bools]], spacing: tuple[float, ...], regions: list[int] | None = None
) -> list[tuple[float, float]]:
    """The same by MONAI, the surface Dice with subvoxels (the surfels of `surface-distance`)."""
    import torch
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice
    from renalct.metrics.scores import ScoreSettings

    tolerances = [
        ScoreSettings().tolerance_mm(region) for n, region in enumerate(Region) if regions is None or n in regions
    ]
    reference, prediction = (torch.from_numpy(np.stack([pair[n] for pair in masks]))[None] for n in (0, 1))
    options: dict[str, Any] = {"include_background": True, "spacing": list(spacing)}
    dice = compute_surface_dice(prediction, reference, tolerances, use_subvoxels=True, **options)
    hausdorff = compute_hausdorff_distance(prediction, reference, **options)
    return list(zip(dice[0].tolist(), hausdorff[0].tolist(), strict=True))


def check_surfaces(ours: list, theirs: list, monai: list, spacing: tuple[float, ...]) -> None:  # type: ignore[type-arg]
    """All give the same; MONAI's Hausdorff distance is between voxels, not surfels: up to a voxel's diagonal off."""
    for a, b, c in zip(ours, theirs, monai, strict=True):
        assert np.allclose(a, b, atol=1e-9, rtol=0), f"renalct {a}, surface-distance {b}"
        assert abs(a[0] - c[0]) < 1e-4, f"renalct {a}, MONAI {c}"
        assert abs(a[1] - c[1]) <= np.linalg.norm(spacing) + 1e-3, f"renalct {a}, MONAI {c}"


# Connected domains


def bench_domains(pairs: list[Pair], repeat: int) -> float:
    """Time the matching of connected domains of mass; the ratio of scipy's time on whole masks to ours."""
    print("Connected domains of mass and their overlaps, processor seconds per case (one thread)")
    print(f"  {'slices':>6}{'renalct':>10}{'scipy':>10}{'scipy, cut by hand':>20}")
    totals = np.zeros(3)
    for pair in pairs:
        masks = pair.reference.region(Region.MASS), pair.prediction.region(Region.MASS)
        ours, our_seconds = timed(lambda pair=pair: domains_by_renalct(pair), repeat)
        theirs, their_seconds = timed(lambda masks=masks: domains_by_scipy(*masks))
        again, cut_seconds = timed(lambda masks=masks: domains_by_scipy(*cut(*masks)))
        assert ours == theirs == again, "the domains differ"
        seconds = np.array([our_seconds, their_seconds, cut_seconds])
        totals += seconds
        print(f"  {pair.reference.grid.shape[2]:>6}{seconds[0]:>10.3f}{seconds[1]:>10.2f}{seconds[2]:>20.3f}")
    ratios = totals[1:] / totals[0]
    print(
        f"  all equal; scipy takes {ratios[0]:.1f} times as long   mark {DOMAIN_MARK:.0f}"
        f"; on masks that were cut out before, {ratios[1]:.1f} times\n"
    )
    return float(ratios[0])


def domains_by_renalct(pair: Pair) -> list[tuple[int, int, int]]:
    """Voxels of both domains and of their overlap, for every pair that meets, from the label maps."""
    from renalct.metrics.domains import find_domains, meetings
    from renalct.metrics.overlap import lay_on_each_other

    laid = lay_on_each_other(pair.prediction, pair.reference, case="made")
    assert laid is not None
    mass, everywhere = laid.region(Region.MASS), np.ones((1, 1, 1), bool)
    references, predictions = (
        find_domains(mask, values[mass.box.slices], everywhere)
        for mask, values in ((mass.reference, laid.reference), (mass.prediction, laid.prediction))
    )
    return sorted(
        (int(references.voxels[m.reference - 1]), int(predictions.voxels[m.prediction - 1]), m.voxels)
        for m in meetings(references, predictions)
    )


def domains_by_scipy(reference: Bools, prediction: Bools) -> list[tuple[int, int, int]]:
    """The same with `ndimage.label` and `find_objects`."""
    touching = np.ones((3, 3, 3))
    (ours, _), (theirs, count) = (ndimage.label(mask, touching) for mask in (reference, prediction))
    sizes = np.bincount(theirs.ravel(), minlength=count + 1)
    found = []
    for number, box in enumerate(ndimage.find_objects(ours), start=1):
        own = ours[box] == number
        met, voxels = np.unique(theirs[box][own], return_counts=True)
        found += [(int(own.sum()), int(sizes[p]), int(n)) for p, n in zip(met, voxels, strict=True) if p]
    return sorted(found)


def cut(reference: Bools, prediction: Bools) -> tuple[Bools, Bools]:
    """Both masks on the box that holds them."""
    (box,) = ndimage.find_objects((reference | prediction).astype(np.int8))
    return np.ascontiguousarray(reference[box]), np.ascontiguousarray(prediction[box])


# Whole cases


def bench_cases(pairs: list[Pair], cases: int) -> float:
    """Time whole evaluations from files, two at a time; the minutes that `cases` of them take."""
    from renalct.formats.nifti import write_label_map

    print("Whole evaluation (regions, sides, masses) from two compressed NIfTI files")
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for n, pair in enumerate(pairs):
            paths = Path(folder) / f"reference{n}.nii.gz", Path(folder) / f"prediction{n}.nii.gz"
            for path, label_map in zip(paths, (pair.reference, pair.prediction), strict=True):
                write_label_map(label_map, path)
            jobs.append(paths)
        jobs = sorted(jobs * 2, key=lambda paths: -paths[0].stat().st_size)
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(evaluate_files, jobs[:2]))  # start-up is not counted
            start = time.perf_counter()
            seconds = list(pool.map(evaluate_files, jobs))
            wall = time.perf_counter() - start
    reading, scoring = (statistics.fmean(each) for each in zip(*seconds, strict=True))
    minutes = wall / len(jobs) * cases / 60
    print(f"  per case on average: reading {reading:.2f} s, scoring {scoring:.2f} s")
    print(f"  {cases} cases in two processes: {minutes:.1f} min   mark {MINUTES_MARK:.0f} min")
    return minutes


def evaluate_files(paths: tuple[Path, Path]) -> tuple[float, float]:
    """Seconds of reading and of scoring one case."""
    from renalct.formats.nifti import read_label_map
    from renalct.metrics.case import evaluate_case

    start = time.perf_counter()
    reference, prediction = (read_label_map(path) for path in paths)
    middle = time.perf_counter()
    evaluate_case(prediction, reference, case="made", patient="made")
    return middle - start, time.perf_counter() - middle


def timed(work: Callable[[], Any], repeat: int = 1) -> tuple[Any, float]:
    """What the work gives, and its processor seconds (the median of all runs), which other work hardly changes."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return result, statistics.median(seconds)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    sys.exit(main())
