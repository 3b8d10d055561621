"""Results sent to a real Orthanc over both protocols: how fast, and what is lost or doubled when the sender is killed.

    python benchmarks/bench_sending.py [--kills 300] [--studies 150] [--longest-life 2] [--seed 1] [--folder FOLDER]

First the speed: objects per second through the queue by C-STORE and by STOW-RS, beside the same objects sent by
pynetdicom and dicomweb-client alone, without a queue (what they sent before a crash nobody knows). Then a sender that
queues one study after the other and sends what is there is killed with SIGKILL at a random moment, again and again;
then one is left alive. Printed are the studies that were acknowledged, that Orthanc has whole, that it lost, that it
has in part without an acknowledgement, and the objects that it has twice. Marks: no study lost, no object doubled.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pydicom
from dicomweb_client import DICOMwebClient
from pynetdicom import AE
from renalct.delivery.c_store import needed_contexts
from renalct.delivery.destinations import Destination, WebDestination, read_destinations
from renalct.delivery.outbox import Outbox, State
from renalct.delivery.sending import send_pending

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from orthanc import Orthanc, services  # noqa: E402
from sent_results import copied_results, made_results, uids_of  # noqa: E402

SPEED_STUDIES = 12


def main() -> int:
    """Run the benchmark; the exit code is 0 when the marks are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300, help="how often the sender is killed (300)")
    parser.add_argument("--studies", type=int, default=150, help="studies that are sent meanwhile (150)")
    parser.add_argument("--longest-life", type=float, default=2.0, help="seconds after which it is killed at last (2)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("--folder", type=Path, help="where the queue is made: the disk that is measured (temporary)")
    given = parser.parse_args()
    if services.orthanc_program() is None:
        print(f"Orthanc with DICOMweb is missing: {services.ORTHANC_INSTALL}")
        return 2
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        results = made_results(folder / "results" / "first")
        orthanc = Orthanc(folder / "orthanc")
        orthanc.start()
        try:
            speed(folder, orthanc, results)
            orthanc.clear()
            return killed(folder, orthanc, results[0].parent, given)
        finally:
            orthanc.stop()


def speed(folder: Path, orthanc: Orthanc, results: Sequence[Path]) -> None:
    """Print how fast the same studies get there by each way."""
    destinations = both(folder, orthanc)
    size = sum(path.stat().st_size for path in results)
    print(f"{SPEED_STUDIES} studies of {len(results)} objects, {size / 1e6:.2f} MB each")
    print(f"  {'':<34}{'objects/s':>12}{'ms/object':>12}")
    number = 0
    for destination in destinations:
        protocol = "STOW-RS" if isinstance(destination, WebDestination) else "C-STORE"
        for way, send in (("queue, checked afterwards", through_queue), ("library alone, no queue", alone)):
            files = []
            for _ in range(SPEED_STUDIES):
                number += 1
                files.append(copied_results(results, folder / "speed" / str(number), number))
            start = time.perf_counter()
            send(folder / f"queue{number}", destination, files)
            seconds = time.perf_counter() - start
            count = sum(map(len, files))
            print(f"  {protocol + ', ' + way:<34}{count / seconds:>12.1f}{1000 * seconds / count:>12.1f}", flush=True)


def through_queue(queue: Path, destination: Destination, studies: Sequence[Sequence[Path]]) -> None:
    """Ours: every study is durable in the queue before anything is sent, and every object is asked for afterwards."""
    outbox = Outbox(queue)
    for files in studies:
        outbox.put(files, [destination])
    summary = send_pending(outbox, [destination], wait_s=60)
    assert summary.is_complete, summary.reasons


def alone(queue: Path, destination: Destination, studies: Sequence[Sequence[Path]]) -> None:
    """The libraries by themselves, one connection for all."""
    files = [path for study in studies for path in study]
    if isinstance(destination, WebDestination):
        client = DICOMwebClient(destination.web.url)
        for path in files:
            client.store_instances([pydicom.dcmread(path)])
        return
    outbox = Outbox(queue)
    outbox.put(studies[0], [destination])
    association = AE().associate(
        destination.host, destination.port, contexts=needed_contexts(outbox.objects(State.WAITING))
    )
    for path in files:
        assert association.send_c_store(pydicom.dcmread(path)).Status == 0
    association.release()


def killed(folder: Path, orthanc: Orthanc, result: Path, given: argparse.Namespace) -> int:
    """Print what a sender that is killed again and again leaves behind; 0 when nothing is lost or doubled."""
    both(folder, orthanc)
    command = [sys.executable, str(TESTS / "send_worker.py"), "kills", str(folder / "queue"), str(result)]
    command += ["--rounds", str(given.kills), "--studies", str(given.studies), "--seed", str(given.seed)]
    command += ["--longest-life", str(given.longest_life)]
    command += ["--destinations", str(folder / "destinations.json")]
    start = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    with orthanc.rest as client:
        held = client.get("/instances", params={"expand": ""}, timeout=300).json()
    times = Counter(each["MainDicomTags"]["SOPInstanceUID"] for each in held)
    acknowledged = set(found["acknowledged"])
    wanted = {number: uids_of((result.parent / f"study{number}").glob("*.dcm")) for number in range(given.studies)}
    stored = {number for number, uids in wanted.items() if all(uid in times for uid in uids)}
    part = {number for number, uids in wanted.items() if any(uid in times for uid in uids)} - stored
    doubled = sum(count > 1 for count in times.values())
    lost = acknowledged - stored
    print(f"{found['kills']} kills in {time.perf_counter() - start:.0f} s")
    print(f"  studies sent (acknowledged by the queue)   {len(acknowledged):>6}")
    print(f"  studies stored whole in Orthanc            {len(stored):>6}")
    print(f"  studies lost                               {len(lost):>6}")
    print(f"  studies stored in part                     {len(part):>6}")
    print(f"  objects stored                             {len(times):>6}")
    print(f"  objects doubled                            {doubled:>6}")
    print(f"  objects delivered before the last process  {found['delivered_before_the_last']:>6}")
    print(f"  dead letters, undelivered, database        {found['dead']}, {found['undelivered']}, {found['integrity']}")
    return 1 if lost or part or doubled or found["dead"] or found["undelivered"] else 0


def both(folder: Path, orthanc: Orthanc) -> tuple[Destination, ...]:
    """Orthanc as a node and as an archive, asked afterwards what it has; also as a file."""
    check = {"url": orthanc.url}
    node = {"name": "node", "kind": "dimse", "host": "127.0.0.1", "port": orthanc.dicom_port, "ae_title": "RENALCT"}
    archive = {"name": "archive", "kind": "dicomweb", "url": orthanc.url}
    file = folder / "destinations.json"
    file.write_text(json.dumps({"schema_version": 1, "destinations": [node | {"qido": check}, archive]}))
    return read_destinations(file)


if __name__ == "__main__":
    sys.exit(main())
