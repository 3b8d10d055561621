"""Every bad case listed with its reasons before anything starts, and the strata of the good ones."""

from __future__ import annotations

import multiprocessing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.formats.pair_checks import PairReport, check_pair
from renalct.models.cases import CaseFile
from renalct.models.splits import Patient, Stratify

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class BadCase:
    """A case that cannot be used, and why; each reason is a sentence."""

    name: str
    patient: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class CaseContent:
    """The volume of each structure that is labelled in a case."""

    name: str
    patient: str
    volumes_ml: tuple[tuple[Structure, float], ...]

    @property
    def structures(self) -> frozenset[Structure]:
        """What is labelled in the case."""
        return frozenset(structure for structure, volume_ml in self.volumes_ml if volume_ml)

    @property
    def masses_ml(self) -> float:
        """The volume of all masses together."""
        return sum(volume_ml for structure, volume_ml in self.volumes_ml if structure is not Structure.KIDNEY)


@dataclass(frozen=True)
class Survey:
    """All cases read once: those that cannot be used, and what is in the others."""

    bad: tuple[BadCase, ...]
    contents: tuple[CaseContent, ...]


def check_cases(files: Sequence[CaseFile], *, workers: int = 1, tell: Tell | None = None) -> tuple[BadCase, ...]:
    """The cases that cannot be used, in the order of `files`; `tell` hears how many of how many were read.

    Each process holds one case at a time. Phantoms are good as they are. A name that stands twice is bad, for cases
    are kept by name.
    """
    return survey_cases(files, workers=workers, tell=tell).bad


def survey_cases(files: Sequence[CaseFile], *, workers: int = 1, tell: Tell | None = None) -> Survey:
    """What `check_cases` finds, and what is labelled in the good cases. Raises `InputError` when a process is lost."""
    read = [file for file in files if file.pair is not None]
    twice = {name for name, count in Counter(file.name for file in files).items() if count > 1}
    bad, contents = [], []
    for number, (file, report) in enumerate(zip(read, _reports(read, workers), strict=True), start=1):
        reasons = report.faults
        if file.name in twice:
            reasons += (f"{file.name} is the name of more than one case; rename one of them",)
        if reasons:
            bad.append(BadCase(file.name, file.patient, reasons))
        else:
            contents.append(CaseContent(file.name, file.patient, report.volumes_ml))
        if tell:
            tell(number, len(read))
    return Survey(tuple(bad), tuple(contents))


def without_bad(files: Sequence[CaseFile], bad: Sequence[BadCase]) -> tuple[CaseFile, ...]:
    """The cases that can be used. Raises `InputError` when none is left."""
    names = {case.name for case in bad}
    good = tuple(file for file in files if file.name not in names)
    if not good:
        raise InputError(f"none of the {len(files)} cases can be used; the first: {bad[0]}")
    return good


def patients_of(
    files: Sequence[CaseFile], *, by: Stratify = Stratify.NOTHING, contents: Sequence[CaseContent] = ()
) -> tuple[Patient, ...]:
    """The patients of the cases, by name, each in the stratum that `by` asks for; `contents` come from a survey.

    By histology: that of the patient's tumors, "" where it is not known. By content: which masses are labelled. By
    size: whether the volume of all masses of a case (of a patient's cases the largest) exceeds the median of all
    patients. Raises `InputError` when content or size is asked for and a case was not surveyed.
    """
    groups: dict[str, list[CaseFile]] = defaultdict(list)
    for file in files:
        groups[file.patient].append(file)
    if by is Stratify.HISTOLOGY:
        strata = {name: _joined(file.notes.histology for file in own) for name, own in groups.items()}
    elif by is Stratify.NOTHING:
        strata = dict.fromkeys(groups, "")
    else:
        known = {content.name: content for content in contents}
        if any(file.name not in known for file in files):
            raise InputError(f"a split by {by.value} needs the labels of all cases: check the cases first")
        read = {name: [known[file.name] for file in own] for name, own in groups.items()}
        strata = _by_content(read) if by is Stratify.CONTENT else _by_size(read)
    return tuple(Patient(name, strata[name]) for name in sorted(groups))


def _by_content(patients: dict[str, list[CaseContent]]) -> dict[str, str]:
    return {
        name: _joined(s.title for content in own for s in content.structures if s is not Structure.KIDNEY)
        for name, own in patients.items()
    }


def _by_size(patients: dict[str, list[CaseContent]]) -> dict[str, str]:
    masses_ml = {name: max(content.masses_ml for content in own) for name, own in patients.items()}
    middle = np.median(list(masses_ml.values())) if masses_ml else 0.0
    return {name: "over the median" if ml > middle else "up to the median" for name, ml in masses_ml.items()}


def _joined(words: Iterable[str]) -> str:
    return " and ".join(sorted(set(words) - {""}))


def _reports(files: Sequence[CaseFile], workers: int) -> Iterable[PairReport]:
    pairs = [file.pair for file in files if file.pair is not None]
    if workers <= 1 or len(pairs) <= 1:
        yield from map(check_pair, pairs)
        return
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        pool = stack.enter_context(ProcessPoolExecutor(min(workers, len(pairs)), mp_context=context))
        try:
            yield from pool.map(check_pair, pairs)
        except BrokenProcessPool as error:
            raise InputError(
                "a process that checked cases was ended from outside, most likely for want of memory; "
                "use fewer --workers"
            ) from error
