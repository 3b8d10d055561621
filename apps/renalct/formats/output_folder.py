"""The output folder: filled under a temporary name beside the final one, then renamed; nothing partial is left."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from renalct.core.errors import ErrorCode, OutputError

_MARKERS = ("report.json", "status.json")


@contextmanager
def output_folder(final: Path, *, replace_existing: bool = False) -> Iterator[Path]:
    """A temporary folder to fill; on success it becomes `final`, on any error it is removed.

    An existing empty folder is used; one that holds an earlier result (it has a report.json or a status.json) is
    replaced as a whole when `replace_existing`; any other existing content is never touched. Raises `OutputError` when
    the place is not empty, cannot be written, or is full.
    """
    final = Path(final)
    _check(final, replace_existing)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".part", dir=final.parent))
    except OSError as error:
        raise write_refused(final, error) from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _swap(temporary, final)
    except OSError as error:
        raise write_refused(final, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def filled_folder(existing: Path) -> Iterator[Path]:
    """A temporary folder inside `existing`; on success its files move into `existing`, on any error it is removed.

    For a folder that is given and cannot be renamed, for example a mount point. Files of the same name are replaced.
    Raises `OutputError` when the place cannot be written, or is full.
    """
    existing = Path(existing)
    _refuse_what_is_no_folder(existing)
    try:
        existing.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=existing))
    except OSError as error:
        raise write_refused(existing, error) from error
    try:
        yield temporary
        for path in sorted(temporary.iterdir()):
            path.replace(existing / path.name)
    except OSError as error:
        raise write_refused(existing, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_what_is_no_folder(final: Path) -> None:
    if os.path.lexists(final) and not os.path.isdir(final):
        raise OutputError(f"the output {final} is not a folder; choose another name", code=ErrorCode.OUTPUT_TAKEN)


def _check(final: Path, replace_existing: bool) -> None:
    _refuse_what_is_no_folder(final)
    if final.is_symlink():  # it could not be renamed as a whole
        raise OutputError(f"the output {final} is not a folder; choose another name", code=ErrorCode.OUTPUT_TAKEN)
    if not final.is_dir() or not any(final.iterdir()):
        return
    if not any((final / name).is_file() for name in _MARKERS):
        raise OutputError(f"the output folder {final} is not empty; choose another name", code=ErrorCode.OUTPUT_TAKEN)
    if not replace_existing:
        raise OutputError(
            f"the output folder {final} holds an earlier result; choose another name, or add --force",
            code=ErrorCode.OUTPUT_TAKEN,
        )


def _swap(temporary: Path, final: Path) -> None:
    """Put the new folder in place of an older one, which is put back if that fails."""
    if not final.exists():
        temporary.rename(final)
        return
    older = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".old", dir=final.parent))
    final.rename(older / "was")
    try:
        temporary.rename(final)
    except OSError:
        (older / "was").rename(final)
        raise
    finally:
        shutil.rmtree(older, ignore_errors=True)


def write_refused(final: Path, failure: OSError) -> OutputError:
    """What is said when the system did not let a folder be written: no space, no permission, or its own words."""
    error = _numbered(failure)
    if is_out_of_space(error):
        return OutputError(
            f"no space is left to write {final}; free some, or choose another place", code=ErrorCode.NO_SPACE
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"the output folder {final} cannot be written (permission denied); choose another place")
    reason = error.strerror or str(error).partition("\n")[0]
    return OutputError(f"the output folder {final} cannot be written ({reason}); choose another place")


def is_out_of_space(failure: OSError) -> bool:
    """Whether the system had no space left to write, or no more for this user."""
    return _numbered(failure).errno in (errno.ENOSPC, errno.EDQUOT)


def _numbered(error: OSError) -> OSError:
    """The error that carries the system's number: pydicom raises one without it from the one that has it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause
        cause = cause.__cause__ or cause.__context__
    return error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
