"""The cascade as a segmentation model of MONAI Label."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from renalct.cascade import Cascade
from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.formats import nrrd_labels
from renalct.formats.study import open_study

from lib.failures import told_to_the_client

LABEL_VALUES = {structure.title: int(structure) for structure in Structure if structure is not Structure.BACKGROUND}
"""Name to value, in the order of the values: viewers rely on both."""


class CascadeInfer(InferTask):
    """Answers an inference request with a label map on the image's own voxels and the report of the cascade."""

    def __init__(self, cascade: Cascade) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=LABEL_VALUES,
            dimension=3,
            description="Kidneys and renal masses: segmented, measured, classified. Not for clinical use.",
        )
        self._cascade = cascade

    def is_valid(self) -> bool:
        """True: the release was checked when it was loaded."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The path of an uncompressed NRRD file, which the server sends and removes, and what viewers show of it.

        ``request["image"]`` is a NIfTI file, or a folder with the DICOM files of a series.
        """
        with told_to_the_client():
            if not request["image"]:
                raise InputError("there is no image of that name in this store; refresh the list of images")
            study = open_study(Path(request["image"]))
            result = self._cascade.run(study.volume, other_phases=study.other_phases, notices=study.notices)
        handle, path = tempfile.mkstemp(suffix=nrrd_labels.SUFFIX)
        os.close(handle)
        nrrd_labels.write_label_map(result.label_map, Path(path))
        return path, {
            "label_names": LABEL_VALUES,
            "latencies": dict(result.report.seconds_per_stage),
            "report": result.report.to_json(),
        }
