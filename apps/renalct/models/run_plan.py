"""What a training run is asked to do, who looks on, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from renalct.core.errors import InputError
from renalct.models.cases import CaseFile
from renalct.models.engine import Status, Validate
from renalct.models.lineage import PLAIN_SETTINGS, RunSettings
from renalct.models.machine import PLAIN, Machine
from renalct.models.run_folder import RunRecord
from renalct.models.splits import Patient, Split

TRACKERS = ("tensorboard", "mlflow")


@dataclass(frozen=True)
class RunPlan:
    """What a run does now: its settings, and how it is carried out. `stages` are those to train (all by default).

    `steps` or `epochs` replace the recipe's numbers, `planned_steps` those of single networks (stage, member, steps). A
    network that `stop_after` names is stopped at that step, without changing its schedule. `split` is used instead of a
    new one, and `patients`, with their strata, to make one. Made cases are made of `label_maps` and `stacks` (folders),
    but for the patients that are held out; without them they are procedural. `started_from` are files of weights by
    stage; of several for one stage its members take one each in turn. `replayed` are the patients of earlier trainings,
    where the settings give them a share of the samples. `data` says what the patients' images are.
    """

    settings: RunSettings = PLAIN_SETTINGS
    machine: Machine = PLAIN
    minutes: float | None = None
    steps: int | None = None
    epochs: int | None = None
    stages: tuple[str, ...] = ()
    planned_steps: tuple[tuple[str, int, int], ...] = ()
    stop_after: tuple[tuple[str, int, int], ...] = ()
    workers: int = 1
    cache_mb: float = 4096.0
    split: Split | None = None
    patients: tuple[Patient, ...] = ()
    replayed: tuple[str, ...] = ()
    label_maps: Path | None = None
    stacks: Path | None = None
    data: str = ""
    licence: str = ""
    started_from: tuple[tuple[str, Path], ...] = ()
    trackers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("minutes", 0), ("steps", 1), ("epochs", 1), ("workers", 1), ("cache_mb", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} is {value}; {least} or more is needed")
        unknown = set(self.trackers) - set(TRACKERS)
        if unknown:
            raise InputError(f"there is no tracker {min(unknown)!r}; known: {', '.join(TRACKERS)}")


@dataclass(frozen=True)
class Told:
    """Where a run is: the stage ("cases" while they are prepared), the member, and how far it is; or a note."""

    stage: str
    member: int
    status: Status
    note: str = ""


def _silent(told: Told) -> None:
    """Nobody listens."""


Validator = Callable[[Path, str, int, Sequence[CaseFile]], Validate | None]
"""Makes what scores a network on whole volumes: of the run folder, the stage's name, the member, held-out cases."""


@dataclass(frozen=True, eq=False)
class RunWatch:
    """Who looks on: `tell` hears how far it is, `validator` scores on whole volumes, `stop` says that someone asked."""

    tell: Callable[[Told], None] = _silent
    validator: Validator | None = None
    stop: Callable[[], bool] = bool


PLAIN_PLAN, UNWATCHED = RunPlan(), RunWatch()


@dataclass(frozen=True)
class RunResult:
    """What a run is, how the training of each network ended (by stage and member), and how many processes took part.

    `first` is whether this process is the one that writes and speaks.
    """

    record: RunRecord
    networks: tuple[tuple[str, int, Status], ...]
    processes: int = 1
    first: bool = True

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        return any(status.ended.startswith("stopped") for _, _, status in self.networks)
