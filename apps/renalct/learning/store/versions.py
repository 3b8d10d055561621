"""Labels as immutable versions: a commit is acknowledged when its file and its row are on the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from renalct.core.errors import InputError, OutputError
from renalct.core.labels import Structure
from renalct.learning.store.base import StoreBase, row_of
from renalct.learning.store.lease_rows import end_lease
from renalct.learning.store.names import checked_suffix, checked_tag, shown
from renalct.learning.store.records import Version, VersionNote, checked_name
from renalct.learning.store.version_rows import POINTED, SELECT, add_version, files_in_use, find_version, version_of
from renalct.learning.store.words import FINAL, CaseState, Presence

TRAINABLE = (CaseState.SUBMITTED, CaseState.APPROVED, CaseState.GOLD)
"""The states whose labels are taken when nothing else is asked for; a flagged label is in dispute."""

_ATTEMPTS = 3


class Versions(StoreBase):
    """The part of the store that keeps labels."""

    def put_blob(self, content: bytes | Path) -> str:
        """The sha256 of content that is now kept, for example an upload as it came; see `blob_path`."""
        return self._blobs.put(content)

    def blob_path(self, sha256: str) -> Path:
        """The file of a blob, whose hash was checked just now. Raises `InputError` when missing or damaged."""
        return self._blobs.path(sha256)

    def commit(
        self,
        image_id: str,
        content: bytes | Path,
        *,
        suffix: str,
        note: VersionNote,
        tag: str = FINAL,
        presence: Iterable[tuple[Structure, Presence]] = (),
        parent: int | None = None,
        activity: Sequence[float] = (),
    ) -> Version:
        """The new version of an image's label; file and row are durable when it returns.

        The pointer of the tag moves to it. Under the tag `final` the case becomes submitted, and the lease that the
        author holds on it ends (one that ended by its time-out, too: a label that comes late is never refused).
        Where `note.seconds` says nothing and the author had a lease, it becomes the time since that lease was given,
        without gaps of more than 20 s between the times in `activity`, if there are any.

        A label that is equal to the newest under its tag (content, suffix, author, comment, presence, parent) is that
        version: submitting twice is acknowledged twice, and kept once.

        Raises `InputError` for an unknown image or parent and for a bad tag or suffix, and `OutputError` when it
        cannot be written; then nothing was changed.
        """
        checked_tag(tag)
        checked_suffix(suffix)
        checked_name(note.author, "the author of a label")
        stated = _checked(presence)
        with self._database.reading() as db:
            row_of(db, image_id)
        for _ in range(_ATTEMPTS):
            digest = self._blobs.put(content)
            with self._database.writing() as db:
                if self._blobs.has(digest):  # a clean-up may have taken an unused file of the same content
                    wanted = Version(image_id, tag, 1, digest, suffix, self._clock(), parent, note, stated)
                    return self._commit(db, wanted, activity)
        raise OutputError("the file of a label vanished while it was committed; commit it again")

    def restore(self, image_id: str, number: int, *, by: str, tag: str = FINAL) -> Version:
        """A new version with the content and presence of an earlier one, which becomes its parent."""
        older = self.version(image_id, number, tag=tag)
        self.label_path(older)
        note = VersionNote(
            author=checked_name(by, "who restores a label"),
            tool="restore",
            model=older.note.model,
            comment=f"restored from version {number}, by {older.note.author}",
            uploaded=older.note.uploaded,
        )
        with self._database.writing() as db:
            wanted = replace(older, number=1, committed_at=self._clock(), parent=number, note=note)
            return self._commit(db, wanted, ())

    def versions(self, image_id: str, *, tag: str = FINAL) -> tuple[Version, ...]:
        """All versions of an image's label under a tag, oldest first."""
        with self._database.reading() as db:
            rows = db.execute(f"{SELECT} WHERE image = ? AND tag = ? ORDER BY number", (row_of(db, image_id), tag))
            return tuple(version_of(row) for row in rows)

    def version(self, image_id: str, number: int, *, tag: str = FINAL) -> Version:
        """One version. Raises `InputError` when there is none of that number."""
        with self._database.reading() as db:
            found = find_version(db, row_of(db, image_id), tag, number)
        if found is None:
            raise InputError(f"{shown(image_id)} has no version {number} of its label {shown(tag)}; list its versions")
        return found

    def final(self, image_id: str, *, tag: str = FINAL) -> Version | None:
        """The version to which the pointer of a tag points; None when there is no label."""
        with self._database.reading() as db:
            where = (row_of(db, image_id), tag)
            row = db.execute(f"{POINTED} WHERE image = ? AND tag = ?", where).fetchone()
        return None if row is None else version_of(row)

    def finals(self, *, states: Collection[CaseState] = TRAINABLE, tag: str = FINAL) -> tuple[Version, ...]:
        """The labels to which the pointers of a tag point, of all cases in the given states, by image id.

        A case that is leased counts as unassigned here.
        """
        marks = ", ".join("?" for _ in states)
        query = f"{POINTED} WHERE tag = ? AND state IN ({marks}) ORDER BY image_id"
        with self._database.reading() as db:
            return tuple(version_of(row) for row in db.execute(query, (tag, *(state.value for state in states))))

    def tags(self, image_id: str) -> tuple[str, ...]:
        """The tags under which an image has labels."""
        with self._database.reading() as db:
            rows = db.execute("SELECT tag FROM pointers WHERE image = ? ORDER BY tag", (row_of(db, image_id),))
            return tuple(str(row[0]) for row in rows)

    def label_path(self, version: Version) -> Path:
        """A file with the label, whose name ends with the version's suffix; read-only, and checked just now.

        Raises `InputError` when the file is missing or damaged.
        """
        return self._blobs.path(version.sha256, suffix=version.suffix)

    def tidy(self, *, older_than_s: float = 86400.0) -> int:
        """Remove files that no version refers to and that are older (a commit was cut off): how many.

        A blob that was put and is not yet committed is safe as long as it is younger.
        """
        with self._database.writing() as db:
            return self._blobs.remove_unused(files_in_use(db), older_than_s=older_than_s)

    def damaged(self) -> tuple[str, ...]:
        """What is wrong with the files of all versions, each hash computed anew; empty when all is well."""
        with self._database.reading() as db:
            used = files_in_use(db)
        problems = []
        for digest in sorted(used):
            try:
                self._blobs.path(digest)
            except InputError as error:
                problems.append(str(error))
        return tuple(problems)

    def _commit(self, db: sqlite3.Connection, wanted: Version, activity: Sequence[float]) -> Version:
        """Add a version to the database, with all that follows from it; the number is given here."""
        image = row_of(db, wanted.image_id)
        if wanted.parent is not None and find_version(db, image, wanted.tag, wanted.parent) is None:
            raise InputError(f"{shown(wanted.image_id)} has no version {wanted.parent} to be the parent of a label")
        if wanted.note.uploaded and not self._blobs.has(wanted.note.uploaded):
            raise InputError("the upload of a label is not in the store; put it there first")
        seconds = end_lease(db, image, wanted, activity)
        last = find_version(db, image, wanted.tag)
        if last is not None and _essence(last) == _essence(wanted):
            kept, action = last, "commit again"
        else:
            note = wanted.note if wanted.note.seconds is not None else replace(wanted.note, seconds=seconds)
            kept, action = replace(wanted, number=last.number + 1 if last else 1, note=note), "commit"
            add_version(db, image, kept)
        if kept.tag == FINAL:
            _submit(db, image, kept, at=wanted.committed_at, is_new=kept is not last)
        detail = f"{kept.tag} {kept.number} {kept.sha256}"
        self._log(db, action, by=kept.note.author, image_id=kept.image_id, detail=detail)
        return kept


def _submit(db: sqlite3.Connection, image: int, version: Version, *, at: float, is_new: bool) -> None:
    """Make the case of a label submitted; the same label again does not undo its approval."""
    query = "UPDATE images SET state = ?, comment = '', state_by = ?, state_at = ?, state_version = ? WHERE id = ?"
    if not is_new:
        query += f" AND state NOT IN ('{CaseState.APPROVED.value}', '{CaseState.GOLD.value}')"
    db.execute(query, (CaseState.SUBMITTED.value, version.note.author, at, version.number, image))


def _essence(version: Version) -> tuple[object, ...]:
    """What makes a label another one than the one before."""
    note = version.note
    return version.sha256, version.suffix, version.parent, version.presence, note.author, note.comment


def _checked(presence: Iterable[tuple[Structure, Presence]]) -> tuple[tuple[Structure, Presence], ...]:
    """What was said of structures, in their order; each once, and nothing of the background, else `InputError`."""
    stated = tuple(sorted(presence, key=lambda pair: pair[0]))
    names = [structure for structure, _ in stated]
    if len(set(names)) != len(names) or Structure.BACKGROUND in names:
        raise InputError("the presence of a structure is stated twice, or of the background; state each once")
    return stated
