"""Kill `renalct serve` again and again at random moments, and count: studies sent, stored, lost, doubled.

    python benchmarks/bench_serve.py --kills 300
    python benchmarks/bench_serve.py --kills 30 --analysis scripted
    python benchmarks/bench_serve.py --throughput 500

A sender gives studies to the service as a scanner does: it sends, and sends what was not acknowledged again when the
service is back. Meanwhile the service, with all its processes, is killed by SIGKILL. In the end everything has to have
arrived at a node that counts: every study once, with the results of exactly its images. The analysis is `made` (two
small reports at once) or `scripted` (the real cascade with networks that answer by rule, and all DICOM objects).

Counted are: instances that were acknowledged and are gone; studies without their results; studies with results of
another set of images than theirs, or twice; and, for information, how many objects reached the node more than once
(under the same UID: a kill between its answer and our record of it), of which an archive keeps one. The exit code is 0
when nothing was lost or doubled.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from dicom_corpus import made_slices
from faulty_scp import FaultyNode
from made_service import Process, closed_sockets, expected_results, made_study, results_of, send, with_meta
from orthanc import services
from renalct.core.errors import InputError
from renalct.delivery.inbox_state import InboxState
from renalct.delivery.service_status import ServiceStatus, service_status
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series

LAST_WAIT_S = 900.0
AIMED_S = 0.5
PAUSE_S = 0.05
MOST_ON_THE_WAY = 4
SLICES = 6


def main() -> int:
    """Run the benchmark; the exit code is 0 when nothing was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how often the service is killed (200)")
    parser.add_argument("--analysis", choices=("made", "scripted"), default="made", help="(made)")
    parser.add_argument("--longest", type=float, default=5.0, help="seconds from a start to its kill, at most (5)")
    parser.add_argument("--seed", type=int, default=6, help="of the moments of the kills (6)")
    parser.add_argument("--folder", type=Path, help="where the state is kept: the disk that is measured (temporary)")
    parser.add_argument("--throughput", type=int, default=0, metavar="N", help="instead, time N slices of 512 x 512")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder, closed_sockets():
        if given.throughput:
            return throughput(Path(folder), given.throughput)
        return kills(Path(folder), given)


