"""Where images to label come from: a folder of NIfTI files and DICOM series, or (elsewhere) an archive."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from renalct.core.errors import InputError
from renalct.formats.case_notes import read_notes, stem_of
from renalct.formats.dicom.headers import SeriesHeaders
from renalct.formats.dicom.scan import scan_study
from renalct.formats.nifti import SUFFIXES, is_nifti, read_volume, write_volume
from renalct.formats.study import Study, open_study
from renalct.learning.store import StoredImage, Version

OWN_FOLDER = "renalct"
"""The folder beside the images in which the server keeps labels, models and what it derives from images."""

NOT_IMAGES = (OWN_FOLDER, "labels")
_ID = re.compile(r"[\w.() -]+")
_PATIENT_DIGITS = 16
_OLDEST_LIST_S = 2.0
_WAIT_S = 0.02
_SHARE_OF_TIME = 0.03
_ENDS_BYTES = 1 << 14
_logger = logging.getLogger(__name__)
_SHOWN_BY_VIEWERS = (
    "StudyDate", "StudyTime", "SeriesDescription", "StudyInstanceUID", "SeriesInstanceUID",
)  # fmt: skip

Locate = Callable[[StoredImage], Path]
"""Where the files of an image are: a NIfTI file, or a folder of DICOM files. May take long, and may fail."""


@dataclass(frozen=True)
class InFolder:
    """Finds images by their location, relative to a folder; a value that other processes can be given."""

    folder: Path

    def __call__(self, image: StoredImage) -> Path:
        """The file or folder of an image. Raises `InputError` when it is not there."""
        path = self.folder / image.location
        if not path.exists():
            raise InputError(
                f"the image {image.image_id} is not in {self.folder}; give the folder that holds the images"
            )
        return path


class ImageSource(Protocol):
    """Images that can be labelled. Safe for several threads."""

    def images(self) -> tuple[StoredImage, ...]:
        """What there is now; quick when nothing changed since the last call."""
        ...

    def study(self, image: StoredImage) -> Study:
        """The image to analyse, with what else of its study helps."""
        ...

    def files(self, image: StoredImage) -> Path:
        """A NIfTI file, or a folder of DICOM files, on this machine; fetched when it is not here."""
        ...

    def viewable(self, image: StoredImage) -> Path:
        """One NIfTI file on this machine with the image on its own voxel grid, which a viewer may read."""
        ...

    def details(self, image: StoredImage) -> Mapping[str, str]:
        """What viewers show of an image, by DICOM keyword; never a patient's name or ID."""
        ...

    def add(self, image_id: str, file: Path) -> StoredImage:
        """Take a new image, or refuse it with an `InputError`."""
        ...

    def published(self, image: StoredImage, version: Version, label: Path) -> None:
        """Told of every version of a final label after it is safe in the store; `label` is its file."""
        ...


