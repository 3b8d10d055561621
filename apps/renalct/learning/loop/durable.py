"""Files that are whole after a stop at any moment: written under another name, made durable, then renamed."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from renalct.core.errors import OutputError


def write_durably(path: Path, content: str) -> None:
    """Replace a text file as a whole; when it returns, the new one is on the disk. Raises `OutputError`."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror}); the file before is kept") from error


def sync_tree(folder: Path) -> None:
    """Have every file under a folder, and the names of the files, on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(place, name), "rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(place))


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system knows of such a thing."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, *, seconds: float = 60.0) -> Iterator[None]:
    """The time in which no other process holds this lock; the system gives it back when a process ends.

    Raises `OutputError` when another process holds it all that time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout as error:
        raise OutputError(f"another process holds {path}; wait for it to end, or end it") from error
    try:
        yield
    finally:
        lock.release()
