"""What an evaluation keeps of each case, and of all: the input of tables, figures and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from renalct.core.labels import MassClass, Region
from renalct.metrics.scores import CaseScores, Decision


@dataclass(frozen=True)
class SliceScore:
    """One axial slice: Dice of kidney with masses and of tumor (1 where both are empty), and whether it has kidney."""

    kidney: float
    tumor: float
    has_kidney: bool
    has_tumor: bool


@dataclass(frozen=True)
class ReaderScores:
    """A prediction or a reader against one reader: `first` is a reader's number, or 0 for the prediction."""

    first: int
    second: int
    scores: CaseScores


@dataclass(frozen=True)
class CaseRecord:
    """All that is kept of one case.

    `found` are decisions inside the masks of the system (found masses alone), `given` those inside the readers' masks
    (every mass, where the system was asked). `false_classes` are the classes given to false positives.
    """

    scores: CaseScores
    found: tuple[Decision, ...] = ()
    given: tuple[Decision, ...] = ()
    false_classes: tuple[MassClass, ...] = ()
    slices: tuple[SliceScore, ...] = ()
    readers: tuple[ReaderScores, ...] = ()

    @property
    def case(self) -> str:
        """The name of the case."""
        return self.scores.case

    @property
    def patient(self) -> str:
        """The patient, by which cases are resampled."""
        return self.scores.patient


@dataclass(frozen=True)
class Evaluated:
    """The records of all cases of one system on one data set, by case."""

    data: str
    system: str
    records: tuple[CaseRecord, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """The names of the patients."""
        return tuple(sorted({record.patient for record in self.records}))

    @property
    def n(self) -> str:
        """How many patients and cases, in words."""
        return counted(len(self.patients), len(self.records))

    def scored_on(self, region: Region) -> tuple[CaseRecord, ...]:
        """The records of the cases whose readers looked for all structures of a region."""
        return tuple(record for record in self.records if region not in record.scores.unassessed)

    @property
    def partial(self) -> tuple[str, ...]:
        """A sentence for each region that some readers did not look for whole; none where all labels are full."""
        left = {region: len(self.records) - len(self.scored_on(region)) for region in Region}
        return tuple(
            f"In {count} of {len(self.records)} cases the readers did not look for every structure of {region.words}: "
            "they are in no number of it."
            for region, count in left.items()
            if count
        )


def counted(patients: int, cases: int) -> str:
    """For example ``5 patients``, or ``5 patients, 7 cases``."""
    words = f"{patients} patient{'' if patients == 1 else 's'}"
    return words if cases == patients else f"{words}, {cases} cases"


def of_records(records: Sequence[CaseRecord]) -> str:
    """How many patients and cases some records are of, in words."""
    return counted(len({record.patient for record in records}), len(records))


def decisions_of(records: Sequence[CaseRecord], *, given: bool) -> tuple[Decision, ...]:
    """All decisions inside the readers' masks (`given`) or inside the system's own."""
    return tuple(decision for record in records for decision in (record.given if given else record.found))
