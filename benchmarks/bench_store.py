"""The label store under 1, 4 and 16 writers (processes), and the queries of a server with 10,000 images.

    python benchmarks/bench_store.py [--folder FOLDER] [--saves 160] [--kilobytes 100] [--without-peer]

Prints saves per second, the latency of one save (p50, p95), and how many of the saved labels are found afterwards. A
save of ours is acknowledged when file and row are on the disk. Two peers in the same run: MONAI Label's
`LocalDatastore.save_label`, which writes without waiting for the disk and keeps the last label only; and the floor of
the disk itself, a file that is written, synchronized and renamed. Marks: every label kept, `counts()` under 5 ms,
10,000 images registered in under 2 s.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from renalct.learning.store import CaseState, LabelStore, StoredImage, VersionNote

WRITERS = (1, 4, 16)
IMAGES = 10_000
MARK_COUNTS_MS, MARK_REGISTER_S = 5.0, 2.0
LABEL_INFO = [{"name": "kidney", "idx": 1}, {"name": "tumor", "idx": 2}, {"name": "cyst", "idx": 3}]

Save = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Load:
    """How many labels of what size are saved in all, whatever the number of writers."""

    saves: int
    label_bytes: int

    def names(self, writers: int, writer: int) -> list[str]:
        """The images that a writer labels."""
        return [f"case {n}" for n in range(self.saves)][writer::writers]

    def content(self, name: str) -> bytes:
        """A label of an image: as random as a compressed file, and another one for every image."""
        return (name.encode() * (self.label_bytes // len(name) + 1))[: self.label_bytes]


@dataclass(frozen=True)
class Measured:
    """What so many writers reached."""

    writers: int
    seconds: float
    latencies: tuple[float, ...]
    kept: int

    def row(self, what: str) -> str:
        """The line of the table."""
        p50, p95 = (1000 * percentile(self.latencies, share) for share in (0.5, 0.95))
        rate = len(self.latencies) / self.seconds
        kept = f"{self.kept} of {len(self.latencies)}"
        return f"  {what:<28}{self.writers:>8}{rate:>12.1f}{p50:>10.1f}{p95:>10.1f}{kept:>16}"


def main() -> int:
    """Run the benchmark; the exit code is 0 when the marks are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the stores are made: the disk that is measured (temporary)")
    parser.add_argument("--saves", type=int, default=160, help="labels saved in every measurement (160)")
    parser.add_argument("--kilobytes", type=int, default=100, help="size of a label (100)")
    parser.add_argument("--without-peer", action="store_true", help="leave MONAI Label out; it takes long to import")
    given = parser.parse_args()
    load = Load(given.saves, 1000 * given.kilobytes)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(f"{load.saves} labels of {given.kilobytes} kB")
        print(f"  {'':<28}{'writers':>8}{'saves/s':>12}{'p50 ms':>10}{'p95 ms':>10}{'kept':>16}")
        lost = 0
        for writers in WRITERS:
            measured = bench_store(Path(folder, f"ours{writers}"), load, writers)
            lost += load.saves - measured.kept
            print(measured.row("renalct label store"), flush=True)
        for writers in WRITERS:
            print(
                bench_disk(Path(folder, f"disk{writers}"), load, writers).row("disk: write, sync, rename"), flush=True
            )
        if not given.without_peer:
            for writers in WRITERS:
                print(bench_monai(Path(folder, f"peer{writers}"), load, writers).row("MONAI Label 0.8"), flush=True)
        met = bench_queries(Path(folder, "large"))
    return 0 if met and not lost else 1


def bench_store(folder: Path, load: Load, writers: int) -> Measured:
    """Ours: one `LabelStore` per process on one folder."""
    store = LabelStore(folder)
    store.register(StoredImage(f"case {n}", f"{n}.nii.gz") for n in range(load.saves))
    store.close()
    seconds, latencies = run_writers(partial(_our_save, folder), load, writers)
    kept = 0
    for name in load.names(1, 0):
        version = store.final(name)
        kept += version is not None and store.label_path(version).read_bytes() == load.content(name)
    return Measured(writers, seconds, latencies, kept)


def bench_disk(folder: Path, load: Load, writers: int) -> Measured:
    """The floor: a file written, synchronized and renamed, its folder synchronized; no database, no hash."""
    folder.mkdir()
    seconds, latencies = run_writers(partial(_disk_save, folder), load, writers)
    kept = sum((folder / name).read_bytes() == load.content(name) for name in load.names(1, 0))
    return Measured(writers, seconds, latencies, kept)


