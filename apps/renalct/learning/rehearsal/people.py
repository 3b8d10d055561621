"""The people of a rehearsal: annotators with their habits, and a reviewer; what they send and how they decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from renalct.core.volume import LabelMap
from renalct.formats import nifti, nrrd_labels
from renalct.learning.rehearsal.studies import MadePatient
from renalct.synthetic.annotators import Habit, draw

_POINTED_AT = ("Error", "Warning")


@dataclass(frozen=True)
class Annotator:
    """A made annotator; `seed` is what else tells them from others."""

    name: str
    habit: Habit
    seed: int

    def correct(self, patient: MadePatient, shown: Path, file: Path, *, again: bool = False) -> dict[str, Any]:
        """Write the corrected label of a case to a file (.nii.gz); what a viewer sends beside it.

        `shown` is the model's answer (NRRD). The values in the file are the annotator's own, as the names tell.
        """
        truth = patient.true_labels()
        answer = LabelMap(nrrd_labels.read_labels(shown).values.astype(np.uint8), truth.grid)
        rng = np.random.default_rng((self.seed, int(patient.patient[-2:])))
        drawn = draw(truth, answer, self.habit, rng, again=again)
        nifti.write_array(drawn.values.astype(np.float32), truth.grid, file)
        return {
            "label_info": [{"name": name, "idx": value} for name, value in drawn.names],
            "presence": {
                **{structure.title: "present" for structure in drawn.present},
                **{structure.title: "absent" for structure in drawn.absent},
            },
        }


ANNOTATORS = (
    Annotator("anna", Habit.CAREFUL, 1),
    Annotator("ben", Habit.HASTY, 2),
    Annotator("carla", Habit.FORGETFUL, 3),
)


def points(checks: Sequence[str]) -> tuple[str, ...]:
    """The findings of the quality checks that an annotator looks at again: errors and warnings, not notes."""
    return tuple(line for line in checks if line.startswith(_POINTED_AT))


def reviewed_as(checks: Sequence[str]) -> str:
    """What the reviewer says of a label: errors that its author left are in dispute, all else is approved."""
    return "flagged" if any(line.startswith(_POINTED_AT[0]) for line in checks) else "approved"
