"""The images of a store: registered once, moved at will, counted at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple

from renalct.core.errors import InputError
from renalct.learning.store.base import StoreBase
from renalct.learning.store.names import checked_id, shown
from renalct.learning.store.records import Counts, StoredImage
from renalct.learning.store.words import FINAL, CaseState

_COLUMNS = "image_id, location, sha256, patient, series_instance_uid, study_instance_uid"
_REVISION = "images"


class Images(StoreBase):
    """The part of the store that knows the images."""

    _known: tuple[int, tuple[StoredImage, ...]] = (-1, ())

    def register(self, images: Iterable[StoredImage]) -> None:
        """Make images known, or bring what is known of them up to date (another place, a sha256).

        What stands of them (labels, states, leases) stays. An image whose content changed is noted in the audit log,
        and its scores are not those of the earlier content.
        """
        given = list(images)
        with self._database.writing() as db:
            known = {image.image_id: image for image in self._listed(db)}
            new = [image for image in given if known.get(image.image_id) != image]
            for image in new:
                older = known.get(image.image_id)
                if older and older.sha256 and image.sha256 and older.sha256 != image.sha256:
                    detail = f"sha256 {older.sha256} became {image.sha256}"
                    self._log(db, "image changed", by="", image_id=image.image_id, detail=detail)
            now = self._clock()
            db.executemany(
                f"INSERT INTO images ({_COLUMNS}, content_key, registered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (image_id) DO UPDATE SET location = excluded.location, sha256 = excluded.sha256, "
                "patient = excluded.patient, series_instance_uid = excluded.series_instance_uid, "
                "study_instance_uid = excluded.study_instance_uid, content_key = excluded.content_key",
                [(*astuple(image), image.content_key, now) for image in new],
            )
            if new:
                db.execute(
                    "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
                    (_REVISION,),
                )
                added = sum(image.image_id not in known for image in new)
                self._log(db, "register", by="", detail=f"{added} images added, {len(new) - added} updated")

    def images(self) -> tuple[StoredImage, ...]:
        """All images in the order of their registration; read again only when that of any process changed them."""
        with self._database.snapshot() as db:
            found = db.execute("SELECT value FROM counters WHERE name = ?", (_REVISION,)).fetchone()
            revision = int(found[0]) if found else 0
            if self._known[0] != revision:
                self._known = (revision, tuple(self._listed(db)))
        return self._known[1]

    def image(self, image_id: str) -> StoredImage:
        """One image. Raises `InputError` when it is not registered."""
        with self._database.reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM images WHERE image_id = ?", (checked_id(image_id),)).fetchone()
        if row is None:
            raise InputError(f"there is no image {shown(image_id)} in the label store; register it first")
        return StoredImage(*row)

    def counts(self) -> Counts:
        """How many images there are, labelled, in each state, and under each tag; a few milliseconds for 10,000."""
        with self._database.snapshot() as db:
            states = dict(db.execute("SELECT state, count(*) FROM images GROUP BY state"))
            tags = dict(db.execute("SELECT tag, count(*) FROM pointers GROUP BY tag"))
            leased = db.execute(
                "SELECT count(DISTINCT image) FROM leases JOIN images ON images.id = leases.image "
                "WHERE outcome = '' AND expires_at > ? AND state = 'unassigned'",
                (self._clock(),),
            ).fetchone()[0]
        by_state = {state: int(states.get(state.value, 0)) for state in CaseState}
        by_state[CaseState.UNASSIGNED] -= leased
        by_state[CaseState.LEASED] += leased
        return Counts(sum(by_state.values()), int(tags.get(FINAL, 0)), by_state, tags)

    def _listed(self, db: sqlite3.Connection) -> list[StoredImage]:
        rows = db.execute(f"SELECT {_COLUMNS} FROM images ORDER BY id")
        return [StoredImage(*row) for row in rows]
