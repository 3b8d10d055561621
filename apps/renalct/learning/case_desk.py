"""The desk of a label server: cases are handed out here, and labels handed in; every decision on them is made here."""

from __future__ import annotations

import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.nifti import SUFFIXES, write_label_map
from renalct.formats.study import Study
from renalct.learning.case_words import USUAL_DESK, Back, DeskSettings, Given, Order, Ranked
from renalct.learning.empty_segments import with_stated_absence
from renalct.learning.image_source import ImageSource
from renalct.learning.ingestion import Submission, submit
from renalct.learning.segment_numbers import refuse_ambiguous_numbers
from renalct.learning.store import (
    FINAL,
    ORIGINAL,
    REPEAT,
    CaseState,
    LabelStore,
    Lease,
    Purpose,
    SegmentationMeta,
    StoredImage,
    Version,
    VersionNote,
    reviewed_state,
)
from renalct.learning.store.names import checked_tag
from renalct.learning.store.records import checked_name

TOOL = "MONAI Label"
VERSION = "version_"
"""MONAI Label's Reviewer calls the labels of a case `version_1`, `version_2`, ...: our numbers under `final`."""

_LABELLED = (CaseState.SUBMITTED, CaseState.FLAGGED, CaseState.APPROVED, CaseState.GOLD)
_WAITING = (CaseState.UNASSIGNED, CaseState.LEASED)
_STUDIES_KEPT = 2
_SHOWN_DIGITS = 12
_NUMBER = re.compile(r"[0-9]{1,9}")


