"""Another process that uses a label store: it writes, asks for cases, and is killed; started by tests, and by hand:

    python tests/store_worker.py kills FOLDER --rounds 1000

starts a writer so often, kills it with SIGKILL at a random moment, and counts what of its acknowledged labels is kept.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import select
import signal
import sqlite3
import sys
import threading
import time
from hashlib import sha256
from itertools import count
from pathlib import Path

from renalct.core.errors import InputError
from renalct.learning.store import LabelStore, StoredImage, VersionNote, connections

CASES = 8
SUFFIX = ".nii.gz"


def content_of(author: str, number: int) -> bytes:
    """A made label file, another one for every author and number."""
    return f"label {number} of {author}\n".encode() * 400


def case_of(number: int) -> str:
    return f"case {number % CASES}"


def registered(folder: Path, cases: int = CASES) -> LabelStore:
    store = LabelStore(folder)
    images = [StoredImage(f"case {n}", f"images/{n}.nii.gz", sha256=f"{n:064x}") for n in range(cases)]
    store.register(images)
    return store


def write_labels(folder: Path, author: str, labels: int, *, interval_s: float, start: int = 0) -> None:
    """Commit labels in turn, and print each one that was acknowledged: image, number of its version, sha256."""
    store = LabelStore(folder)
    for number in range(start, start + labels):
        version = store.commit(case_of(number), content_of(author, number), suffix=SUFFIX, note=VersionNote(author))
        os.write(1, f"{json.dumps([version.image_id, version.number, version.sha256])}\n".encode())
        time.sleep(interval_s)


def write_scores(folder: Path, scorer: str, scores: int, *, interval_s: float) -> None:
    """Keep one score after the other, for a scorer of its own and for one that it shares with others."""
    store = LabelStore(folder)
    for number in range(scores):
        store.put_scores(f"model {number}", scorer, {case_of(number): (number / 8, json.dumps({"number": number}))})
        time.sleep(interval_s)


def annotate(folder: Path, first: int, clients: int) -> None:
    """So many clients, each a thread: lease a case and submit it until none is left; print client and case."""
    store = LabelStore(folder)
    ids = [image.image_id for image in store.images()]

    def work(client: str) -> None:
        order = random.Random(client).sample(ids, len(ids))
        while (lease := store.lease(client, order, seconds=600)) is not None:
            os.write(1, f"{json.dumps([client, lease.image_id])}\n".encode())
            store.commit(lease.image_id, client.encode(), suffix=SUFFIX, note=VersionNote(client))

    threads = [threading.Thread(target=work, args=(f"client {first + n}",)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def kill_at_random(folder: Path, rounds: int, seed: int) -> dict:
    """Kill a writer in every round at a random moment, and count what of its acknowledged labels is kept."""
    random_ = random.Random(seed)
    registered(folder).close()
    acknowledged: list[list] = []
    lost: list[str] = []
    for number in range(rounds):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writer, 1)
            write_labels(folder, "killed", 10**6, interval_s=0, start=number * 10**6)
        os.close(writer)
        _wait_then_kill(child, reader, random_.uniform(0, 0.05))
        lines = _read_all(reader).split(b"\n")[:-1]
        own = [json.loads(line) for line in lines]
        acknowledged += own
        with LabelStoreOf(folder) as store:
            lost += wrong_with(store, own)
    with LabelStoreOf(folder) as store:
        lost += wrong_with(store, acknowledged)
        store.tidy(older_than_s=0)
        damaged = store.damaged()
        lost += wrong_with(store, acknowledged)
        versions = sum(len(store.versions(f"case {n}")) for n in range(CASES))
    return {
        "rounds": rounds,
        "acknowledged": len(acknowledged),
        "kept": len(acknowledged) - len(set(lost)),
        "lost": sorted(set(lost)),
        "damaged": list(damaged),
        "versions": versions,
        "integrity": integrity(folder),
    }


def kill_at_every_step(folder: Path) -> dict:
    """Commit a label again and again, killed before the first, second, ... step that writes, until it ends alive."""
    registered(folder).close()
    acknowledged: list[list] = []
    problems: list[str] = []
    for step in count(1):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writer, 1)
            die_at(step)
            write_labels(folder, "killed", 1, interval_s=0, start=step)
            os._exit(0)
        os.close(writer)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        own = [json.loads(line) for line in _read_all(reader).split(b"\n")[:-1]]
        acknowledged += own
        with LabelStoreOf(folder) as store:
            problems += wrong_with(store, acknowledged)
            before = len(store.versions(case_of(step)))
            after = store.commit(case_of(step), content_of("next", step), suffix=SUFFIX, note=VersionNote("next"))
            if after.number != before + 1:
                problems.append(f"after step {step} the next version is {after.number}, not {before + 1}")
            problems += store.damaged()
        if not killed:
            break
    left = [str(path) for path in (folder / "incoming").iterdir()]
    with LabelStoreOf(folder) as store:
        store.tidy(older_than_s=0)
        problems += wrong_with(store, acknowledged) + list(store.damaged())
    return {
        "steps": step - 1,
        "unfinished_files": len(left),
        "left_after_tidying": len(list((folder / "incoming").iterdir())),
        "problems": problems,
        "integrity": integrity(folder),
    }


class LabelStoreOf:
    """A store that is closed when the block ends."""

    def __init__(self, folder: Path) -> None:
        self._store = LabelStore(folder)

    def __enter__(self) -> LabelStore:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def wrong_with(store: LabelStore, acknowledged: list[list]) -> list[str]:
    """What of the acknowledged labels is not in the store as it was acknowledged."""
    problems = []
    for image_id, number, digest in acknowledged:
        try:
            version = store.version(image_id, number)
            whole = sha256(store.label_path(version).read_bytes()).hexdigest() == digest == version.sha256
        except InputError:
            whole = False
        if not whole:
            problems.append(f"{image_id} {number}")
    return problems


def integrity(folder: Path, database: str = "labels.sqlite3") -> str:
    """What SQLite says of its file; "ok" when all is well."""
    connection = sqlite3.connect(folder / database)
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


def die_at(step: int) -> None:
    """Let this process kill itself before the so many-th call that writes: to a file, a folder or the database."""
    steps = count(1)

    def dying(function):
        @functools.wraps(function)
        def call(*arguments, **named):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)

        return call

    class Dying(sqlite3.Connection):
        execute = dying(sqlite3.Connection.execute)

    connections.sqlite3.connect = functools.partial(sqlite3.connect, factory=Dying)
    for name in ("open", "fdopen", "fsync", "utime"):
        setattr(os, name, dying(getattr(os, name)))
    for name in ("mkdir", "replace", "unlink"):
        setattr(Path, name, dying(getattr(Path, name)))


def fork_while_open(folder: Path) -> list[int]:
    """Use a store, fork, and use it in both processes and their threads at once; how many labels each case has."""
    store = registered(folder)
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            store.counts()

    reader = threading.Thread(target=look)
    reader.start()
    children = []
    for child_number in range(3):
        child = os.fork()
        if child == 0:
            if is_open("labels.sqlite3"):
                os._exit(3)  # a connection was inherited, whose locks are the parent's
            for number in range(CASES):
                author = f"child {child_number}"
                store.commit(case_of(number), content_of(author, number), suffix=SUFFIX, note=VersionNote(author))
            os._exit(0)
        children.append(child)
        for number in range(CASES):
            author = f"parent {child_number}"
            store.commit(case_of(number), content_of(author, number), suffix=SUFFIX, note=VersionNote(author))
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stop.set()
    reader.join()
    assert codes == [0, 0, 0], codes
    return [len(store.versions(case_of(number))) for number in range(CASES)]


def is_open(name: str) -> bool:
    """Whether this process has a file of that name open."""
    handles = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
    return any(name in os.readlink(link) for link in handles)


def commit_without_rights(folder: Path) -> list[str]:
    """What is said to somebody without the right to write who opens a store, and who had it open before."""
    store = registered(folder)
    store.commit("case 0", b"kept", suffix=SUFFIX, note=VersionNote("ann"))
    store.close()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        actions = (
            lambda: store.commit("case 0", b"refused", suffix=SUFFIX, note=VersionNote("ann")),
            lambda: LabelStore(folder),
            lambda: LabelStore(folder / "new"),
        )
        for action in actions:
            try:
                action()
                said = "done"
            except InputError as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writer, f"{said}\n".encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    kept = store.label_path(store.version("case 0", 1)).read_bytes().decode()
    return [*_read_all(reader).decode().splitlines(), kept]


def _wait_then_kill(child: int, reader: int, seconds: float) -> None:
    """Let the writer reach its first label (or not, in some rounds), then kill it."""
    if seconds > 0.003:
        select.select([reader], [], [], 30)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _read_all(reader: int) -> bytes:
    with os.fdopen(reader, "rb") as file:
        return file.read()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("labels", "scores", "annotate", "kills", "steps", "fork", "without-rights"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default="writer")
    parser.add_argument("--number", type=int, default=60)
    parser.add_argument("--interval", type=float, default=0.01)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.what == "labels":
        write_labels(given.folder, given.name, given.number, interval_s=given.interval)
    elif given.what == "scores":
        write_scores(given.folder, given.name, given.number, interval_s=given.interval)
    elif given.what == "annotate":
        annotate(given.folder, int(given.name), given.number)
    else:
        found = {
            "kills": lambda: kill_at_random(given.folder, given.rounds, given.seed),
            "steps": lambda: kill_at_every_step(given.folder),
            "fork": lambda: fork_while_open(given.folder),
            "without-rights": lambda: commit_without_rights(given.folder),
        }[given.what]()
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
