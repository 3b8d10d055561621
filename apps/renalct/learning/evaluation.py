"""Predictions scored against references, case by case: pairs by name, one case in memory per process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace

from renalct.core.errors import InputError
from renalct.core.labels import KNOWN_CLASSES
from renalct.core.volume import LabelMap
from renalct.formats.annotation import refuse_other_grid
from renalct.formats.kits_readers import read_readers
from renalct.learning.evaluation_files import LabelFile, read_label_file
from renalct.learning.evaluation_references import ReferenceCase, ReferenceFile, belonging
from renalct.learning.evaluation_reports import (
    FoundMass,
    answer_of,
    read_found,
    read_given,
    series_of,
    with_reported_confidence,
)
from renalct.metrics.assessed import assessed_slices, only_assessed
from renalct.metrics.case import evaluate_case
from renalct.metrics.evaluated import CaseRecord, ReaderScores
from renalct.metrics.scores import CaseScores, Decision, ScoreSettings
from renalct.metrics.slice_scores import slice_scores

Tell = Callable[[str, int, int], None]
"""Called with the name of a case, and how many of how many are done."""
_MOST_LISTED = 5


@dataclass(frozen=True)
class Task:
    """A reference with the predictions of its cases, and how to score them."""

    reference: ReferenceFile
    predictions: tuple[LabelFile, ...]
    settings: ScoreSettings
    with_readers: bool = True


@dataclass(frozen=True)
class Pairing:
    """References with their predictions, and the names that have no partner."""

    tasks: tuple[Task, ...]
    without_prediction: tuple[str, ...]
    without_reference: tuple[str, ...]


def pair_by_name(
    references: Sequence[ReferenceFile],
    predictions: dict[str, LabelFile],
    *,
    settings: ScoreSettings,
    with_readers: bool = True,
) -> Pairing:
    """Every reference with the predictions of its name, or of its DICOM series where none has its name.

    Raises `InputError` when no name fits, and when two predictions are of one series.
    """
    tasks: list[Task] = []
    without: list[str] = []
    used: set[str] = set()
    series = _by_series(references, predictions)
    for reference in references:
        files = tuple(predictions[name] for name in belonging(reference, predictions))
        files = files or series.get(reference.name, ())
        if len(files) > 1 and reference.name in series:
            raise InputError(f"{_some([file.case for file in files])} are predictions of one series; keep one of them")
        used.update(file.case for file in files)
        if reference.name in series:
            files = tuple(replace(file, case=reference.name) for file in files)
        if files:
            tasks.append(Task(reference, files, settings, with_readers))
        else:
            without.append(reference.name)
    left = tuple(name for name in predictions if name not in used)
    if not tasks:
        raise InputError(
            f"no prediction has the name of a reference: predictions are called {_some(left)}, references "
            f"{_some(without)}; give both the same case names"
        )
    return Pairing(tuple(tasks), tuple(without), left)


def _by_series(
    references: Sequence[ReferenceFile], predictions: dict[str, LabelFile]
) -> dict[str, tuple[LabelFile, ...]]:
    """The predictions without a name in common with a reference, by the SeriesInstanceUID that they say they are of."""
    named = {name for reference in references for name in belonging(reference, predictions)}
    found: dict[str, tuple[LabelFile, ...]] = {}
    for file in (file for name, file in predictions.items() if name not in named):
        if series := series_of(file):
            found[series] = (*found.get(series, ()), file)
    return found


def score_all(
    tasks: Sequence[Task], *, processes: int, tell: Tell, skip_bad: bool = False
) -> tuple[tuple[CaseRecord, ...], tuple[str, ...]]:
    """The records of all cases in order of their names, and a sentence for each case that was left out.

    Raises `InputError` that names the cases which cannot be scored, unless they are to be left out (`skip_bad`).
    """
    records: list[CaseRecord] = []
    faults: list[str] = []
    for done, (task, found) in enumerate(_results(tasks, processes), start=1):
        if isinstance(found, InputError):
            faults.append(f"{task.reference.name}: {found}")
        else:
            records += found
        tell(task.reference.name, done, len(tasks))
    if faults and (not skip_bad or not records):
        listed = "; ".join(sorted(faults)[:_MOST_LISTED])
        more = f"; and {len(faults) - _MOST_LISTED} more" if len(faults) > _MOST_LISTED else ""
        raise InputError(
            f"{len(faults)} of {len(tasks)} cases cannot be evaluated: {listed}{more}; correct them"
            + ("" if skip_bad else ", or leave them out with --skip-bad")
        )
    return tuple(sorted(records, key=lambda record: record.case)), tuple(sorted(faults))


def _results(tasks: Sequence[Task], processes: int) -> Iterator[tuple[Task, tuple[CaseRecord, ...] | InputError]]:
    if processes <= 1:
        for task in tasks:
            yield task, _attempt(task)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(tasks)), mp_context=context) as pool:
        futures = {pool.submit(_attempt, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a process that scored a case was ended from outside, most often for lack of memory; "
                "run it again with a smaller --processes"
            ) from error


def _attempt(task: Task) -> tuple[CaseRecord, ...] | InputError:
    try:
        return score(task)
    except InputError as error:
        return error


def score(task: Task) -> tuple[CaseRecord, ...]:
    """The records of a reference's cases. Raises `InputError` when one cannot be read or does not fit."""
    files = {file.case: file for file in task.predictions}
    first = None if task.reference.has_image else read_label_file(task.predictions[0].path)
    cases = task.reference.load(first)
    absent = [case.name for case in cases if case.name not in files]
    if absent:
        raise InputError(f"there is no prediction of its part {absent[0]}; predict it, or leave the case out")
    return tuple(_record(case, files[case.name], task) for case in cases)


