"""The models of the server: the cascade, corrections by clicks and scribbles, overlays."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from renalct.core.volume import LabelMap
from renalct.formats import nrrd_labels
from renalct.formats.segment_names import SUSPECTED_NAMES, UNCERTAINTY_NAMES
from renalct.learning.case_records import LABEL_VALUES
from renalct.learning.label_answers import Answers, Asked

from lib.uploads import under_its_own_name

Answer = tuple[str, dict[str, Any]]
BACKGROUND = "background"
NOT_CLINICAL = "Not for clinical use."


class DeskModel(InferTask):
    """One way to ask for a label map. The answer is an uncompressed NRRD file on the image's own voxels, which the
    server sends and removes, and what viewers show of it."""

    def __init__(
        self,
        kind: InferType,
        description: str,
        answer: Callable[[Asked], tuple[LabelMap, dict[str, Any]]],
        *,
        asked: Callable[[dict[str, Any]], Asked],
        labels: dict[str, int] = LABEL_VALUES,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(kind, labels, 3, f"{description} {NOT_CLINICAL}", config=options)
        self._answer, self._asked = answer, asked

    def is_valid(self) -> bool:
        """True: a release is checked when it is loaded."""
        return True

    def __call__(self, request: dict[str, Any]) -> Answer:
        label_map, told = self._answered(self._asked(request))
        handle, path = tempfile.mkstemp(suffix=nrrd_labels.SUFFIX)
        os.close(handle)
        nrrd_labels.write_label_map(label_map, Path(path))
        return path, told

    def _answered(self, asked: Asked) -> tuple[LabelMap, dict[str, Any]]:
        if asked.file is None:
            return self._answer(asked)
        with under_its_own_name(asked.file, "label") as file:
            return self._answer(replace(asked, file=file))


def models_of(answers: Answers, asked: Callable[[dict[str, Any]], Asked]) -> dict[str, InferTask]:
    """Every model by name; the first is the one that 3D Slicer runs by itself on a new case."""
    edited = LABEL_VALUES | {BACKGROUND: 0}
    reach = {"reach_mm": list(answers.reaches)}
    return {
        "renalct": DeskModel(
            InferType.SEGMENTATION,
            "Kidneys and renal masses: segmented, measured, classified.",
            answers.segmentation,
            asked=asked,
            options={"begin_with": list(answers.beginnings)},
        ),
        "renalct_edit": DeskModel(
            InferType.DEEPEDIT,
            "Click on what is wrong, under the name of what it is; all else stays.",
            answers.edited,
            asked=asked,
            labels=edited,
            options=reach,
        ),
        "renalct_click": DeskModel(
            InferType.DEEPGROW,
            "Clicks on what belongs to the selected label, and on what does not.",
            answers.grown,
            asked=asked,
            labels={},
            options=reach,
        ),
        "renalct_scribbles": DeskModel(
            InferType.SCRIBBLES,
            "The selected label between strokes over it and beside it.",
            answers.scribbled,
            asked=asked,
        ),
        "renalct_uncertainty": DeskModel(
            InferType.SEGMENTATION,
            "How unsure the model is, in three levels; no labels.",
            answers.uncertainty,
            asked=asked,
            labels=numbered(UNCERTAINTY_NAMES),
        ),
        "renalct_errors": DeskModel(
            InferType.SEGMENTATION,
            "Where the label of a case, or the model's answer, may be wrong; no labels.",
            answers.suspected_errors,
            asked=asked,
            labels=numbered(SUSPECTED_NAMES),
        ),
    }


def numbered(names: tuple[str, ...]) -> dict[str, int]:
    """Name to value, from 1 on."""
    return {name: value for value, name in enumerate(names, start=1)}