def bench_monai(folder: Path, load: Load, writers: int) -> Measured:
    """MONAI Label: one `LocalDatastore` per process on one folder, as its server and its background tasks have."""
    import renalct.models  # noqa: F401  # imports MONAI in the one order that leaves MONAI Deploy out
    from monailabel.datastore.local import LocalDatastore

    logging.disable(logging.INFO)
    folder.mkdir()
    for name in load.names(1, 0):
        (folder / f"{name}.nii.gz").write_bytes(b"an image")
    LocalDatastore(str(folder))
    seconds, latencies = run_writers(partial(_monai_save, folder), load, writers)
    found = LocalDatastore(str(folder))
    kept = 0
    for name in load.names(1, 0):
        whole = (folder / "labels" / "final" / f"{name}.nii.gz").read_bytes() == load.content(name)
        kept += whole and found.get_label_info(name, "final").get("client_id") == "bench"
    return Measured(writers, seconds, latencies, kept)


def run_writers(opened: Callable[[], Save], load: Load, writers: int) -> tuple[float, tuple[float, ...]]:
    """The seconds from the first to the last save of all writers, and the seconds of each."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(writers), context.SimpleQueue()
    processes = [
        context.Process(target=_write, args=(opened, load, load.names(writers, number), barrier, answers))
        for number in range(writers)
    ]
    for process in processes:
        process.start()
    spans = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    return end - start, tuple(seconds for span in spans for seconds in span[2])


def _write(opened: Callable[[], Save], load: Load, names: list[str], barrier, answers) -> None:
    save = opened()
    contents = [load.content(name) for name in names]
    barrier.wait()
    start, latencies = time.perf_counter(), []
    for name, content in zip(names, contents, strict=True):
        before = time.perf_counter()
        save(name, content)
        latencies.append(time.perf_counter() - before)
    answers.put((start, time.perf_counter(), latencies))


def _our_save(folder: Path) -> Save:
    store = LabelStore(folder)

    def save(name: str, content: bytes) -> None:
        store.commit(name, content, suffix=".nii.gz", note=VersionNote("bench"))

    return save


def _disk_save(folder: Path) -> Save:
    handle = os.open(folder, os.O_RDONLY)

    def save(name: str, content: bytes) -> None:
        temporary = folder / f"{name}.part"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / name)
        os.fsync(handle)

    return save


def _monai_save(folder: Path) -> Save:
    from monailabel.datastore.local import LocalDatastore

    store = LocalDatastore(str(folder))
    upload = Path(tempfile.mkstemp(suffix=".nii.gz")[1])

    def save(name: str, content: bytes) -> None:
        upload.write_bytes(content)  # the server has the upload as a file, too
        store.save_label(name, str(upload), "final", {"label_info": LABEL_INFO, "client_id": "bench"})

    return save


def bench_queries(folder: Path) -> bool:
    """Print what a server asks for all the time, with 10,000 images; whether the marks are met."""
    store = LabelStore(folder)
    images = [StoredImage(f"case {n}", f"images/{n}.nii.gz", sha256=f"{n:064x}") for n in range(IMAGES)]
    register_s = seconds_of(lambda: store.register(images), tries=1)
    for n in range(200):
        store.commit(f"case {n}", b"%d" % n, suffix=".nii.gz", note=VersionNote("bench"))
    ids = [image.image_id for image in images]
    scores = {image_id: (n / IMAGES, '{"class": "tumor"}') for n, image_id in enumerate(ids)}
    counts_s = seconds_of(store.counts)
    print(f"{IMAGES} images, 200 labelled")
    told = {
        "register all, once": register_s,
        "counts()": counts_s,
        "images(), nothing new": seconds_of(store.images),
        "cases(state=UNASSIGNED)": seconds_of(lambda: store.cases(state=CaseState.UNASSIGNED)),
        "lease(): the 201st wish": seconds_of(lambda: store.lease("ann", ids, seconds=60)),
        "put_scores() of all": seconds_of(lambda: store.put_scores("model", "entropy", scores), tries=1),
        "scores() of all": seconds_of(lambda: store.scores("model", "entropy")),
    }
    for what, seconds in told.items():
        print(f"  {what:<28}{1000 * seconds:>10.2f} ms")
    return counts_s < MARK_COUNTS_MS / 1000 and register_s < MARK_REGISTER_S


def seconds_of(action: Callable[[], object], *, tries: int = 9) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(tries):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def percentile(values: tuple[float, ...], share: float) -> float:
    """The value below which a share of all lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    sys.exit(main())