class ImageFolder:
    """A folder with NIfTI files at its top, and DICOM series anywhere in its subfolders.

    A NIfTI image is called by its file name without the ending, a DICOM series by its SeriesInstanceUID, as OHIF
    calls it. Series are converted to NIfTI once, into `cache`, for viewers that cannot read a folder.
    """

    def __init__(self, folder: Path, *, cache: Path) -> None:
        self._folder, self._cache = Path(folder), Path(cache)
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None
        self._look_at = 0.0
        self._seen: tuple[object, ...] = ()
        self._images: tuple[StoredImage, ...] = ()
        self._series: dict[str, tuple[int, dict[str, SeriesHeaders]]] = {}
        self._headers: dict[str, SeriesHeaders] = {}

    def images(self) -> tuple[StoredImage, ...]:
        """The images of the folder, by id, as they were a few seconds ago or later.

        Of two files that give one id, the compressed one is taken. A large folder is looked at in the background, so
        that nobody waits for it but the first who asks.
        """
        with self._lock:
            looking = self._looking
            if looking is None or (not looking.is_alive() and time.monotonic() >= self._look_at):
                looking = self._looking = threading.Thread(target=self._look, name="image folder", daemon=True)
                looking.start()
        looking.join(_WAIT_S if self._seen else None)
        return self._images

    def _look(self) -> None:
        """Bring the list up to date; what cannot be listed leaves it as it was."""
        try:
            self._list()
        except OSError as error:
            _logger.warning("the folder of images cannot be listed (%s)", error.strerror)

    def _list(self) -> None:
        started = time.monotonic()
        with os.scandir(self._folder) as entries:
            listed = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
            folders = [e for e in listed if e.is_dir() and e.name not in NOT_IMAGES]
            changed = tuple((e.name, e.stat().st_mtime_ns) for e in folders)
            names = [e for e in listed if e.name.lower().endswith(SUFFIXES) and e.is_file()]
            files = tuple((e.name, e.stat().st_mtime_ns) for e in names)
        took = time.monotonic() - started
        self._look_at = started + max(_OLDEST_LIST_S, took / _SHARE_OF_TIME)
        if (files, changed) == self._seen:
            return
        found = {stem_of(Path(name)): self._nifti(name) for name, _ in files}
        self._headers = self._dicom(changed)
        found |= {uid: self._converted(uid, series) for uid, series in self._headers.items()}
        self._images, self._seen = tuple(found[key] for key in sorted(found)), (files, changed)

    def study(self, image: StoredImage) -> Study:
        """The NIfTI file or the series of a DICOM folder, with a phase before contrast where the study has one."""
        if image.image_id not in self._headers:
            return open_study(self.files(image))
        return open_study(self.files(image), series_instance_uid=image.image_id)

    def files(self, image: StoredImage) -> Path:
        """The NIfTI file, or the subfolder in which the series is."""
        return InFolder(self._folder)(image)

    def viewable(self, image: StoredImage) -> Path:
        """The NIfTI file itself, or the series converted to one."""
        if image.image_id not in self._headers:
            return (self._folder / image.location).resolve()
        slices = len(self._headers[image.image_id].slices)
        path = self._cache / f"{image.image_id}-{slices}{SUFFIXES[1]}"
        if not path.is_file():
            self._cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._cache) as temporary:
                made = Path(temporary, path.name)
                write_volume(self.study(image).volume, made)
                made.replace(path)
        return path

    def details(self, image: StoredImage) -> Mapping[str, str]:
        """The keywords that OHIF shows of a series; nothing for NIfTI."""
        series = self._headers.get(image.image_id)
        if series is None:
            return {}
        return {"Modality": "CT"} | {keyword: text for keyword in _SHOWN_BY_VIEWERS if (text := series.text(keyword))}

    def add(self, image_id: str, file: Path) -> StoredImage:
        """Put a NIfTI file that is a CT into the folder, whole or not at all."""
        if not is_nifti(file):
            raise InputError(
                f"{file.suffix or 'a file without an ending'} is no kind of image that is taken; send NIfTI"
            )
        if not _ID.fullmatch(image_id) or image_id.startswith("."):
            raise InputError(f"{image_id!r} cannot be the name of an image; use letters, digits, '.', '_' and '-'")
        if any(image.image_id == image_id for image in self.images()):
            raise InputError(
                f"there is an image {image_id!r} already, and images are never replaced; choose another name"
            )
        read_volume(file)
        name = image_id + ("".join(file.suffixes[-2:]) if file.name.endswith(SUFFIXES[1]) else file.suffix)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as temporary:
            copied = Path(shutil.copy(file, temporary))
            copied.replace(self._folder / name)
        self._look()
        return self._nifti(name)

    def published(self, image: StoredImage, version: Version, label: Path) -> None:
        """Nothing: a folder is no archive, and its labels stay in the store."""

    def _nifti(self, name: str) -> StoredImage:
        path = self._folder / name
        try:
            patient = read_notes(path).patient
        except InputError as error:
            _logger.warning("the notes beside %s are not used: %s", name, error)
            patient = ""
        return StoredImage(stem_of(path), name, sha256=_fingerprint(path), patient=patient)

    def _dicom(self, folders: tuple[tuple[str, int], ...]) -> dict[str, SeriesHeaders]:
        """The series of the subfolders; one that did not change since it was read is not read again."""
        known = self._series
        self._series = {
            name: known[name] if known.get(name, (None,))[0] == changed else (changed, self._scanned(name))
            for name, changed in folders
        }
        return {uid: series for _, found in self._series.values() for uid, series in found.items()}

    def _scanned(self, name: str) -> dict[str, SeriesHeaders]:
        try:
            scan = scan_study(self._folder / name)
        except InputError:
            return {}
        return {series.series_instance_uid: series for series in scan.series if series.parts == 1}

    def _converted(self, uid: str, series: SeriesHeaders) -> StoredImage:
        folder = next(name for name, (_, found) in self._series.items() if uid in found)
        patient = series.text("PatientID") or series.study_instance_uid
        return StoredImage(
            uid,
            folder,
            patient=sha256(patient.encode()).hexdigest()[:_PATIENT_DIGITS],
            series_instance_uid=uid,
            study_instance_uid=series.study_instance_uid,
        )


def _fingerprint(path: Path) -> str:
    """What changes with the content of a file, without reading all of it: a sha256 of its size, its beginning and its
    end. The end of a compressed file is a checksum of the whole; of others the time of the last change stands in."""
    status = path.stat()
    digest = sha256(str(status.st_size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_ENDS_BYTES))
        file.seek(max(0, status.st_size - _ENDS_BYTES))
        digest.update(file.read())
    if not path.name.lower().endswith(SUFFIXES[1]):
        digest.update(str(status.st_mtime_ns).encode())
    return digest.hexdigest()
