"""Cohorts on a real engine: a worker is killed, then the driver, and in the end every study is there once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from cohort_studies import made_studies, manifest_of, quick_release

pytest.importorskip("ray", reason="pip install 'renalct[cohort]'")

STUDIES, WITHIN_S = 10, 900  # a busy machine takes minutes to start an engine


def start(manifest: Path, output: Path, release: Path, environment) -> subprocess.Popen:
    words = ["-m", "renalct", "cohort", manifest, "-o", output, "--release", release, "--workers", 2, "--threads", 1]
    return subprocess.Popen(
        [sys.executable, *map(str, words), "--write", "report"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def wait_for(ready, driver: subprocess.Popen) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not ready():
        assert time.monotonic() < deadline and driver.poll() is None, driver.communicate(timeout=60)[0]
        time.sleep(0.1)


def workers_of(driver: subprocess.Popen) -> list[psutil.Process]:
    children = psutil.Process(driver.pid).children(recursive=True)
    return [child for child in children if "MapWorker" in "".join(child.cmdline())]


def addresses_of(driver: subprocess.Popen) -> set[str]:
    """The addresses on which the engine listens."""
    found = set()
    for child in psutil.Process(driver.pid).children(recursive=True):
        found |= {c.laddr.ip for c in child.net_connections() if c.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.timeout(2700)
def test_a_killed_worker_and_a_killed_driver_lose_no_study(tmp_path, activated):
    manifest = manifest_of(made_studies(tmp_path / "studies", STUDIES), tmp_path / "m.csv")
    release, output = quick_release(tmp_path / "release"), tmp_path / "cohort"

    def done():
        return sorted(path.parent.name for path in output.glob("studies/*/status.json"))

    driver = start(manifest, output, release, activated)
    try:
        wait_for(lambda: len(done()) >= 1, driver)
        listening = addresses_of(driver)
        assert listening and all(ip.removeprefix("::ffff:") in ("127.0.0.1", "::1") for ip in listening)
        workers_of(driver)[0].kill()
        wait_for(lambda: len(done()) >= 4, driver)
        before = {name: (output / "studies" / name / "status.json").stat().st_mtime_ns for name in done()}
    finally:
        children = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
    _, alive = psutil.wait_procs(children, timeout=300)  # two of its agents look for their parent once a minute
    assert not alive, "the engine outlives its driver"

    again = start(manifest, output, release, activated)
    said, _ = again.communicate(timeout=WITHIN_S)
    assert again.returncode == 0, said
    assert done() == sorted(f"s{number}" for number in range(STUDIES))
    after = {name: (output / "studies" / name / "status.json").stat().st_mtime_ns for name in before}
    assert after == before, "a study was done twice"
    assert f"{STUDIES} studies, " in said and " 0 done before" not in said
    rows = pq.read_table(output / "studies.parquet").to_pylist()
    assert [row["study_id"] for row in rows] == done() and {row["code"] for row in rows} == {""}
    assert sorted(path.name for path in output.iterdir()) == [
        ".lock", "cohort.json", "kidneys.parquet", "masses.parquet", "studies", "studies.parquet",
    ]  # fmt: skip
