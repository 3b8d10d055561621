"""The files of a study: in a folder, a zip archive, a DICOMDIR, or one file; and how each is opened."""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from renalct.core.errors import ErrorCode, InputError
from renalct.formats.dicom.bounded import read_dataset
from renalct.formats.quiet import quietly

_DICOM_MARK_AT = 128
_RAW_DATASET_STARTS = (b"\x08\x00", b"\x02\x00", b"\x00\x08")
"""First bytes of a data set without the 128-byte preamble: group 0008 or 0002, little or big endian."""
_LARGEST_MEMBER_BYTES = 8 << 30
_ENCRYPTED = 0x1
_LARGEST_SERIAL = 99999
_SERIAL_WORDS = re.compile(
    "autorun|bad|bmp|ct|damaged|db|dcm|dic|dicom|dicomdir|dose|empty|enhanced|exe|export|file|frame|gif|header|html?|i|im"
    "|ima|image|img|index|inf|jpe?g|json|letter|localizer|mr|none|notes?|part|pdf|pet|piece|png|pt|readme|report|s|scout"
    "|screen|se|seg|ser|series|sl|slice|sr|study|thumbs|topogram|txt|viewer|xml|z|zip"
)


@dataclass(frozen=True, order=True)
class StudyFile:
    """One file: on disk, or the member of a zip archive at `path`."""

    path: Path
    member: str = ""
    size_bytes: int = field(default=0, compare=False)
    number: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """What messages call the file: its own name if that cannot be a patient's (``IM0012.dcm``), else ``file 12``.

        Its number counts from 1 in the order of the paths of all files of the study.
        """
        own = Path(self.member).name if self.member else self.path.name
        return own if is_serial_name(own) else f"file {self.number}"


def is_serial_name(name: str) -> bool:
    """Whether a file's name is only words of our trade and a number of at most five digits that counts.

    All other names may hold a patient's name, or a longer number that is somebody's.
    """
    words = re.findall(r"[^\W\d_]+", name.casefold())
    numbers = [int(digits) for digits in re.findall(r"\d+", name)]
    counts = len(numbers) <= 1 and all(number <= _LARGEST_SERIAL for number in numbers)
    return name.isascii() and name.isprintable() and counts and all(_SERIAL_WORDS.fullmatch(word) for word in words)


@dataclass(frozen=True)
class Skipped:
    """A file that is not a CT image that can be used, and why; the reason finishes the sentence "<name> ...".

    `is_lost` when it may be an image of the study all the same: nobody could look into it, or it is damaged.
    """

    name: str
    reason: str
    is_lost: bool = False


@dataclass(frozen=True)
class Listing:
    """The files that were found, in sorted order, and those that cannot even be opened."""

    files: tuple[StudyFile, ...]
    skipped: tuple[Skipped, ...] = ()


def list_files(path: Path) -> Listing:
    """Every file of a study given as a folder (with all folders in it), a zip archive, a DICOMDIR or one DICOM file.

    Raises `InputError` when there is nothing at `path`, it cannot be read, or it is a file of another kind.
    """
    mode = _mode(path)
    if stat.S_ISDIR(mode):
        return _below(path)
    if not stat.S_ISREG(mode):
        raise InputError(
            "what should be a study is neither a file nor a folder; give the folder that holds its DICOM files",
            code=ErrorCode.NOT_A_STUDY,
        )
    if zipfile.is_zipfile(path) and not _looks_like_dicom(path):
        return _zip_members(path)
    if not _looks_like_dicom(path):
        raise InputError(
            "the file is neither DICOM nor a zip archive; "
            "give a folder of DICOM files, a DICOMDIR, a zip archive or a DICOM file",
            code=ErrorCode.NOT_A_STUDY,
        )
    if path.name.upper().split(".")[0] == "DICOMDIR":
        return _indexed_files(path)
    return Listing((StudyFile(path, size_bytes=path.stat().st_size, number=1),))


def _numbered(files: Iterable[StudyFile]) -> tuple[StudyFile, ...]:
    return tuple(replace(file, number=number) for number, file in enumerate(sorted(files), start=1))


def is_dicom(stream: BinaryIO) -> bool:
    """Whether a stream begins like DICOM, with or without preamble; the stream is put back to its start."""
    start = stream.read(_DICOM_MARK_AT + 4)
    stream.seek(0)
    return start[_DICOM_MARK_AT:] == b"DICM" or start[:2] in _RAW_DATASET_STARTS


