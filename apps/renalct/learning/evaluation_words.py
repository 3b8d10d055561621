"""Sentences about an evaluation: what was left out, what a system was trained on, and what it is called."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from renalct.learning.evaluation import Pairing
from renalct.learning.evaluation_output import PREDICTIONS

_LISTED = 8


def called(predictions: Path) -> str:
    """The name of the folder of predictions, or that of the folder around it where it says nothing."""
    path = predictions.resolve()
    return path.parent.name if path.name == PREDICTIONS else path.name


def left_out(pairing: Pairing, faults: Sequence[str]) -> list[str]:
    """Sentences on cases that were not scored."""
    said = []
    for names, what in (
        (pairing.without_prediction, "References without a prediction, not scored"),
        (pairing.without_reference, "Predictions of none of these cases, not scored"),
        (faults, "Cases left out because they cannot be scored"),
    ):
        if names:
            more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            said.append(f"{what}: {len(names)} ({', '.join(names[:_LISTED])}{more}).")
    return said


def trained_on(predictions: Path) -> tuple[str, ...]:
    """What the weights were trained on, as the reports of the predictions say it: each sentence once."""
    said = []
    for path in sorted(predictions.glob("*/report.json")):
        try:
            said.append(str(json.loads(path.read_text(encoding="utf-8"))["trained_on"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return tuple(dict.fromkeys(said))
