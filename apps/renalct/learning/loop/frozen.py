"""The frozen validation set: whole patients, chosen once, never trained on; what it is, is in its hash."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from renalct.core.errors import InputError, RecipeError
from renalct.formats.durable import locked, write_durably
from renalct.learning.loop.labelled_cases import LabelledCase
from renalct.models.splits import Patient, split_by_shares
from renalct.models.values import from_json, to_json

SCHEMA_VERSION = 1
_POINTER, _FOLDER, _LOCK = "frozen.json", "frozen", ".lock"


@dataclass(frozen=True)
class FreezeSettings:
    """How a first set is chosen: a share of the patients, at least and at most so many of them.

    Three patients are the fewest that have an interval at all; 60 whole volumes are an hour of one processor.
    """

    share: float = 0.2
    least_patients: int = 3
    most_patients: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"the share of frozen patients is {self.share}; a share between 0 and 1 is needed")
        if not 1 <= self.least_patients <= self.most_patients:
            raise InputError(
                f"{self.least_patients} to {self.most_patients} frozen patients cannot be; give at least 1, and no "
                "more at least than at most"
            )


@dataclass(frozen=True)
class FrozenSet:
    """Cases that decide between versions, with the label versions that they are measured against.

    `grown_from` is the hash of the set that this one was made from ("" for a first one).
    """

    cases: tuple[LabelledCase, ...]
    grown_from: str = ""

    @property
    def patients(self) -> frozenset[str]:
        """Who is never trained on."""
        return frozenset(case.patient for case in self.cases)

    @property
    def images(self) -> frozenset[str]:
        """The images of all of its cases."""
        return frozenset(case.image_id for case in self.cases)

    @property
    def sha256(self) -> str:
        """The hash of the patients, images and label versions, in whatever order they stand."""
        lines = sorted(f"{case.patient} {case.image_id} {case.number} {case.sha256}\n" for case in self.cases)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def refuse_trained(self, cases: Iterable[LabelledCase]) -> None:
        """Raise `InputError` when one of the cases is of a frozen patient."""
        of_frozen = [case for case in cases if case.patient in self.patients or case.image_id in self.images]
        if of_frozen:
            raise InputError(
                f"{len(of_frozen)} cases are of patients of the frozen validation set, the first "
                f"{of_frozen[0].image_id}; whoever decides between versions is never trained on: leave them out"
            )


_USUAL = FreezeSettings()


def freeze(cases: Sequence[LabelledCase], settings: FreezeSettings = _USUAL) -> FrozenSet:
    """A first set: a share of the patients, of every kind of mass its part, with all of their cases.

    Cases that were labelled in part only are no reference, and their patients are not chosen. Raises `InputError` when
    there are too few patients for a set and a training.
    """
    chosen = _choose(cases, settings, least=settings.least_patients)
    return FrozenSet(tuple(case for case in cases if case.patient in chosen))


def grow(
    frozen: FrozenSet,
    cases: Sequence[LabelledCase],
    settings: FreezeSettings = _USUAL,
    *,
    trained_on: frozenset[str] = frozenset(),
) -> FrozenSet:
    """A new set with another hash: the old cases as they are, and a share of the patients that no version was trained
    on. A version that had seen them would win by memory.

    Raises `InputError` when there is nobody to add.
    """
    free = [case for case in cases if case.patient not in frozen.patients | trained_on]
    chosen = _choose(free, settings, least=1)
    more = tuple(case for case in free if case.patient in chosen)
    return FrozenSet(frozen.cases + more, frozen.sha256)


def renew(frozen: FrozenSet, cases: Sequence[LabelledCase]) -> FrozenSet:
    """A new set with another hash: the same images, with the labels that they have now."""
    newest = {case.image_id: case for case in cases}
    renewed = FrozenSet(tuple(newest.get(case.image_id, case) for case in frozen.cases), frozen.sha256)
    if renewed.sha256 == frozen.sha256:
        raise InputError("no label of the frozen validation set has changed; it stays as it is")
    return renewed


def keep_frozen(registry: Path, frozen: FrozenSet) -> None:
    """Make a set the one that decides in a registry; the sets before it stay beside it.

    Raises `InputError` unless it is the first, or was made from the one that decides now.
    """
    with locked(registry / _LOCK):
        now = read_frozen(registry)
        if now is not None and now.sha256 == frozen.sha256:
            return
        if frozen.grown_from != (now.sha256 if now else ""):
            raise InputError(
                "the registry has another frozen validation set than the one that this was made from; a set is chosen "
                "once: grow the one that is there"
            )
        text = json.dumps({"schema_version": SCHEMA_VERSION, "sha256": frozen.sha256, **to_json(frozen)}, indent=1)
        write_durably(registry / _FOLDER / f"{frozen.sha256[:16]}.json", text + "\n")
        write_durably(registry / _POINTER, json.dumps({"schema_version": SCHEMA_VERSION, "sha256": frozen.sha256}))


def read_frozen(registry: Path, sha256: str = "") -> FrozenSet | None:
    """The set that decides in a registry, or an earlier one by its hash; None where there is none yet.

    Raises `InputError` when its file was changed.
    """
    pointer = registry / _POINTER
    if not sha256 and not pointer.exists():
        return None
    try:
        wanted = sha256 or str(json.loads(pointer.read_text(encoding="utf-8"))["sha256"])
        data = json.loads((registry / _FOLDER / f"{wanted[:16]}.json").read_text(encoding="utf-8"))
        frozen = from_json(FrozenSet, {key: data[key] for key in ("cases", "grown_from")})
    except (OSError, ValueError, KeyError, TypeError, RecipeError) as error:
        raise InputError(f"the frozen validation set in {registry} cannot be read; restore its file") from error
    if frozen.sha256 != wanted:
        raise InputError(f"the frozen validation set in {registry} was changed: it does not have its hash; restore it")
    return frozen


def without_frozen(cases: Sequence[LabelledCase], frozen: FrozenSet) -> tuple[LabelledCase, ...]:
    """The cases that may be trained on: those of other patients, by the names that frozen images have now too."""
    held = frozen.patients | {case.patient for case in cases if case.image_id in frozen.images}
    return tuple(case for case in cases if case.patient not in held)


def _choose(cases: Sequence[LabelledCase], settings: FreezeSettings, *, least: int) -> frozenset[str]:
    of_patient: dict[str, list[LabelledCase]] = defaultdict(list)
    for case in cases:
        of_patient[case.patient].append(case)
    patients = [
        Patient(name, " and ".join(sorted({case.stratum for case in own} - {""})))
        for name, own in of_patient.items()
        if all(case.whole for case in own)
    ]
    wanted = min(settings.most_patients, max(least, round(settings.share * len(patients))))
    if not patients or len(of_patient) <= wanted or len(patients) < wanted:
        raise InputError(
            f"{len(patients)} patients with a complete label are too few to freeze {wanted} of them and train on "
            "others; label more first, or ask for fewer"
        )
    if wanted == len(patients):
        return frozenset(patient.name for patient in patients)
    split = split_by_shares(patients, (len(patients) - wanted, wanted), seed=settings.seed)
    return frozenset(split.validation)
