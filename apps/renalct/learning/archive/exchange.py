"""Label versions to the archive as SEG, and segmentations of the archive into the store as versions."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError, RenalctError, TransferError
from renalct.core.grid import Grid
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.formats.annotation import refuse_other_grid
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation, written_name
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.seg_reading import read_segmentation
from renalct.formats.dicom.web import ArchivedSeries, DicomWeb
from renalct.learning.archive.foreign import SegHeader, read_seg_header
from renalct.learning.archive.ledger import Ledger, Seen
from renalct.learning.ingestion import submit
from renalct.learning.store import FINAL, ORIGINAL, AuditEntry, CaseState, LabelStore, Version, VersionNote

TOOL = "DICOM SEG"
_logger = logging.getLogger(__name__)

Images = Callable[[str], LoadedSeries]
"""Gives the CT series of an image id; raises `InputError` or `TransferError`."""


class Exchange:
    """The exchange of labels between a store and an archive. `load` gives the CT series of an image id.

    Nothing is in two places before it is safe in one: a version is in the store before it is sent, and is noted as
    sent after the archive has it; a segmentation is noted as seen after its version is in the store. What is done
    twice because of a crash in between is recognized, and done once.
    """

    def __init__(self, store: LabelStore, web: DicomWeb, ledger: Ledger, load: Images) -> None:
        self._store = store
        self._web = web
        self._ledger = ledger
        self._load = load
        self._nothing_due_since: tuple[AuditEntry, ...] | None = None

    def due(self) -> tuple[Version, ...]:
        """The versions of final labels that are not in the archive, oldest first, without those that rest."""
        sent = self._ledger.sent()
        newest = self._store.finals(states=tuple(CaseState))
        behind = {version.image_id for version in newest if (version.image_id, version.number) not in sent}
        behind |= {failure.image_id for failure in self._ledger.failures()}
        done = sent | self._ledger.resting()
        versions = (version for image_id in behind for version in self._store.versions(image_id))
        waiting = [version for version in versions if (version.image_id, version.number) not in done]
        return tuple(sorted(waiting, key=lambda version: version.committed_at))

    def send_due(self) -> int:
        """How many versions were sent. What the archive refuses rests for a while.

        Raises `TransferError` when the archive cannot be reached; what was not sent stays due.
        """
        newest = self._store.audit(last=1)
        if newest == self._nothing_due_since and not self._ledger.failures():
            return 0
        sent = 0
        for version in self.due():
            try:
                self._send(version)
                sent += 1
            except TransferError:
                raise
            except Exception as error:  # headers of images that bend the standard raise many types
                reason = _reason(error)
                self._ledger.mark_failed(version.image_id, version.number, reason=reason)
                _logger.warning("a label was not sent to the archive: %s", reason)
        self._nothing_due_since = newest
        return sent

    def take_in(self, listed: Sequence[ArchivedSeries], images: frozenset[str]) -> int:
        """How many listed segmentation series became versions, the oldest first; each is looked at until it is done.

        One that belongs to no known image waits for its image. One that cannot be understood is noted with the reason,
        in the ledger and in the store's audit log. Raises `TransferError` when the archive cannot be reached.
        """
        seen, ours = self._ledger.seen(), self._ledger.sent_series()
        taken = 0
        for series in sorted(listed, key=lambda series: series.made_at):
            uid = series.series_instance_uid
            if uid in ours or _is_done(seen.get(uid), series.instances, images):
                continue
            instances = self._web.instances(series.study_instance_uid, uid)
            try:
                missing = self._take_in(series, images)
                self._ledger.mark_seen(uid, Seen(instances, waits_for=missing))
                taken += not missing
            except TransferError:
                raise
            except Exception as error:  # objects of others raise many types
                reason = _reason(error)
                self._ledger.mark_seen(uid, Seen(instances, reason=reason))
                self._store.record("refuse segmentation", by="", detail=f"series {uid}: {reason}")
                _logger.warning("segmentation series %s was not taken in: %s", uid, reason)
        return taken

    def _send(self, version: Version) -> None:
        series = self._load(version.image_id)
        grid = series.volume.grid
        label_map = nifti.read_label_map(self._store.label_path(version))
        refuse_other_grid(label_map.grid, grid, f"version {version.number} of {version.image_id}")
        seg = label_segmentation(series, LabelMap(label_map.values, grid), _origin(version))
        if seg is None:
            self._ledger.mark_sent(version.image_id, version.number, series_instance_uid="")
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "seg.dcm")
            seg.save_as(path, enforce_file_format=True)
            (outcome,) = self._web.store([path])
        if not outcome.is_stored:
            raise InputError(f"{self._web.settings.place} did not take the segmentation: {outcome.reason}")
        uid = str(seg.SeriesInstanceUID)
        self._ledger.mark_sent(version.image_id, version.number, series_instance_uid=uid)
        detail = f"{version.tag} {version.number} as series {uid}"
        self._store.record("send", by="", image_id=version.image_id, detail=detail)

    def _take_in(self, series: ArchivedSeries, images: frozenset[str]) -> tuple[str, ...]:
        """The image series that are missing; none when every segmentation of the series is in the store now."""
        with tempfile.TemporaryDirectory() as folder:
            files = self._web.fetch(series.study_instance_uid, series.series_instance_uid, Path(folder))
            for file in (_alone(file) for file in files):
                header = read_seg_header(file)
                image_id = next((uid for uid in header.referenced_series if uid in images), None)
                if image_id is None:
                    return header.referenced_series
                self._commit(image_id, file, header, series.series_instance_uid)
        return ()

    def _commit(self, image_id: str, file: Path, header: SegHeader, series_instance_uid: str) -> None:
        """A new version of an image's label, unless this segmentation is one already."""
        tag = ORIGINAL if header.is_automatic else FINAL
        comment = f"segmentation {header.sop_instance_uid} of the archive"
        if any(version.note.comment == comment for version in self._store.versions(image_id, tag=tag)):
            return
        volume = self._load(image_id).volume
        own = self._version_like(image_id, file, header, volume.grid) if header.is_ours and tag == FINAL else None
        if own is not None:
            self._ledger.mark_sent(image_id, own.number, series_instance_uid=series_instance_uid)
            return
        note = VersionNote(author=header.author, tool=TOOL, comment=comment, uploaded=self._store.put_blob(file))
        done = submit(self._store, image_id, file.parent, volume=volume, note=note, info={}, tag=tag)
        if tag == FINAL:
            self._ledger.mark_sent(image_id, done.version.number, series_instance_uid=series_instance_uid)

    def _version_like(self, image_id: str, file: Path, header: SegHeader, grid: Grid) -> Version | None:
        """The version that a segmentation of ours was made from, which a lost ledger has forgotten."""
        label_map = read_segmentation(file, grid)
        sent, author = self._ledger.sent(), header.author
        for version in reversed(self._store.versions(image_id)):
            if (image_id, version.number) in sent or written_name(version.note.author) != written_name(author):
                continue
            values = nifti.read_label_map(self._store.label_path(version)).values
            if np.array_equal(values, label_map.values):
                return version
        return None


def _reason(error: Exception) -> str:
    """What went wrong; of an error that is none of ours its type alone, since its text may hold anything."""
    if isinstance(error, RenalctError):
        return str(error)
    return f"it cannot be understood ({type(error).__name__}); look at it with another program"


def _alone(file: Path) -> Path:
    """The file moved into a folder of its own."""
    folder = file.with_suffix("")
    folder.mkdir()
    return file.rename(folder / file.name)


def _is_done(seen: Seen | None, instances: int, images: frozenset[str]) -> bool:
    """Whether nothing is left to do: no instance came since, and no image that was missing is here now."""
    if seen is None:
        return False
    return len(seen.instances) == (instances or len(seen.instances)) and images.isdisjoint(seen.waits_for)


def _origin(version: Version) -> LabelOrigin:
    made_at = datetime.fromtimestamp(version.committed_at, UTC)
    return LabelOrigin(version.note.author, version.number, made_at, release=version.note.model)
