"""What a label server answers to each kind of question about an image: a label map, and what viewers show beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats.annotation import read_annotation
from renalct.formats.monai_label import names_of
from renalct.formats.nifti import read_label_map
from renalct.learning.case_desk import CaseDesk
from renalct.learning.case_records import LABEL_VALUES
from renalct.learning.interaction import EditSettings, with_clicks, with_scribbles
from renalct.learning.interaction_requests import clicks_by_name, clicks_on_one, scribbles_of
from renalct.learning.model_desk import ModelDesk, Subject, kept_structures
from renalct.learning.overlays import Overlay
from renalct.learning.store import Version

Told = dict[str, Any]
SAVED, MODEL = "the saved label of a reopened case", "the model"


@dataclass(frozen=True, eq=False)
class Asked:
    """A question: about which image ("" for one that was sent along), by whom, with which parameters and file."""

    subject: Subject
    image_id: str
    client: str
    request: Mapping[str, Any] = field(repr=False)
    file: Path | None = None


class Answers:
    """Answers of one server. Unless a question brings labels, corrections begin with the saved label of a case that the
    client has gone back to, else with the model's answer; every question holds all clicks since the first."""

    beginnings = (SAVED, MODEL)
    reaches = ("30", "15", "60")
    """Millimetres; strings, because 3D Slicer shows drop-downs of strings only."""

    def __init__(self, desk: CaseDesk, models: ModelDesk) -> None:
        self._desk, self._models = desk, models

    def segmentation(self, asked: Asked) -> tuple[LabelMap, Told]:
        """The model's label map and report; of a case that the client has gone back to, its saved label."""
        if asked.request.get("begin_with") != MODEL:
            saved = self._saved(asked)
            if saved is not None:
                return saved, {"label_names": LABEL_VALUES, "begun_with": SAVED}
        found = self._models.answer(asked.subject)
        self._desk.show(asked.client, asked.image_id, found.report.provenance.release_digest)
        wanted = kept_structures(asked.request.get("label_prompt"))
        label_map = found.label_map if wanted is None else _only(found.label_map, wanted)
        return label_map, {
            "label_names": LABEL_VALUES,
            "latencies": dict(found.report.seconds_per_stage),
            "report": found.report.to_json(),
        }

    def edited(self, asked: Asked) -> tuple[LabelMap, Told]:
        """The whole label map after clicks under the names of labels; a segment that is frozen stays."""
        clicks = clicks_by_name(asked.request)
        labels = self._labels(asked)
        found = with_clicks(
            asked.subject.read().volume,
            labels,
            clicks,
            settings=_settings(asked.request),
        )
        return found, {"label_names": LABEL_VALUES | {"background": 0}, **_changed(labels, found)}

    def grown(self, asked: Asked) -> tuple[LabelMap, Told]:
        """The mask (1) of one label after clicks on it and beside it."""
        structure, clicks = clicks_on_one(asked.request)
        labels = self._labels(asked)
        volume = asked.subject.read().volume
        found = with_clicks(volume, labels, clicks, settings=_settings(asked.request))
        return _mask(found, structure), {"label_names": {structure.title: 1}, **_changed(labels, found)}

    def scribbled(self, asked: Asked) -> tuple[LabelMap, Told]:
        """The mask (1) of one label, drawn anew between scribbles."""
        if asked.file is None:
            raise InputError("no scribbles were sent; draw some, and update again")
        volume = asked.subject.read().volume
        labels, scribbles = scribbles_of(asked.request, asked.file, volume.grid)
        found = with_scribbles(volume, labels, scribbles)
        return _mask(found, scribbles.structure), {"label_names": {scribbles.structure.title: 1}}

    def uncertainty(self, asked: Asked) -> tuple[LabelMap, Told]:
        """Three levels of how unsure the model is, as segments that are no labels."""
        return _shown(self._models.uncertainty(asked.subject))

    def suspected_errors(self, asked: Asked) -> tuple[LabelMap, Told]:
        """Where the case's label, if it has one, contradicts the model; else where the model contradicts itself."""
        return _shown(self._models.suspected_errors(asked.subject, self._final(asked)))

    def _final(self, asked: Asked) -> LabelMap | None:
        version = self._desk.store.final(asked.image_id) if asked.image_id else None
        return None if version is None else self._read(version, asked)

    def _labels(self, asked: Asked) -> LabelMap:
        """The labels that a correction begins with."""
        if asked.file is not None:
            grid = asked.subject.read().volume.grid
            return read_annotation(asked.file, names_of(dict(asked.request)), grid=grid)
        return self._saved(asked) or self._models.answer(asked.subject).label_map

    def _saved(self, asked: Asked) -> LabelMap | None:
        version = self._desk.reopened(asked.client, asked.image_id) if asked.image_id else None
        return None if version is None else self._read(version, asked)

    def _read(self, version: Version, asked: Asked) -> LabelMap:
        """The label map of a version on the grid of its image."""
        label_map = read_label_map(self._desk.store.label_path(version))
        return LabelMap(label_map.values, asked.subject.read().volume.grid)


def _shown(overlay: Overlay) -> tuple[LabelMap, Told]:
    places = [{"reason": error.reason, "voxel": list(error.place.voxel)} for error in overlay.errors]
    told: Told = {"label_names": overlay.label_names} | ({"places": places} if places else {})
    return LabelMap(overlay.values, overlay.grid), told


def _settings(request: Mapping[str, Any]) -> EditSettings:
    """How far edits reach. Raises `InputError` for what is no length."""
    told = request.get("reach_mm")
    if told in (None, "", []):
        return EditSettings()
    try:
        reach = float(told[0] if isinstance(told, list) else told)
    except (TypeError, ValueError) as error:
        raise InputError(f"reach_mm is {told!r}; a length in mm is needed") from error
    if not 1 <= reach <= 100:
        raise InputError(f"reach_mm is {reach:g}; it is from 1 to 100 mm")
    return replace(EditSettings(), radius_mm=reach)


def _only(label_map: LabelMap, wanted: frozenset[Structure]) -> LabelMap:
    kept = np.isin(label_map.values, [int(structure) for structure in wanted])
    return LabelMap(np.where(kept, label_map.values, np.uint8(0)), label_map.grid)


def _mask(label_map: LabelMap, structure: Structure) -> LabelMap:
    return LabelMap((label_map.values == structure).astype(np.uint8), label_map.grid)


def _changed(before: LabelMap, after: LabelMap) -> Told:
    """How much an edit changed, for whoever looks into the details."""
    return {"changed_voxels": int(np.count_nonzero(before.values != after.values))}
