"""What a simulation writes down: one line per round of a run, and its settings, which a later call must share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from renalct.core.errors import OutputError, RecipeError
from renalct.models.values import from_json, to_json

SCHEMA_VERSION = 1
_SETTINGS, _ROUNDS = "simulation.json", "rounds"


@dataclass(frozen=True)
class PatientCounts:
    """The voxels of a test patient for each of `FOREGROUND`: in both, predicted, and in the reference."""

    patient: str
    both: tuple[int, ...]
    predicted: tuple[int, ...]
    reference: tuple[int, ...]


@dataclass(frozen=True)
class RoundRecord:
    """A round of a run: what was labelled when the network was trained, what that cost, and what it then measured.

    `queried` is what the strategy asks for next (nothing after the last round). `foreground_share` is the labelled
    share of the pool's foreground voxels; `shows` how many of the newly labelled cases show each of `FOREGROUND`.
    """

    strategy: str
    seed: int
    round: int
    labelled: tuple[str, ...]
    queried: tuple[str, ...]
    contour_mm: float
    foreground_share: float
    shows: tuple[int, ...]
    added: int
    test: tuple[PatientCounts, ...]
    seconds: float


@dataclass(frozen=True)
class SimulationRecord:
    """What all runs in a folder share, and the words for what they are from."""

    recipe_name: str
    recipe_sha256: str
    data: str
    licence: str
    patients: int
    split_sha256: str
    pool: tuple[str, ...]
    test: tuple[str, ...]
    rounds: int
    per_round: int
    start: int
    start_steps: int
    steps: int


def rounds_path(folder: Path, strategy: str, seed: int) -> Path:
    """The file of a run's rounds."""
    return folder / _ROUNDS / f"{strategy}_{seed}.jsonl"


def read_rounds(path: Path) -> tuple[RoundRecord, ...]:
    """The finished rounds of a run, in order; a last line that was cut off by a stop is left out."""
    if not path.exists():
        return ()
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            break
        data.pop("schema_version", None)
        found.append(from_json(RoundRecord, data, where=path.name))
    return tuple(found)


def write_rounds(path: Path, records: Iterable[RoundRecord]) -> None:
    """Write the rounds of a run, one JSON line each, under a temporary name and rename it."""
    lines = [json.dumps({"schema_version": SCHEMA_VERSION, **to_json(record)}) + "\n" for record in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, "".join(lines))


def all_rounds(folder: Path) -> tuple[RoundRecord, ...]:
    """The finished rounds of all runs in a folder."""
    return tuple(record for path in sorted((folder / _ROUNDS).glob("*.jsonl")) for record in read_rounds(path))


def begin(folder: Path, record: SimulationRecord) -> None:
    """Write down what is simulated, or see that the folder holds the same simulation. Raises `OutputError`."""
    path = folder / _SETTINGS
    if path.exists():
        found = read_simulation(folder)
        other = [name for name in SimulationRecord.__annotations__ if getattr(found, name) != getattr(record, name)]
        if other:
            raise OutputError(
                f"{folder} holds a simulation with other {', '.join(other)}; go on with the same settings and data "
                "(strategies and seeds may be added), or give another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    _replace(path, json.dumps({"schema_version": SCHEMA_VERSION, **to_json(record)}, indent=1) + "\n")


def read_simulation(folder: Path) -> SimulationRecord:
    """What is simulated in a folder. Raises `OutputError` when it is none."""
    path = folder / _SETTINGS
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        data.pop("schema_version", None)
        return from_json(SimulationRecord, data, where=path.name)
    except (OSError, ValueError, RecipeError) as error:
        raise OutputError(f"{path} cannot be read ({error}); give another folder") from error


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); free some space, and start again") from error
