"""The whole `renalct predict`, as a user runs it, on a synthetic CT of 512 x 512 x 200 voxels.

    python benchmarks/bench_predict.py [--threads 2] [--repeat 3] [--against-monai]

Prints seconds per stage, the share spent inside the networks, peak memory, and, as a peer in the same run, the time
that MONAI's own transforms take for the resampling that the cascade does with `renalct.imaging.resample` (after an
equality check on where both see the same anatomy). Marks: under 40 s and under 4 GB on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE, SPACING = (512, 512, 200), (0.75, 0.75, 2.0)
MARK_SECONDS, MARK_GB = 40.0, 4.0


def main() -> int:
    """Run the benchmark; the exit code is 0 when both marks are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="threads that the analysis may use (2)")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the median is reported (3)")
    parser.add_argument("--against-monai", action="store_true", help="also time MONAI's resampling of the same volume")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder) / "study")
        runs = [predict(study, Path(folder) / f"result{n}", arguments.threads) for n in range(arguments.repeat)]
        seconds, report = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print_table(seconds, report, peak_gb, arguments.threads)
    if arguments.against_monai:
        against_monai()
    return 0 if seconds <= MARK_SECONDS and peak_gb <= MARK_GB else 1


def make_study(folder: Path) -> Path:
    """A DICOM series of the benchmark's size, from a phantom."""
    from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series
    from renalct.synthetic.phantom import PhantomSettings, make_phantom

    field = tuple(n * s for n, s in zip(SHAPE, SPACING, strict=True))
    volume = make_phantom(PhantomSettings(spacing_mm=SPACING, field_mm=field), seed=7).volumes[0]
    folder.mkdir(parents=True)
    write_ct_series(volume, folder, settings=SeriesSettings("benchmark", description="Nephrographic 2 mm"))
    return folder


def predict(study: Path, output: Path, threads: int) -> tuple[float, dict]:
    """Seconds of one `renalct predict` process, start-up included, and its report."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    command = [sys.executable, "-m", "renalct", "predict", str(study), "-o", str(output), "--quiet"]
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, json.loads((output / "report.json").read_text())


def print_table(seconds: float, report: dict, peak_gb: float, threads: int) -> None:
    """Print the stages, their share, and the two marks."""
    stages = dict(report["seconds_per_stage"])
    networks = stages.pop("networks", 0.0)
    print(f"{' x '.join(map(str, SHAPE))} voxels, {threads} threads, found: {report['summary']}")
    for name, value in stages.items():
        print(f"  {name:<22}{value:8.2f} s")
    print(f"  {'start-up and files':<22}{seconds - sum(stages.values()):8.2f} s")
    print(f"  {'whole command':<22}{seconds:8.2f} s   mark {MARK_SECONDS:.0f} s")
    print(f"  {'inside the networks':<22}{networks:8.2f} s   {100 * networks / seconds:.0f} % of the whole")
    print(f"  {'peak memory':<22}{peak_gb:8.2f} GB  mark {MARK_GB:.0f} GB")


def against_monai() -> None:
    """Time the resampling of the volume to 4 mm by this package and by MONAI's Spacing, on the same array."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Spacing
    from renalct.core.grid import Grid
    from renalct.imaging.resample import resample

    index = np.indices(SHAPE, dtype=np.float32)
    values = (index[0] * 0.5 + index[1] * 0.25 + index[2]).astype(np.float32)
    grid = Grid(SHAPE, np.diag([*SPACING, 1.0]))
    del index
    start = time.perf_counter()
    ours = resample(values, grid, grid.with_spacing(4.0))
    our_seconds = time.perf_counter() - start
    start = time.perf_counter()
    image = MetaTensor(torch.from_numpy(values)[None], affine=grid.affine)
    theirs = Spacing(pixdim=(4.0, 4.0, 4.0), mode="bilinear")(image)
    their_seconds = time.perf_counter() - start
    inner = tuple(slice(3, min(a, b) - 3) for a, b in zip(ours.shape, theirs.shape[1:], strict=True))
    target = Grid(tuple(theirs.shape[1:]), np.asarray(theirs.affine))
    again = resample(values, grid, target)
    difference = float(np.abs(again[inner] - theirs[0].numpy()[inner]).max())
    assert difference < 0.05, f"the two disagree by {difference} on a linear function of position"
    ratio = their_seconds / our_seconds
    print(f"resampling to 4 mm: {our_seconds:.2f} s, MONAI Spacing {their_seconds:.2f} s: {ratio:.1f} times as long")


if __name__ == "__main__":
    sys.exit(main())
