"""Files named by the sha256 of their content: written under a temporary name, made durable, then renamed."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from renalct.core.errors import InputError
from renalct.formats.durable import sync_file, sync_folder
from renalct.formats.output_folder import write_refused
from renalct.learning.store.names import checked_sha256

_CHUNK = 1 << 20
_READ_ONLY = 0o444


class BlobFolder:
    """`blobs/ab/abcd...` with the contents, `incoming/` with files on their way, `named/` with links for readers.

    `owner` says in messages whose files they are.
    """

    def __init__(self, folder: Path, *, owner: str = "label store") -> None:
        self._folder = folder
        self._owner = owner
        self._blobs = folder / "blobs"
        self._incoming = folder / "incoming"
        self._named = folder / "named"
        self._durable: set[Path] = set()
        with refused_writes(folder):
            is_new = not folder.exists()
            for place in (self._blobs, self._incoming, self._named):
                place.mkdir(parents=True, exist_ok=True)
            sync_folder(folder)
            if is_new:
                sync_folder(folder.resolve().parent)

    def put(self, content: bytes | Path) -> str:
        """The sha256 of content that is now in the folder and durable; putting it again repairs a damaged copy.

        Raises `OutputError` when it cannot be written, and `InputError` when `content` is a path without a file.
        """
        with refused_writes(self._folder):
            temporary, digest = self._written(content)
            try:
                final = self._place(digest)
                if final.exists() and _digest_of(final) == digest:
                    sync_file(final)  # another process may have renamed it and not yet reached the disk
                    with contextlib.suppress(OSError):  # the file of another user
                        os.utime(final)
                else:
                    final.parent.mkdir(parents=True, exist_ok=True)
                    temporary.replace(final)
                sync_folder(final.parent)
                self._make_entry_durable(final.parent)
            finally:
                temporary.unlink(missing_ok=True)
        return digest

    def has(self, digest: str) -> bool:
        """Whether there is a file for the digest; its content is not read."""
        return self._place(digest).is_file()

    def path(self, digest: str, *, suffix: str = "") -> Path:
        """A file with the content, under a name that ends with `suffix`; its hash was checked just now.

        It is read-only and shared: copy it to change it. Raises `InputError` when it is not there or damaged.
        """
        place = self._place(digest)
        try:
            found = _digest_of(place)
        except OSError as error:
            raise InputError(
                f"the file {digest[:12]}... of the {self._owner} cannot be read ({error.strerror}); restore it from a "
                "backup, or put it in again"
            ) from error
        if found != digest:
            raise InputError(
                f"the file {digest[:12]}... of the {self._owner} is damaged: its content has the sha256 "
                f"{found[:12]}...; restore it from a backup, or put it in again"
            )
        return self._link(place, suffix) if suffix else place

    def remove_unused(self, used: Collection[str], *, older_than_s: float) -> int:
        """Remove files that are not in `used`, and links and unfinished files, if they are older; how many.

        The caller holds the lock under which files come into use.
        """
        before = time.time() - older_than_s
        unused = [path for path in self._blobs.glob("*/*") if path.name not in used]
        unused += [path for path in self._named.glob("*/*") if path.name[:64] not in used]
        unused += self._incoming.iterdir()
        old = [path for path in unused if _changed_at(path) < before]
        with refused_writes(self._folder):
            for path in old:
                path.unlink(missing_ok=True)
        return len(old)

    def remove(self, digest: str) -> None:
        """Remove a file if it is there. The caller holds the lock under which files come into use."""
        with refused_writes(self._folder):
            self._place(digest).unlink(missing_ok=True)

    def _written(self, content: bytes | Path) -> tuple[Path, str]:
        temporary = self._incoming / f"{uuid4().hex}.part"
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READ_ONLY)
        hashed = sha256()
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in _chunks(content):
                    hashed.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return temporary, hashed.hexdigest()

    def _make_entry_durable(self, folder: Path) -> None:
        """A folder is found in its own folder after a loss of power; once for each is enough."""
        if folder not in self._durable:
            sync_folder(folder.parent)
            self._durable.add(folder)

    def _place(self, digest: str) -> Path:
        if not checked_sha256(digest, "a stored file"):
            raise InputError("the sha256 of a stored file is empty; give the one that the store returned")
        return self._blobs / digest[:2] / digest

    def _link(self, place: Path, suffix: str) -> Path:
        named = self._named / place.name[:2] / (place.name + suffix)
        with refused_writes(self._folder):
            if named.exists():
                if named.samefile(place) or _digest_of(named) == place.name:
                    return named
                named.unlink(missing_ok=True)
            named.parent.mkdir(exist_ok=True)
            try:
                os.link(place, named)
            except FileExistsError:
                pass  # another process was faster
            except OSError:  # a file system without hard links
                self._written(place)[0].replace(named)
        return named


@contextmanager
def refused_writes(folder: Path) -> Iterator[None]:
    """Within it, what the system does not let be written becomes an `OutputError` with a sentence."""
    try:
        yield
    except OSError as error:
        raise write_refused(folder, error) from error


def file_sha256(path: Path) -> str:
    """The sha256 of a file. Raises `InputError` when it cannot be read."""
    try:
        return _digest_of(path)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror})") from error


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return _digest(file)


def _digest(file: BinaryIO) -> str:
    hashed = sha256()
    while chunk := file.read(_CHUNK):
        hashed.update(chunk)
    return hashed.hexdigest()


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if not isinstance(content, Path):
        yield bytes(content)
        return
    try:
        file = content.open("rb")
    except OSError as error:
        raise InputError(f"{content.name} cannot be read ({error.strerror}); give a label file") from error
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _changed_at(path: Path) -> float:
    """When a file was changed; in the future when it is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
