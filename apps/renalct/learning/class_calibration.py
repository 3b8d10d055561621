"""Calibrating the classifier of a release on masses that it was not trained on, and what that is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from renalct.core.errors import InputError
from renalct.core.labels import KNOWN_CLASSES, MassClass
from renalct.learning.validation import patient_metric
from renalct.metrics.probabilities import calibration
from renalct.metrics.scores import Decision
from renalct.models.cases import CaseFile
from renalct.models.class_calibration import ClassCalibration, Probabilities
from renalct.models.inference import classify_masses
from renalct.models.release import Metric, Release

_PENALTY = 0.02  # on squared log temperature and offsets: a class that few masses have stays where it is
_LEAST_MASSES, _RESAMPLES = 10, 500


@dataclass(frozen=True)
class Answer:
    """What a classifier said of one mass: the probabilities of `KNOWN_CLASSES`, and the truth."""

    patient: str
    truth: MassClass
    probabilities: tuple[float, ...]


def answers_of(release: Release, files: Iterable[CaseFile], *, device: str = "cpu") -> tuple[Answer, ...]:
    """The uncalibrated answers of a release's classifier on the reference's masses of known class."""
    stage = release.recipe.classify
    if stage is None:
        return ()
    plain = replace(stage, calibration=ClassCalibration())
    networks = release.networks("classify", device=device)
    answers = []
    for file in files:
        for case in file.load():
            known = [mass for mass in case.masses if mass.mass_class in KNOWN_CLASSES]
            rows = classify_masses(case.volume, [mass.mask for mass in known], plain, networks, device=device)
            answers += [
                Answer(case.patient, mass.mass_class, tuple(map(float, row)))
                for mass, row in zip(known, rows, strict=True)
            ]
    return tuple(answers)


def fit_calibration(answers: Sequence[Answer]) -> ClassCalibration:
    """The calibration that makes the truth most likely, each class weighing the same, with a small penalty on changes.

    How often a class occurs differs from clinic to clinic, and is not learned here. Raises `InputError` with fewer than
    ten masses.
    """
    if len(answers) < _LEAST_MASSES:
        raise InputError(f"{len(answers)} masses cannot calibrate a classifier; at least {_LEAST_MASSES} are needed")
    rows, truth = _arrays(answers)
    weights = 1.0 / np.bincount(truth, minlength=len(KNOWN_CLASSES))[truth]

    def cost(values: Probabilities) -> float:
        likely = _calibration(values).of(rows)[np.arange(len(truth)), truth]
        unlikely = -np.log(np.maximum(likely, 1e-12))
        return float(np.average(unlikely, weights=weights) + _PENALTY * np.square(values).sum())

    start = np.zeros(1 + len(KNOWN_CLASSES))
    found = minimize(cost, start, method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-5, "fatol": 1e-9})
    return _calibration(np.round(found.x, 4))


def cross_fitted(answers: Sequence[Answer], *, others: Sequence[Answer] = ()) -> tuple[Answer, ...]:
    """Each answer as calibrated by the masses of all other patients, and by `others`."""
    calibrated = []
    for patient in dict.fromkeys(answer.patient for answer in answers):
        fitted = fit_calibration([*(answer for answer in answers if answer.patient != patient), *others])
        own = [answer for answer in answers if answer.patient == patient]
        rows = fitted.of(_arrays(own)[0])
        calibrated += [
            replace(answer, probabilities=tuple(map(float, row))) for answer, row in zip(own, rows, strict=True)
        ]
    return tuple(calibrated)


def calibrated_release(release: Release, answers: Sequence[Answer]) -> Release:
    """The release with its classifier calibrated on these answers; its digest comes with saving."""
    stage = release.recipe.classify
    if stage is None:
        raise InputError(f"the recipe {release.recipe.name} has no classifier to calibrate")
    calibrated = replace(stage, calibration=fit_calibration(answers))
    return replace(release, recipe=replace(release.recipe, classify=calibrated))


def calibration_metrics(answers: Sequence[Answer], *, data: str, others: Sequence[Answer] = ()) -> tuple[Metric, ...]:
    """Accuracy and calibration error (ECE, ten bins) as they are, and as calibrated by the other patients and `others`.

    Intervals are 95 % bootstrap intervals over patients.
    """
    metrics = []
    for words, each in (("", answers), (", calibrated", cross_fitted(answers, others=others))):
        for name, value in (("class accuracy", _accuracy), ("calibration error", _error)):
            metrics.append(_metric(f"{name} on reference masses{words}", data, each, value))
    return tuple(metrics)


def _accuracy(answers: Sequence[Answer]) -> float:
    rows, truth = _arrays(answers)
    return float((rows.argmax(axis=1) == truth).mean())


def _error(answers: Sequence[Answer]) -> float:
    return calibration([_decision(answer) for answer in answers]).expected_error


def _decision(answer: Answer) -> Decision:
    aml, cystic, solid = answer.probabilities
    called = KNOWN_CLASSES[int(np.argmax(answer.probabilities))]
    return Decision(answer.truth, called, (aml, cystic, solid), np.nan, answer.patient)


def _metric(name: str, data: str, answers: Sequence[Answer], value: Callable[[Sequence[Answer]], float]) -> Metric:
    numbers = np.arange(len(answers))
    patients = [answer.patient for answer in answers]
    return patient_metric(
        name, data, numbers, patients, lambda rows: value([answers[int(n)] for n in rows]), resamples=_RESAMPLES
    )


def _calibration(values: Probabilities) -> ClassCalibration:
    return ClassCalibration(float(np.exp(values[0])), tuple(float(v) for v in values[1:]))


def _arrays(answers: Sequence[Answer]) -> tuple[Probabilities, np.ndarray[tuple[int], np.dtype[np.intp]]]:
    rows = np.asarray([answer.probabilities for answer in answers], float).reshape(-1, len(KNOWN_CLASSES))
    return rows, np.asarray([KNOWN_CLASSES.index(answer.truth) for answer in answers], np.intp)
