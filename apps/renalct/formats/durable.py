"""Files that are whole after a stop at any moment: written under another name, made durable, then renamed."""

from __future__ import annotations

import errno
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
        replace_file(path, content.encode(), part=part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror}); the file before is kept") from error


def replace_file(path: Path, content: bytes, *, part: Path) -> None:
    """Replace a file as a whole by way of `part`, which lies beside it; when it returns, the new one is on the disk.

    Raises the system's `OSError`; the file before is then kept, and `part` may be left.
    """
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a rename may reach the disk before the content does
    os.replace(part, path)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Have every file under a folder, and the names of the files, on the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            sync_file(Path(place, name))
        sync_folder(Path(place))


def sync_file(path: Path) -> None:
    """Have what is in a file on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system knows of such a thing."""
    if os.name != "posix":
        return
    try:
        sync_file(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems do not take it for a folder
            raise


@contextmanager
def locked(path: Path, *, seconds: float = 60.0) -> Iterator[None]:
    """The time in which no other process holds this lock.

    Raises `OutputError` when another process holds it all the seconds that are waited.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path, seconds=seconds) as is_ours:
        if not is_ours:
            raise OutputError(f"another process holds {path}; wait for it to end, or end it")
        yield


@contextmanager
def held(path: Path, *, seconds: float) -> Iterator[bool]:
    """Whether a lock is ours meanwhile; False when another process holds it all the seconds that are waited.

    The system gives it back when a process ends.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
