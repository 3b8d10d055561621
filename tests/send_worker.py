"""Another process that queues and sends results, and is killed; started by tests, and by hand:

    python tests/send_worker.py steps QUEUE RESULTS
    python tests/send_worker.py kills QUEUE RESULTS --destinations FILE --rounds 300 --studies 60

`steps` kills a process before each step of queueing that writes; `kills` one that queues and sends studies at random
moments, again and again until all are delivered. Both print what they found as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

from renalct.delivery.destinations import read_destinations
from renalct.delivery.instances import result_files
from renalct.delivery.outbox import Outbox, State
from renalct.delivery.retries import RetryPolicy
from renalct.delivery.sending import send_pending
from sent_results import copied_results, uids_of
from store_worker import die_at, integrity

_QUICK = RetryPolicy(first_pause_s=0.05, longest_pause_s=0.2)
_PUT = "queued"


def kill_at_every_step(queue: Path, results: Path) -> dict:
    """Queue the same results, killed before the first, second, ... step that writes, until it ends alive."""
    (destination,) = read_destinations("NODE@127.0.0.1:104")
    files = result_files([results])
    wanted, half, unfinished = uids_of(files), [], 0
    for step in count(1):
        folder = queue / str(step)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            die_at(step)
            Outbox(folder).put(files, [destination])
            os.write(writer, _PUT.encode())
            os._exit(0)
        os.close(writer)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        acknowledged = _read_all(reader) == _PUT
        outbox = Outbox(folder)
        waiting = outbox.objects(State.WAITING)
        found = sorted(each.instance.sop_instance_uid for each in waiting)
        unfinished += len(list((folder / "incoming").iterdir()))
        contents = [outbox.content(each).read_bytes() for each in waiting]
        whole = found == wanted and sorted(contents) == sorted(path.read_bytes() for path in files)
        if not (whole or (found == [] and not acknowledged)):
            half.append(step)
        if outbox.put(files, [destination]) + len(found) != len(files):
            half.append(step)
        outbox.close()
        if not killed:
            return {"steps": step - 1, "half": half, "unfinished_files": unfinished, "acknowledged": acknowledged}
    raise AssertionError


def kill_at_random(given: argparse.Namespace, studies: list[Path]) -> dict:
    """Kill a process that queues one study after the other and sends what is there, until all are queued; then let one
    live until all is delivered. Odd studies go to the first destination, even ones to the second."""
    random_ = random.Random(given.seed)
    acknowledged: list[int] = []
    kills = 0
    while kills < given.rounds:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            done = set(acknowledged)
            _queue_and_send(
                given.queue, [(n, s) for n, s in enumerate(studies) if n not in done], given.destinations, writer
            )
            os._exit(0)
        os.close(writer)
        time.sleep(random_.uniform(0, given.longest_life))
        os.kill(child, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        kills += ended == -signal.SIGKILL
        acknowledged += [int(word) for word in _read_all(reader).split()]
        if ended != -signal.SIGKILL:
            break  # it ended before it was killed: everything is delivered, or it failed
    reader, writer = os.pipe()
    outbox = Outbox(given.queue)
    before = sum(each.delivered for each in outbox.counts())
    done = set(acknowledged)
    _queue_and_send(
        given.queue, [(n, s) for n, s in enumerate(studies) if n not in done], given.destinations, writer, wait_s=300
    )
    os.close(writer)
    acknowledged += [int(word) for word in _read_all(reader).split()]
    counts = outbox.counts()
    return {
        "kills": kills,
        "acknowledged": sorted(set(acknowledged)),
        "acknowledged_twice": len(acknowledged) - len(set(acknowledged)),
        "delivered_before_the_last": before,
        "delivered": sum(each.delivered for each in counts),
        "undelivered": sum(each.undelivered for each in counts),
        "dead": sum(each.dead for each in counts),
        "integrity": integrity(given.queue, "queue.sqlite3"),
    }


def _queue_and_send(queue: Path, studies, file: Path, writer: int, *, wait_s: float = 0.2) -> None:
    destinations = read_destinations(file)
    outbox = Outbox(queue)
    for number, study in studies:
        outbox.put(result_files([study]), [destinations[number % len(destinations)]], study=f"study {number}")
        os.write(writer, f"{number}\n".encode())
        send_pending(outbox, destinations, wait_s=min(wait_s, 0.2), policy=_QUICK)
    send_pending(outbox, destinations, wait_s=wait_s, policy=_QUICK)


def _read_all(reader: int) -> str:
    with os.fdopen(reader, "rb") as file:
        return file.read().decode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("steps", "kills"))
    parser.add_argument("queue", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--destinations", type=Path)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--studies", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest-life", type=float, default=2.0, metavar="SECONDS")
    given = parser.parse_args()
    if given.what == "steps":
        print(json.dumps(kill_at_every_step(given.queue, given.results)))
        return 0
    files = result_files([given.results])
    studies = [given.results.parent / f"study{number}" for number in range(given.studies)]
    for number, folder in enumerate(studies):
        copied_results(files, folder, 1000 + number)
    print(json.dumps(kill_at_random(given, studies)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
