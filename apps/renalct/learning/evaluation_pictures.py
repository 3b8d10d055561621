"""Best and worst cases with contours, activation maps of masses, and loss curves: pictures that need files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError
from renalct.core.findings import ActivationMap
from renalct.core.grid import Box, Grid
from renalct.core.labels import KNOWN_CLASSES, MassClass, Region
from renalct.core.volume import LabelMap
from renalct.formats.nifti import read_array
from renalct.learning.evaluation import Task, predicted_on
from renalct.learning.evaluation_files import LabelFile, read_label_file
from renalct.learning.evaluation_references import ReferenceCase
from renalct.learning.evaluation_reports import read_found
from renalct.metrics.evaluated import CaseRecord
from renalct.metrics.figures import Figure, Words
from renalct.metrics.figures_cases import (
    KEY,
    ActivationShot,
    Shot,
    activation_figure,
    activation_shot,
    case_figure,
    shot_of,
)
from renalct.metrics.figures_charts import Curve, line_figure
from renalct.models.tracking import HISTORY, read_history

_SHOWN, _MOST_ACTIVATIONS = 4, 8
_CURVE_COLORS = ("#1f5f99", "#c8501e", "#1d8a63", "#6a51a3", "#c98a00", "#8a4f7d")


def gallery(tasks: Sequence[Task], records: Sequence[CaseRecord]) -> tuple[Figure, ...]:
    """The cases with the best and with the worst Dice of masses, and activation maps of the best and worst."""
    ranked = sorted(
        (record for record in records if record.scores.region(Region.MASS).reference_ml > 0),
        key=lambda record: (-record.scores.region(Region.MASS).dice, record.case),
    )
    chosen = {
        "best": ranked[:_SHOWN] if len(ranked) >= 2 * _SHOWN else ranked[: (len(ranked) + 1) // 2],
        "worst": ranked[-_SHOWN:][::-1] if len(ranked) >= 2 * _SHOWN else ranked[(len(ranked) + 1) // 2 :][::-1],
    }
    figures: list[Figure] = []
    activations: list[ActivationShot] = []
    for name, found in chosen.items():
        shots: list[Shot] = []
        for record in found:
            loaded = _load(tasks, record.case)
            if loaded is None:
                continue
            case, file, prediction = loaded
            shots.append(
                shot_of(case.label_map, prediction, volume=case.volume, title=record.case, words=_words(record))
            )
            activations += _activations(case, file, prediction)
        title = f"Cases with the {name} Dice of masses"
        figures.append(case_figure(Words(f"{name}_cases", title, f"{KEY} Slice with the largest mass."), shots))
    if activations:
        caption = "Grad-CAM of the most probable class, at the slice with the largest area of the mass (white line)."
        words = Words("activation_maps", "Where the classifier looked", caption)
        figures.append(activation_figure(words, activations[:_MOST_ACTIVATIONS]))
    return tuple(figures)


def loss_figures(run: Path) -> tuple[Figure, ...]:
    """The losses of each network of a training run over its steps. Raises `InputError` when the run has no history."""
    folders = sorted(path.parent for path in run.glob(f"*/{HISTORY}"))
    if not folders:
        raise InputError(f"{run} holds no training history (*/{HISTORY}); give the folder that renalct train wrote")
    figures = []
    for folder in folders:
        lines: dict[str, tuple[list[float], list[float]]] = {}
        for step, numbers in read_history(folder):
            for name, value in numbers:
                if "loss" in name and np.isfinite(value):
                    lines.setdefault(name, ([], []))
                    lines[name][0].append(step)
                    lines[name][1].append(value)
        curves = [
            Curve(name, tuple(x), tuple(y), _CURVE_COLORS[n % len(_CURVE_COLORS)])
            for n, (name, (x, y)) in enumerate(lines.items())
        ]
        words = Words(f"loss_{folder.name}", f"Loss of {folder.name}", "As the training wrote it down.")
        figures.append(line_figure(words, curves, axes_labels=("step", "loss"), log=True))
    return tuple(figures)


def _load(tasks: Sequence[Task], name: str) -> tuple[ReferenceCase, LabelFile, LabelMap] | None:
    for task in tasks:
        files = {file.case: file for file in task.predictions}
        if name in files:
            first = None
            if not task.reference.has_image:
                first = read_label_file(files[name].path)
            for case in task.reference.load(first):
                if case.name == name:
                    return case, files[name], predicted_on(case, files[name])
    return None


def _words(record: CaseRecord) -> str:
    score = record.scores.region(Region.MASS)
    missed = sum(not domain.touched for domain in record.scores.references)
    false = len(record.scores.false_positives)
    counted = [f"{n} {what}" for n, what in ((missed, "missed"), (false, "false")) if n]
    return ", ".join([f"Dice {score.dice:.2f}", f"{score.reference_ml:.0f} ml", *counted])


def _activations(case: ReferenceCase, file: LabelFile, prediction: LabelMap) -> list[ActivationShot]:
    """The first activation map that was saved with a prediction."""
    if file.folder is None or case.volume is None:
        return []
    paths = sorted(file.folder.glob("class_activation_*.nii.gz"))
    if not paths:
        return []
    number = int(paths[0].name.removeprefix("class_activation_").split(".")[0])
    values, grid = read_array(paths[0])
    activation = ActivationMap(_explained(file.folder, number), _box_of(grid, case.label_map.grid), values)
    words = f"mass {number}: {activation.mass_class.title}"
    return [activation_shot(case.volume, prediction, activation, title=case.name, words=words)]


def _box_of(grid: Grid, whole: Grid) -> Box:
    i, j, k = (int(v) for v in np.rint(whole.to_index(grid.affine[:3, 3])))
    return Box((i, j, k), (i + grid.shape[0], j + grid.shape[1], k + grid.shape[2]))


def _explained(folder: Path, number: int) -> MassClass:
    """The most probable class of a mass in the report of a prediction; unknown where it has no probabilities."""
    masses = read_found(folder)
    shares = masses[number - 1].probabilities if number <= len(masses) else ()
    return KNOWN_CLASSES[shares.index(max(shares))] if shares else MassClass.UNKNOWN
