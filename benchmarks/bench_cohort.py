"""A cohort of small made studies on this machine, with a worker killed on the way and the driver killed once.

    python benchmarks/bench_cohort.py [--studies 300] [--workers 2] [--folder PLACE]

Prints studies an hour, how many were lost and done twice, what a start costs, and the most memory of the engine with
its workers. The studies are of 60 x 40 x 24 voxels and the networks narrow: what is measured is the engine.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from cohort_studies import made_studies, manifest_of, quick_release


def main() -> int:
    """Run the benchmark; the exit code is 0 when no study was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        return measure(Path(folder), arguments.studies, arguments.workers)


def measure(folder: Path, studies: int, workers: int) -> int:
    """Run a cohort, kill a worker after a quarter and the driver after a half, start again; print what came of it."""
    manifest = manifest_of(made_studies(folder / "studies", studies), folder / "manifest.csv")
    output, release = folder / "cohort", quick_release(folder / "release")
    memory = Memory()
    first = run(manifest, output, release, workers)
    memory.watch(first)
    started = time.monotonic()
    began = wait_for(output, 1, first)
    wait_for(output, studies // 4, first)
    victims = [c for c in psutil.Process(first.pid).children(recursive=True) if "MapWorker" in "".join(c.cmdline())]
    victims[0].kill()
    ended = wait_for(output, studies // 2, first)
    seconds, done = ended - began, studies // 2 - 1
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    time.sleep(5)
    before = times(output)
    second = run(manifest, output, release, workers)
    memory.watch(second)
    restarted = time.monotonic()
    resumed = wait_for(output, len(before) + 1, second)
    code = second.wait()
    finished = time.monotonic()
    after = times(output)
    twice = sum(after[name] != moment for name, moment in before.items())
    print(f"{studies} studies, {workers} workers, exit code {code}")
    print(f"  start to first study       {began - started:8.1f} s, at the second start {resumed - restarted:.1f} s")
    print(f"  with a worker killed       {3600 * done / seconds:8.0f} studies an hour")
    rest = studies - len(before) - 1
    print(f"  after the driver's kill    {3600 * rest / max(finished - resumed, 1e-9):8.0f} an hour, tables included")
    print(f"  lost {studies - len(after)}, done twice {twice}")
    print(f"  most memory of all processes {memory.most / 1e9:.2f} GB")
    return 0 if len(after) == studies and not twice and code == 0 else 1


def run(manifest: Path, output: Path, release: Path, workers: int) -> subprocess.Popen:
    """The command as a user starts it."""
    words = ["cohort", manifest, "-o", output, "--release", release, "--workers", workers, "--threads", 1, "--quiet"]
    return subprocess.Popen([sys.executable, "-m", "renalct", *map(str, words)])


def wait_for(output: Path, count: int, driver: subprocess.Popen) -> float:
    """The moment at which `count` studies have a status."""
    while len(times(output)) < count:
        if driver.poll() is not None:
            raise SystemExit(f"the driver ended with {driver.returncode} before {count} studies were done")
        time.sleep(0.1)
    return time.monotonic()


def times(output: Path) -> dict[str, int]:
    """When the status of each study was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in output.glob("studies/*/status.json")}


class Memory:
    """The most memory that a driver and its processes hold together (proportional share)."""

    def __init__(self) -> None:
        self.most = 0

    def watch(self, driver: subprocess.Popen) -> None:
        """Measure every few seconds until the driver ends."""
        threading.Thread(target=self._watch, args=(driver,), daemon=True).start()

    def _watch(self, driver: subprocess.Popen) -> None:
        while driver.poll() is None:
            total = 0
            try:
                for process in [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]:
                    total += process.memory_full_info().pss
            except psutil.Error:
                pass
            self.most = max(self.most, total)
            time.sleep(3)


if __name__ == "__main__":
    sys.exit(main())