@dataclass
class Scanner:
    """Gives one study after the other to the service, and again what was not acknowledged, until it is told to end."""

    port: int
    make: Callable[[int], list[Dataset]]
    done: Callable[[], int]
    chance: random.Random
    studies: list[list[Dataset]] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    broken: int = 0
    answers: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Send whole studies; the one that is begun is sent to its end."""
        while not self.ending.is_set():
            if len(self.studies) - self.done() >= MOST_ON_THE_WAY:
                time.sleep(PAUSE_S)
                continue
            study = self.make(len(self.studies) + 1)
            self._send(study)
            self.studies.append(study)

    def _send(self, study: list[Dataset]) -> None:
        missing = list(study)
        while missing:
            stored = send(self.port, missing)
            self.answers += len(stored)
            self.acknowledged |= {dataset.SOPInstanceUID for dataset in stored}
            if len(stored) == len(missing):
                return
            self.broken += bool(stored)
            goes_on = self.chance.random() < 0.5  # others begin again
            missing = missing[len(stored) :] if goes_on else list(study)
            time.sleep(PAUSE_S)


def kills(folder: Path, given: argparse.Namespace) -> int:
    """Kill and count."""
    chance = random.Random(given.seed)
    state = folder / "state"
    is_made = given.analysis == "made"
    with FaultyNode().running() as node:
        options = ("--seconds", "0.05") if is_made else ("--scripted",)
        process = Process(state, f"NODE@127.0.0.1:{node.port}", services.free_port(), *options)
        make = (lambda n: made_study(n, slices=SLICES)) if is_made else (lambda n: kidney_study(folder / "studies", n))
        scanner = Scanner(process.port, make, lambda: len(results_of(node)), random.Random(given.seed))
        thread = threading.Thread(target=scanner.work, daemon=True)
        thread.start()
        started = time.monotonic()
        moments = killed_at_random(process, given, chance, lambda: service_status(state))
        process.start()
        scanner.ending.set()
        thread.join()
        wait_for(lambda: settled(service_status(state)))
        seconds = time.monotonic() - started
        code = process.terminate()
        status = service_status(state)
    return told(given, scanner, node, status, moments, held_in(state), seconds, code)


def killed_at_random(
    process: Process, given: argparse.Namespace, chance: random.Random, status: Callable[[], ServiceStatus]
) -> Counter[str]:
    """Start and kill so often; what was going on at each kill. Every second one waits until a study is at work."""
    moments: Counter[str] = Counter()
    for number in range(given.kills):
        process.launch()
        if number % 2:
            wait_for(lambda: is_at_work(status), seconds=2 * given.longest, needed=False)
            time.sleep(chance.uniform(0.0, AIMED_S))
        else:
            time.sleep(chance.uniform(0.0, given.longest))
        process.kill()
        with suppress(InputError):  # killed before there was anything
            now = status()
            for state in ("receiving", "waiting", "running", "analysed"):
                moments[state] += bool(getattr(now, state))
            moments["sending"] += any(counts.undelivered for counts in now.queue)
        if sys.stdout.isatty():
            print(f"\r{number + 1} kills", end="", flush=True)
    return moments


def is_at_work(status: Callable[[], ServiceStatus]) -> bool:
    """Whether a study is between its completeness and its delivery just now."""
    with suppress(InputError):
        now = status()
        return bool(now.running or now.analysed or any(counts.undelivered for counts in now.queue))
    return False


def settled(status: ServiceStatus) -> bool:
    """Whether nothing is left to do."""
    waits = status.receiving + status.waiting + status.running + status.analysed
    return not waits and not any(counts.undelivered for counts in status.queue)


def held_in(folder: Path) -> dict[str, Path]:
    """The files of the instances that the inbox says it holds, by SOP Instance UID, where the file is sound."""
    state = InboxState(folder)
    with state.database.reading() as db:
        rows = db.execute("SELECT sop_instance_uid, file FROM instances WHERE held").fetchall()
    return {uid: state.blobs.path(file) for uid, file in rows}


def told(
    given: argparse.Namespace, scanner: Scanner, node: FaultyNode, status: ServiceStatus, moments: Counter[str],
    held: dict[str, Path], seconds: float, code: int,
) -> int:  # fmt: skip
    """Print the numbers; the exit code."""
    found = results_of(node)
    lost_images = scanner.acknowledged - held.keys()
    lost, doubled = [], []
    for study in scanner.studies:
        got = found.get(study[0].StudyInstanceUID, set())
        if given.analysis == "made":
            right = expected_results(study)
            lost += [study] if right - got else []
            doubled += [study] if got - right else []
        else:
            headers = [node.headers[uid] for uid in got]
            places = Counter((each.Modality, each.SeriesNumber, each.InstanceNumber) for each in headers)
            lost += [study] if not {"SR", "SEG"} <= {each.Modality for each in headers} else []
            doubled += [study] if max(places.values(), default=0) > 1 else []
    again = sum(count - 1 for count in node.received.values())
    print(f"\n{given.analysis} analysis, {given.kills} kills in {seconds:.0f} s, seed {given.seed}")
    print(f"  at a kill: {', '.join(f'{count} x {name}' for name, count in moments.items())}")
    print(f"  studies sent            {len(scanner.studies):>6}   of {len(scanner.studies[0])} images")
    print(f"  images acknowledged     {len(scanner.acknowledged):>6}   in {scanner.answers} answers")
    print(f"  transfers broken off    {scanner.broken:>6}")
    print(f"  images lost             {len(lost_images):>6}")
    print(f"  runs done               {status.done:>6}   failed {status.failed}, superseded {status.superseded}")
    print(f"  studies without results {len(lost):>6}")
    print(f"  studies doubled         {len(doubled):>6}")
    print(f"  objects at the node     {len(node.stored):>6}   {again} of them came more than once, under the same UID")
    print(f"  exit code at SIGTERM    {code:>6}")
    return 1 if lost_images or lost or doubled or status.failed or code else 0


def kidney_study(folder: Path, number: int) -> list[Dataset]:
    """A small body with two kidneys, a tumor and a cyst, as a study of its own."""
    from scripted_networks import two_kidneys

    settings = SeriesSettings(f"study {number}", description="Nephrographic")
    paths = write_ct_series(two_kidneys(), folder / str(number), settings=settings)
    return [pydicom.dcmread(path) for path in paths]


def throughput(folder: Path, count: int) -> int:
    """Time how fast images are taken in, on one association and on four."""
    process = Process(folder / "state", "NOBODY@127.0.0.1:1", services.free_port(), "--quiet", "600")
    process.start()
    noise = np.random.default_rng(0).integers(-1000, 1000, (512, 512))
    first = 0
    for associations in (1, 4):
        parts = []
        for part in range(associations):
            study = f"1.2.3.{associations}.{part}"
            values = {"study": study, "series": f"{study}.1", "values": lambda k: noise + k}
            parts.append([with_meta(each) for each in made_slices(count // associations, **values)])
        threads = [threading.Thread(target=send, args=(process.port, part)) for part in parts]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - start
        received = service_status(folder / "state").received
        stored, first = received - first, received
        rate = stored / seconds
        print(f"{associations} associations: {stored} images of 0.5 MB in {seconds:.1f} s, {rate:.1f} per s")
    return process.terminate()


def wait_for(condition: Callable[[], bool], *, seconds: float = LAST_WAIT_S, needed: bool = True) -> None:
    """Wait until it is true. When that takes too long, raises `RuntimeError` if it is needed."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            if needed:
                raise RuntimeError(f"the service was not done {seconds:.0f} s after the last kill")
            return
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
