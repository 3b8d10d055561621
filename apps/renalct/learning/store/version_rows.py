"""Versions in the database: rows to values and back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import astuple
from typing import Any

from renalct.core.labels import structure_named
from renalct.learning.store.records import Version, VersionNote
from renalct.learning.store.words import Presence

SELECT = (
    "SELECT image_id, tag, number, versions.sha256, suffix, committed_at, parent, author, tool, model, "
    "versions.comment, seconds, info_json, uploaded, presence FROM versions JOIN images ON images.id = versions.image"
)
POINTED = f"{SELECT} JOIN pointers USING (tag, image, number)"


def version_of(row: tuple[Any, ...]) -> Version:
    """The version in a row that `SELECT` gave."""
    image_id, tag, number, sha256, suffix, committed_at, parent, *note, presence = row
    stated = tuple((structure_named(name), Presence(value)) for name, value in json.loads(presence).items())
    return Version(image_id, tag, number, sha256, suffix, committed_at, parent, VersionNote(*note), stated)


def add_version(db: sqlite3.Connection, image: int, version: Version) -> None:
    """Add a version, and let the pointer of its tag point to it."""
    presence = json.dumps({structure.title: stated.value for structure, stated in version.presence})
    values = (
        image, version.tag, version.number, version.sha256, version.suffix, version.committed_at, version.parent,
        *astuple(version.note), presence,
    )  # fmt: skip
    db.execute(f"INSERT INTO versions VALUES ({', '.join('?' for _ in values)})", values)
    db.execute("INSERT OR REPLACE INTO pointers VALUES (?, ?, ?)", (version.tag, image, version.number))


def find_version(db: sqlite3.Connection, image: int, tag: str, number: int | None = None) -> Version | None:
    """The version of that number, or the newest; None when there is none."""
    where = "image = ? AND tag = ?" if number is None else "image = ? AND tag = ? AND number = ?"
    values = (image, tag) if number is None else (image, tag, number)
    row = db.execute(f"{SELECT} WHERE {where} ORDER BY number DESC LIMIT 1", values).fetchone()
    return None if row is None else version_of(row)


def files_in_use(db: sqlite3.Connection) -> set[str]:
    """The sha256 of every file to which a version refers."""
    rows = db.execute("SELECT sha256 FROM versions UNION SELECT uploaded FROM versions")
    return {row[0] for row in rows if row[0]}
