"""Scores of images, kept for the model, the scorer and the content of the image: never stale, never computed twice."""

from __future__ import annotations

import math
from collections.abc import Mapping

from renalct.core.errors import InputError
from renalct.learning.store.base import StoreBase, row_of
from renalct.learning.store.names import shown
from renalct.learning.store.records import Score


class Scores(StoreBase):
    """The part of the store that remembers scores."""

    def put_scores(self, model: str, scorer: str, found: Mapping[str, tuple[float, str]], *, by: str = "") -> None:
        """Keep the scores (value and why, as JSON) of images by id.

        `model` is the digest of a release, `scorer` the name and version of what computed them. Raises `InputError`
        for a value that is not finite and for an image that is registered with neither sha256 nor SeriesInstanceUID.
        """
        _checked(model, scorer)
        with self._database.writing() as db:
            rows = []
            for image_id, (value, why_json) in found.items():
                if not math.isfinite(value):
                    raise InputError(f"the score of {shown(image_id)} is {value}; a finite number is needed")
                image = row_of(db, image_id)
                key = db.execute("SELECT content_key FROM images WHERE id = ?", (image,)).fetchone()[0]
                if not key:
                    raise InputError(
                        f"{shown(image_id)} is registered without the sha256 of its content, so its score could "
                        "become stale unnoticed; register it with its sha256 or SeriesInstanceUID"
                    )
                rows.append((model, scorer, key, float(value), why_json))
            db.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?, ?)", rows)
            self._log(db, "scores", by=by, detail=f"{len(rows)} images, {scorer}, model {model}")

    def scores(self, model: str, scorer: str) -> dict[str, Score]:
        """The scores by image id of what this scorer found with this model, for images as they are now."""
        _checked(model, scorer)
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT image_id, value, why_json FROM scores JOIN images USING (content_key) "
                "WHERE model = ? AND scorer = ? ORDER BY images.id",
                (model, scorer),
            )
            return {image_id: Score(value, why_json) for image_id, value, why_json in rows}

    def unscored(self, model: str, scorer: str) -> tuple[str, ...]:
        """The ids of the images that this scorer has not yet seen with this model."""
        known = self.scores(model, scorer)
        with self._database.reading() as db:
            rows = db.execute("SELECT image_id FROM images ORDER BY id").fetchall()
        return tuple(image_id for (image_id,) in rows if image_id not in known)


def _checked(model: str, scorer: str) -> None:
    if not model or not scorer:
        raise InputError("a score needs the digest of its model and the name of its scorer; give both")