def predicted_on(case: ReferenceCase, file: LabelFile) -> LabelMap:
    """The prediction of a case, on the reference's grid. Raises `GeometryError` when it lies on other voxels."""
    grid = case.label_map.grid
    read = read_label_file(file.path, grid=grid)
    refuse_other_grid(read.grid, grid, "the prediction", other="reference")
    return LabelMap(read.values, grid)


def _record(case: ReferenceCase, file: LabelFile, task: Task) -> CaseRecord:
    prediction = predicted_on(case, file)
    scores = evaluate_case(prediction, case.label_map, case=case.name, patient=case.patient, settings=task.settings)
    masses = () if file.folder is None else read_found(file.folder)
    scores = only_assessed(with_reported_confidence(scores, masses), case.assessed)
    given = () if file.folder is None else read_given(file.folder, case.patient)
    return CaseRecord(
        scores,
        found=_found_decisions(scores, case, masses),
        given=given,
        false_classes=tuple(answer_of(domain, masses)[0] for domain in scores.false_positives),
        slices=assessed_slices(slice_scores(prediction, case.label_map), scores),
        readers=_against_readers(prediction, case, task) if task.with_readers else (),
    )


def _found_decisions(scores: CaseScores, case: ReferenceCase, masses: Sequence[FoundMass]) -> tuple[Decision, ...]:
    """What was said of each mass of the reference that was found: by the largest predicted mass that touches it."""
    predicted = {domain.number: domain for domain in scores.predictions}
    decisions = []
    for domain in scores.references:
        truth = case.class_of(domain.structure)
        touching = [predicted[number] for number in domain.matched if number in predicted]
        if truth in KNOWN_CLASSES and touching:
            largest = max(touching, key=lambda each: each.volume_ml)
            answer, probabilities = answer_of(largest, masses)
            decisions.append(Decision(truth, answer, probabilities, domain.diameter_mm, case.patient, domain.dice))
    return tuple(decisions)


def _against_readers(prediction: LabelMap, case: ReferenceCase, task: Task) -> tuple[ReaderScores, ...]:
    """The prediction against each single reader, and the readers among themselves; nothing under two readers."""
    if task.reference.annotations is None:
        return ()
    readers = read_readers(task.reference.annotations, seed=0)
    if len(readers) < 2:
        return ()
    for reader in readers:
        refuse_other_grid(reader.grid, prediction.grid, "a reader's annotation", other="reference")
    settings = replace(task.settings, domain_surfaces=False)
    maps = [prediction, *(LabelMap(reader.values, prediction.grid) for reader in readers)]
    return tuple(
        ReaderScores(
            a,
            b,
            only_assessed(
                evaluate_case(maps[a], maps[b], case=case.name, patient=case.patient, settings=settings), case.assessed
            ),
        )
        for a in range(len(maps))
        for b in range(a + 1, len(maps))
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "nothing"