class CaseDesk:
    """One for each server process; several may stand at one store. Safe for several threads."""

    def __init__(self, store: LabelStore, source: ImageSource, *, settings: DeskSettings = USUAL_DESK) -> None:
        self.store, self.source, self.settings = store, source, settings
        self._registered: tuple[StoredImage, ...] = ()
        self._by_id: dict[str, StoredImage] = {}
        self._studies: OrderedDict[str, Study] = OrderedDict()
        self._shown: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()

    def images(self) -> Mapping[str, StoredImage]:
        """The images that there are now, by id; new ones become known to the store."""
        found = self.source.images()
        with self._lock:
            if found is not self._registered:
                self.store.register(found)
                self._registered, self._by_id = found, {image.image_id: image for image in found}
            return self._by_id

    def image(self, image_id: str) -> StoredImage:
        """An image by its id. Raises `InputError` when it is not there."""
        found = self.images().get(image_id)
        if found is None:
            raise InputError(f"there is no image of that name in this store ({image_id!r}); refresh the list of images")
        return found

    def labelled(self) -> Sequence[str]:
        """The ids of the images with a final label that counts."""
        images = self.images()
        return [version.image_id for version in self.store.finals(states=_LABELLED) if version.image_id in images]

    def unlabelled(self) -> Sequence[str]:
        """The ids of the images that wait for a label."""
        images = self.images()
        return [each for state in _WAITING for each in self.store.cases(state=state) if each in images]

    def study(self, image_id: str) -> Study:
        """The image to analyse; the last few are kept in memory."""
        image = self.image(image_id)
        key = f"{image_id}\n{image.location}"
        with self._lock:
            if key in self._studies:
                self._studies.move_to_end(key)
                return self._studies[key]
        study = self.source.study(image)
        with self._lock:
            self._studies[key] = study
            while len(self._studies) > _STUDIES_KEPT:
                self._studies.popitem(last=False)
        return study

    def volume(self, image_id: str) -> CTVolume:
        """The CT numbers of an image."""
        return self.study(image_id).volume

    def next_fresh(self, client: str, order: Order) -> Given | None:
        """The next case to label, reserved for the client; None when nothing is left.

        A blind repeat that is due comes first, and looks like any other case. A case that the client holds already
        comes last: who asks again wants another one.
        """
        images = self.images()
        due = [image_id for image_id in self.store.due_repeats(client) if image_id in images]
        if due:
            repeated = self._leased(client, due, Purpose.REPEAT)
            if repeated is not None:
                return Given(images[repeated.image_id], repeated, {})
        pool = self._pool(images)
        ranked = order([images[image_id] for image_id in pool], client)
        whys = {each.image_id: each.why for each in ranked}
        held = {lease.image_id for lease in self.store.leases(client=client)}
        first = [image_id for image_id in whys if image_id not in held]
        for wanted in (first, [image_id for image_id in whys if image_id in held]):
            lease = self._leased(client, wanted, Purpose.ANNOTATE) if wanted else None
            if lease is not None:
                return Given(images[lease.image_id], lease, whys[lease.image_id])
        return None

    def next_back(self, client: str, way: Back, *, image_id: str = "") -> Given | None:
        """A case to go back to, reserved for correction; None when there is none.

        Mine: those whose label the client made, the newest first. Review: submitted ones, the oldest first. Raises
        `InputError` for a case by its id that is not there, or that another client works on.
        """
        images = self.images()
        if way is Back.CASE:
            wanted = [self.image(image_id).image_id]
            if any(lease.client != client for lease in self.store.leases(image_id=image_id)):
                raise InputError(f"{image_id!r} is with another annotator now; ask for it again later")
        elif way is Back.MINE:
            finals = {version.image_id: version.committed_at for version in self.store.finals(states=_LABELLED)}
            mine = [each for each in self.store.cases(author=client) if each in finals]
            wanted = sorted(mine, key=lambda each: -finals[each])
        else:
            state = CaseState.FLAGGED if way is Back.FLAGGED else CaseState.SUBMITTED
            wanted = list(self.store.cases(state=state))
        wanted = [each for each in wanted if each in images]
        return self._corrected(client, [Ranked(each, {"sentence": f"asked for: {way.value}"}) for each in wanted])

    def next_suspect(self, client: str, order: Order) -> Given | None:
        """A labelled case to look at again, in the order of suspicion; None when there is none."""
        images = self.images()
        return self._corrected(client, order([images[each] for each in self.labelled()], client))

    def show(self, client: str, image_id: str, model: str) -> None:
        """Remember which release's answer a client saw of a case: it is noted on the label that it hands in."""
        with self._lock:
            self._shown[client, image_id] = model

    def reopened(self, client: str, image_id: str) -> Version | None:
        """The label to begin with when a client has gone back to a case; None when it has not."""
        leases = self.store.leases(client=client, image_id=image_id)
        return self.store.final(image_id) if any(each.purpose is Purpose.CORRECT for each in leases) else None

    def hand_in(self, image_id: str, file: Path, *, tag: str, author: str, info: Mapping[str, Any]) -> Submission:
        """A label as a new version. Tags of the Reviewer (`version_3`) mean a new version of the final label too."""
        image = self.image(image_id)
        checked_tag(tag)
        checked_name(author, "the author of a label")
        leases = {lease.purpose: lease for lease in self.store.leases(client=author, image_id=image_id)}
        kept = FINAL if tag.startswith(VERSION) else tag
        parent = None
        if kept == FINAL and Purpose.REPEAT in leases:
            kept = leases[Purpose.REPEAT].tag
        elif kept == FINAL and Purpose.CORRECT in leases:
            last = self.store.final(image_id)
            parent = last.number if last else None
        note = VersionNote(
            author=author,
            tool=str(info.get("tool") or TOOL),
            model=self._shown.get((author, image_id), "") or str(info.get("release") or ""),
            comment=str(info.get("comment") or ""),
        )
        refuse_ambiguous_numbers(info, file)
        stated = with_stated_absence(info)
        found = submit(
            self.store, image_id, file, volume=self.volume(image_id), note=note, info=stated, tag=kept, parent=parent
        )
        if kept == FINAL:
            self.source.published(image, found.version, self.store.label_path(found.version))
        return found

    def keep_answer(self, image_id: str, label_map: LabelMap, *, model: str, tag: str = ORIGINAL) -> Version:
        """A model's answer as a pre-label, which is never trained on. Raises `InputError` for the tag of a label."""
        self.image(image_id)
        refuse_tag_of_labels(tag)
        note = VersionNote(author=f"release {model[:_SHOWN_DIGITS]}", tool="renalct", model=model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "answer").with_suffix(SUFFIXES[1])
            write_label_map(label_map, path)
            return self.store.commit(image_id, path, suffix=SUFFIXES[1], note=note, tag=tag)

    def find_label(self, image_id: str, tag: str) -> Version:
        """The label under a tag, or a version of the final one by its number. Raises `InputError` for none."""
        self.image(image_id)
        number = tag.removeprefix(VERSION)
        if tag.startswith(VERSION) and _NUMBER.fullmatch(number):
            return self.store.version(image_id, int(number))
        found = self.store.final(image_id, tag=tag)
        if found is None or (tag == FINAL and self.store.state(image_id) not in _LABELLED):
            raise InputError(f"{image_id!r} has no label {tag!r}; list the labels of the store")
        return found

    def review(self, image_id: str, tag: str, meta: SegmentationMeta, *, by: str) -> None:
        """What a reviewer says of a label. Approving an older version makes it the newest again."""
        label = self.find_label(image_id, tag)
        wanted = reviewed_state(meta, current=self.store.state(image_id))
        final = self.store.final(image_id)
        if tag != FINAL and wanted is not CaseState.APPROVED:
            return  # of a version that is not the final one only its approval means anything
        if final is not None and label.tag == FINAL and label.number != final.number:
            self.store.restore(image_id, label.number, by=by)
        self.store.set_state(image_id, wanted, by=by, comment=meta.comment, level=meta.level)

    def take_back(self, image_id: str, tag: str, *, by: str) -> None:
        """A label that nobody wants: the case is to be labelled anew. All versions stay in the store.

        Raises `InputError` for a tag whose labels are not handed out, so that there is nothing to take back.
        """
        label = self.find_label(image_id, tag)
        final = self.store.final(image_id)
        if label.tag != FINAL or final is None or label.number != final.number:
            raise InputError(
                f"the label {tag!r} of {image_id!r} is no case's final label; it is kept as it is, for nothing is "
                "ever removed from the store"
            )
        self.store.set_state(image_id, CaseState.UNASSIGNED, by=by, comment="the label was deleted")

    def _corrected(self, client: str, ranked: Sequence[Ranked]) -> Given | None:
        """The first of the cases that can be corrected; those that the client holds already come last."""
        whys = {each.image_id: each.why for each in ranked}
        held = {lease.image_id for lease in self.store.leases(client=client)}
        wanted = [each for each in whys if each not in held] + [each for each in whys if each in held]
        lease = self._leased(client, wanted, Purpose.CORRECT) if wanted else None
        return None if lease is None else Given(self.image(lease.image_id), lease, whys[lease.image_id])

    def _pool(self, images: Mapping[str, StoredImage]) -> list[str]:
        """Cases that may be labelled: all but those that are labelled, unless several readings are planned."""
        if self.settings.readings > 1:
            return [image_id for image_id in self.store.cases() if image_id in images]
        return list(self.unlabelled())

    def _leased(self, client: str, wanted: Sequence[str], purpose: Purpose) -> Lease | None:
        settings = self.settings
        return self.store.lease(
            client, wanted, seconds=settings.lease_seconds, reads=settings.readings, purpose=purpose
        )


def refuse_tag_of_labels(tag: str) -> None:
    """Raise `InputError` for a tag under which people's labels are kept, or that is none."""
    checked_tag(tag)
    if tag in (FINAL, REPEAT) or tag.startswith(VERSION):
        raise InputError(f"a model's answer is no {tag!r} label; keep it under {ORIGINAL!r}")