class FileReader:
    """Opens the files of a study, each archive once; safe to share between threads. Used in a ``with``."""

    def __init__(self) -> None:
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._lock = threading.Lock()
        self._closing = ExitStack()

    def __enter__(self) -> FileReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def open(self, file: StudyFile) -> BinaryIO:
        """A readable, seekable stream of the file's bytes. Raises OSError, zipfile.BadZipFile or zlib.error."""
        if not file.member:
            return file.path.open("rb")
        with self._lock:
            archive = self._archives.get(file.path)
            if archive is None:
                archive = self._archives[file.path] = self._closing.enter_context(zipfile.ZipFile(file.path))
        return cast(BinaryIO, archive.open(file.member))

    def read(self, file: StudyFile) -> BinaryIO:
        """The whole file as a stream in memory. Raises as `open` does."""
        with self.open(file) as stream:
            return io.BytesIO(stream.read())


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: a zero byte in the path
        raise InputError(
            f"there is no file or folder {str(path)!r}; check the spelling of the path", code=ErrorCode.NO_INPUT
        ) from error
    except OSError as error:
        raise InputError(
            f"where the study should be, nothing can be looked at ({error.strerror}); check the path and the rights",
            code=ErrorCode.NO_INPUT,
        ) from error


def _below(folder: Path) -> Listing:
    """The files in a folder; those, and the folders in it, that nobody may look at are lost."""
    unread: list[OSError] = []
    files, lost = [], []
    for path in _paths_below(folder, unread):
        try:
            found = path.stat()
        except OSError as error:
            lost.append(Skipped(_plain(path, "a file"), f"cannot be read ({error.strerror})", is_lost=True))
            continue
        if stat.S_ISREG(found.st_mode):
            files.append(StudyFile(path, size_bytes=found.st_size))
    for refusal in unread:
        path = Path(os.fsdecode(refusal.filename))
        if path == folder:
            raise InputError(
                f"the folder cannot be read ({refusal.strerror}); give the right to read it", code=ErrorCode.NO_INPUT
            ) from refusal
        lost.append(Skipped(_plain(path, "a folder"), f"cannot be read ({refusal.strerror})", is_lost=True))
    if not files:
        raise InputError(
            f"none of the files in the folder can be read ({lost[0].reason}); give the right to read them"
            if lost
            else "the folder is empty; give the folder that holds the DICOM files of a study",
            code=ErrorCode.NO_INPUT,
        )
    return Listing(_numbered(files), tuple(lost))


def _plain(path: Path, otherwise: str) -> str:
    """The name of what was found, where it cannot be a patient's."""
    return path.name if is_serial_name(path.name) else otherwise


def _paths_below(folder: Path, unread: list[OSError]) -> Iterator[Path]:
    """Everything below a folder that is no folder; the folders that cannot be read go into `unread`."""
    seen: set[str] = set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=unread.append):
        real = os.path.realpath(here)
        if real in seen:  # a link that leads back into the study
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(here, name) for name in names)


def _looks_like_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return is_dicom(stream)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", code=ErrorCode.DAMAGED_FILE) from error


def _zip_members(path: Path) -> Listing:
    files, skipped = [], []
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(
            f"the zip archive is damaged ({type(error).__name__}); export it again", code=ErrorCode.DAMAGED_ARCHIVE
        ) from error
    for number, member in enumerate(sorted(members, key=lambda member: member.filename), start=1):
        name = StudyFile(path, member.filename, number=number).name
        if member.flag_bits & _ENCRYPTED:
            skipped.append(Skipped(name, "is encrypted; unpack the archive with its password first", is_lost=True))
        elif member.file_size > _LARGEST_MEMBER_BYTES:
            skipped.append(Skipped(name, f"unpacks to {member.file_size >> 30} GiB, more than any CT image"))
        else:
            files.append(StudyFile(path, member.filename, member.file_size, number))
    if not members:
        raise InputError(
            "the zip archive is empty; give one that holds the DICOM files of a study", code=ErrorCode.NO_INPUT
        )
    return Listing(tuple(sorted(files)), tuple(skipped))


def _indexed_files(dicomdir: Path) -> Listing:
    """The files that a DICOMDIR (PS3.3 F.3) refers to; names are matched without regard to case, as media differ."""
    try:
        with quietly(), dicomdir.open("rb") as stream:
            records = read_dataset(stream).DirectoryRecordSequence
        names = [record.ReferencedFileID for record in records if "ReferencedFileID" in record]
    except Exception as error:  # pydicom raises many types on damaged files
        raise InputError(
            "the DICOMDIR is damaged; give the folder that holds the images instead", code=ErrorCode.DAMAGED_ARCHIVE
        ) from error
    files, skipped = set(), []
    for number, entry in enumerate(names, start=1):
        parts = [entry] if isinstance(entry, str) else [str(part) for part in entry]
        name = parts[-1]
        found = _find_ignoring_case(dicomdir.parent, parts)
        if found is None:
            name = name if is_serial_name(name) else f"entry {number}"
            skipped.append(Skipped(name, "is listed in the DICOMDIR but is not there", is_lost=True))
        else:
            files.add(StudyFile(found, size_bytes=found.stat().st_size))
    return Listing(_numbered(files), tuple(skipped))


def _find_ignoring_case(folder: Path, parts: list[str]) -> Path | None:
    here = folder
    for part in parts:
        exact = here / part
        if part in ("", ".", "..") or not here.is_dir():
            return None
        if not exact.exists():
            near = sorted(entry for entry in here.iterdir() if entry.name.lower() == part.lower())
            if not near:
                return None
            exact = near[0]
        here = exact
    return here if here.is_file() else None
