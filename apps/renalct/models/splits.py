"""Splits of patients into training, validation and test, and their file, which is checked when it is read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError

SCHEMA_VERSION = 1
_PARTS = ("training", "validation", "test")
_LISTED = 5


class Stratify(Enum):
    """What the parts of a split hold alike: the tumors' histology, what is labelled, or the masses' size."""

    NOTHING = "nothing"
    HISTOLOGY = "histology"
    CONTENT = "content"
    SIZE = "size"


@dataclass(frozen=True)
class Patient:
    """Somebody to be put into a part, and the stratum (a histology, a size) that every part shall hold alike."""

    name: str
    stratum: str = ""


@dataclass(frozen=True)
class Split:
    """Patients for training, for validation and for the final test. Nobody stands in two parts, or twice in one."""

    training: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = sorted(name for name, count in Counter(self.patients).items() if count > 1)
        if twice:
            raise InputError(f"{_some(twice)} stands in the split more than once; a patient belongs to one part")

    @property
    def patients(self) -> tuple[str, ...]:
        """Everybody: training, then validation, then test."""
        return self.training + self.validation + self.test

    @property
    def sha256(self) -> str:
        """The hash of the lists; the same patients in the same parts and order have the same hash."""
        lists = {part: list(getattr(self, part)) for part in _PARTS if part != "test" or self.test}
        return hashlib.sha256((json.dumps(lists, indent=1) + "\n").encode()).hexdigest()

    def to_text(self) -> str:
        """The JSON text that is written to a file."""
        lists = {part: list(getattr(self, part)) for part in _PARTS}
        return json.dumps({"schema_version": SCHEMA_VERSION, "sha256": self.sha256, **lists}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Split:
        """The split that a file holds. Raises `InputError` when it was changed, or holds a patient in two parts."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"the split {path} cannot be read as JSON ({error})") from error
        if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
            found = data.get("schema_version", "none") if isinstance(data, dict) else "none"
            raise InputError(f"the split {path} has the schema version {found}; {SCHEMA_VERSION} is needed")
        parts = [data.get(part, []) for part in _PARTS]
        if not all(isinstance(part, list) and all(isinstance(name, str) for name in part) for part in parts):
            raise InputError(f"the split {path} does not list patients by name under {', '.join(_PARTS)}")
        split = cls(*(tuple(part) for part in parts))
        if data.get("sha256") != split.sha256:
            raise InputError(
                f"the split {path} was changed after it was written: its lists do not have its sha256; "
                "use the file as it was, or make a new split"
            )
        return split

    def refuse_absent(self, patients: Sequence[str]) -> None:
        """Raise `InputError` when the split names patients that the data do not hold."""
        absent = sorted(set(self.patients) - set(patients))
        if absent:
            raise InputError(
                f"the split names {len(absent)} patients that the data do not hold ({_some(absent)}); "
                "give the data that the split was made for, or another split"
            )


def split_patients(patients: Sequence[str], *, validation: int, seed: int) -> Split:
    """`validation` patients held out at random (the same for the same patients and seed), the others for training."""
    names = sorted(set(patients))
    order = np.random.default_rng(seed).permutation(len(names))
    held = sorted(names[n] for n in order[:validation])
    return Split(tuple(n for n in names if n not in set(held)), tuple(held))


def split_by_shares(patients: Sequence[Patient], shares: Sequence[float], *, seed: int) -> Split:
    """Patients in two or three parts of the given relative sizes, each with its part of every stratum.

    `shares` are fractions or counts: (8, 1, 1), (80, 10, 10) and (0.8, 0.1, 0.1) are the same, and (240, 60) of 300
    patients is 240 and 60. Parts have those sizes to one patient, and so has each stratum in each part. The same
    patients, shares and seed give the same split. Raises `InputError` for shares that make no split.
    """
    if len(shares) not in (2, 3) or min(shares) < 0 or not shares[0] > 0:
        raise InputError(f"the shares of a split are two or three numbers, for example 8:1:1, not {_colons(shares)}")
    names = _spread(patients, seed)
    sizes = _sizes(len(names), shares)
    empty = [part for part, size, share in zip(_PARTS, sizes, shares, strict=False) if share and not size]
    if empty:
        raise InputError(
            f"{len(names)} patients are too few for a split of {_colons(shares)}: nobody is left for {empty[0]}"
        )
    ends = np.cumsum([0, *sizes])
    parts = [tuple(sorted(names[a:b])) for a, b in pairwise(ends)]
    return Split(*parts)


def split_into_folds(patients: Sequence[Patient], folds: int, *, seed: int) -> tuple[Split, ...]:
    """`folds` splits: each patient is validated on in exactly one of them, and every stratum is spread over all.

    Raises `InputError` for fewer than two folds, and for fewer patients than folds.
    """
    names = _spread(patients, seed)
    if not 2 <= folds <= len(names):
        raise InputError(f"{len(names)} patients cannot be split into {folds} folds; give 2 to {len(names)}")
    ends = np.cumsum([0, *_sizes(len(names), [1.0] * folds)])
    blocks = [set(names[a:b]) for a, b in pairwise(ends)]
    return tuple(
        Split(tuple(n for n in sorted(names) if n not in block), tuple(n for n in sorted(names) if n in block))
        for block in blocks
    )


def shares_from(text: str) -> tuple[float, ...]:
    """The shares that a text names: `8:1:1`, `240/60` or `80/10/10`. Raises `InputError` for any other text."""
    try:
        shares = tuple(float(word) for word in text.replace("/", ":").split(":"))
    except ValueError:
        shares = ()
    if len(shares) not in (2, 3) or not all(np.isfinite(shares)) or min(shares) < 0 or not shares[0] > 0:
        raise InputError(f"{text!r} is no split; give two or three numbers, for example 8:1:1, 240/60 or 80/10/10")
    return shares


def _spread(patients: Sequence[Patient], seed: int) -> list[str]:
    """Names in an order in which every stratum is spread evenly, so that any stretch holds its part of each.

    Systematic sampling: the n patients of a stratum, shuffled, lie at (k + u) / n with one random u per stratum.
    """
    strata: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(set(patients), key=lambda p: (p.stratum, p.name)):
        strata[patient.stratum].append(patient.name)
    Split(tuple(name for names in strata.values() for name in names), ())
    rng = np.random.default_rng(seed)
    placed: list[tuple[float, str]] = []
    for names in strata.values():
        order, start = rng.permutation(len(names)), float(rng.random())
        placed += [((k + start) / len(names), names[n]) for k, n in enumerate(order)]
    return [name for _, name in sorted(placed)]


def _sizes(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `count` and are nearest to the shares (largest remainders, earlier parts first)."""
    exact = [count * share / sum(shares) for share in shares]
    sizes = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda n: (sizes[n] - exact[n], n))
    for n in order[: count - sum(sizes)]:
        sizes[n] += 1
    return sizes


def _colons(shares: Sequence[float]) -> str:
    return ":".join(f"{share:g}" for share in shares)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")
