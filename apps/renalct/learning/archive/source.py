"""The images of a DICOMweb archive, and their labels kept in step with it."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from renalct.core.errors import InputError, RenalctError, TransferError
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.scan import StudyScan, scan_study
from renalct.formats.dicom.series import load_series
from renalct.formats.dicom.web import ArchivedSeries, DicomWeb
from renalct.formats.dicom.web_cache import SeriesCache
from renalct.formats.nifti import write_volume
from renalct.formats.study import Study, load_choice
from renalct.learning.archive.exchange import Exchange
from renalct.learning.archive.fetching import fetched
from renalct.learning.archive.ledger import Ledger
from renalct.learning.store import LabelStore, StoredImage, Version

IMAGE_MODALITY, LABEL_MODALITY = "CT", "SEG"
_FRESH_S = 1.0
_SHARE_OF_TIME = 10.0
_WAIT_S = 2.0
_FEWEST_IMAGES = 3
_FIRST_RETRY_S, _LAST_RETRY_S = 5.0, 60.0
_PATIENT_DIGITS = 16
_logger = logging.getLogger(__name__)


class ImageArchive:
    """CT series of an archive as images to label: an `ImageSource`, whose image ids are SeriesInstanceUIDs.

    The archive is listed in the background, at most once a second and a tenth of the time: new CT series are
    registered in the store, segmentations that others stored become versions, and versions that are not in the archive
    yet are sent. Nobody waits for the sending. While the archive cannot be reached, what is known stays, and saved
    labels wait in the store; it is tried again within a minute, and after a restart.
    """

    def __init__(self, web: DicomWeb, store: LabelStore, cache: SeriesCache) -> None:
        self._web = web
        self._store = store
        self._cache = cache
        self._ledger = Ledger(store.folder)
        self._exchange = Exchange(store, web, self._ledger, self.series)
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None
        self._is_looking = self._wanted = False
        self._fresh = threading.Event()
        self._look_at = 0.0
        self._checked: set[str] = set()
        self._retry: threading.Timer | None = None
        self._retry_s = _FIRST_RETRY_S
        self._listed: dict[str, ArchivedSeries] = {}
        self._images: tuple[StoredImage, ...] | None = None
        self._problem: RenalctError | None = None

    def images(self) -> tuple[StoredImage, ...]:
        """The CT series that can be labelled, by id. Raises `TransferError` when the archive was never reached."""
        self._start_looking()
        self._fresh.wait(None if self._images is None else _WAIT_S)
        if self._images is None and self._problem is not None:
            raise self._problem
        return self._images or ()

    def study(self, image: StoredImage) -> Study:
        """The series to analyse, with a phase before contrast where its study has one."""
        uid = image.image_id
        scans = [scan_study(self.files(image))]
        left_out = {uid, *self._ledger.unusable()}
        for other in self._listed.values():
            if other.study_instance_uid == image.study_instance_uid and other.series_instance_uid not in left_out:
                try:
                    scans.append(scan_study(self._cache.fetch(self._web, *_uids(other))))
                except (InputError, TransferError) as error:
                    _logger.info("series %s is left out: %s", other.series_instance_uid, error)
        scan = StudyScan(tuple(series for scan in scans for series in scan.series))
        return load_choice(scan, choose_series(scan, series_instance_uid=uid))

    def files(self, image: StoredImage) -> Path:
        """The folder of the fetched series; fetched now when it is not here."""
        return fetched(self._web, self._cache, image)

    def series(self, image_id: str) -> LoadedSeries:
        """The CT series of an image with its headers. One that cannot be an image is not offered any more."""
        return self._load(self._store.image(image_id))

    def viewable(self, image: StoredImage) -> Path:
        """The series converted to a NIfTI file, which lies beside its fetched files."""
        path = self.files(image) / f"{image.image_id}.nii.gz"
        if not path.is_file():
            volume = self.series(image.image_id).volume
            with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
                made = Path(temporary, path.name)
                write_volume(volume, made)
                made.replace(path)
        return path

    def details(self, image: StoredImage) -> Mapping[str, str]:
        """The keywords that OHIF shows of a series."""
        known = self._listed.get(image.image_id)
        found = {
            "Modality": IMAGE_MODALITY,
            "StudyDate": known.study_date if known else "",
            "StudyTime": known.study_time if known else "",
            "SeriesDescription": known.description if known else "",
            "StudyInstanceUID": image.study_instance_uid,
            "SeriesInstanceUID": image.series_instance_uid,
            "RetrieveURL": image.location,
        }
        return {keyword: text for keyword, text in found.items() if text}

    def add(self, image_id: str, file: Path) -> StoredImage:
        """Nothing is taken: raises `InputError`."""
        raise InputError("the images of this server lie in a DICOMweb archive; store the series there")

    def published(self, image: StoredImage, version: Version, label: Path) -> None:
        """Send a version soon, in the background; it is safe in the store already."""
        self._look_soon()

    def settle(self) -> None:
        """Look at the archive now, and wait until what is due was tried and what is new is taken in."""
        self._look_soon().join()

    def close(self) -> None:
        """Try nothing again by itself; every call still works."""
        if self._retry is not None:
            self._retry.cancel()

    def _look_soon(self) -> threading.Thread:
        """The thread that looks after this call has begun."""
        with self._lock:
            self._wanted = True
        return self._start_looking()

    def _start_looking(self) -> threading.Thread:
        """The thread that looks, or has looked just now."""
        with self._lock:
            latest = self._looking
            is_looking = self._is_looking and latest is not None and latest.is_alive()
            if latest is not None and (is_looking or (not self._wanted and time.monotonic() < self._look_at)):
                return latest
            self._is_looking = self._wanted = True
            self._fresh.clear()
            self._looking = threading.Thread(target=self._look, name="archive", daemon=True)
            self._looking.start()
            return self._looking

    def _look(self) -> None:
        """Look until nobody wants another look."""
        while True:
            with self._lock:
                if not self._wanted:
                    self._is_looking = False
                    return
                self._wanted = False
            try:
                self._look_once()
                self._problem = None
                self._retry_s = _FIRST_RETRY_S
            except RenalctError as error:
                self._problem = error
                self._images = self._images or self._remembered()
                _logger.warning("the archive was left for later: %s", error)
                self._try_again()
            except Exception:
                self._images = self._images or self._remembered()
                _logger.exception("the archive was left for later because of an error of renalct")
            finally:
                self._fresh.set()

    def _try_again(self) -> None:
        """Look again after a pause, when labels wait to be sent; each pause is twice as long as the one before."""
        self.close()
        if self._exchange.due():
            self._retry = threading.Timer(self._retry_s, self._look_soon)
            self._retry.daemon = True
            self._retry.start()
            self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)

    def _look_once(self) -> None:
        began = time.monotonic()
        self._look_at = began + _FRESH_S
        segmentations = self._list()
        self._look_at += _SHARE_OF_TIME * (time.monotonic() - began)
        self._refuse_pictures()
        unusable = self._ledger.unusable()
        found = tuple(self._described(series) for uid, series in self._listed.items() if uid not in unusable)
        if found != self._images:
            self._store.register(found)
        with self._ledger.exchange() as alone:
            if alone:
                self._exchange.take_in(segmentations, frozenset(image.image_id for image in found))
            if found != self._images:
                self._images = found
            self._fresh.set()
            if alone:
                self._exchange.send_due()

    def _list(self) -> tuple[ArchivedSeries, ...]:
        """The segmentation series; the image series are kept."""
        self._listed = {series.series_instance_uid: series for series in self._web.series(IMAGE_MODALITY)}
        return self._web.series(LABEL_MODALITY)

    def _refuse_pictures(self) -> None:
        """A series of one or two images is a scout or a screenshot, unless it loads."""
        done = {*self._ledger.unusable(), *self._checked}
        for uid, series in self._listed.items():
            if 0 < series.instances < _FEWEST_IMAGES and uid not in done:
                try:
                    self._load(self._described(series))
                    self._checked.add(uid)
                except InputError as error:
                    _logger.info("series %s is no image to label: %s", uid, error)

    def _load(self, image: StoredImage) -> LoadedSeries:
        folder = self.files(image)
        try:
            return load_series(choose_series(scan_study(folder), series_instance_uid=image.image_id).chosen)
        except InputError as error:
            self._ledger.mark_unusable(image.image_id, reason=str(error))
            self._store.record("refuse image", by="", detail=f"series {image.image_id}: {error}")
            raise

    def _remembered(self) -> tuple[StoredImage, ...] | None:
        """The images of an earlier run, for as long as the archive cannot be asked; None when there are none."""
        unusable = self._ledger.unusable()
        known = [i for i in self._store.images() if i.series_instance_uid and i.image_id not in unusable]
        return tuple(known) or None

    def _described(self, series: ArchivedSeries) -> StoredImage:
        patient = series.patient or series.study_instance_uid
        study, uid = _uids(series)
        return StoredImage(
            uid,
            f"{self._web.settings.url.rstrip('/')}/studies/{study}/series/{uid}",
            patient=sha256(patient.encode()).hexdigest()[:_PATIENT_DIGITS],
            series_instance_uid=uid,
            study_instance_uid=study,
        )


def _uids(series: ArchivedSeries) -> tuple[str, str]:
    return series.study_instance_uid, series.series_instance_uid
