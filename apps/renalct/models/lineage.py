"""Where a release comes from: data, split, recipe, code, seeds and environment, as hashes and words."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path

import torch

from renalct import __version__
from renalct.core.errors import InputError
from renalct.models.recipe import Recipe
from renalct.models.splits import Stratify
from renalct.models.values import to_json

_LIBRARIES = ("torch", "monai", "numpy", "scipy")


class Ensemble(Enum):
    """How the members of a stage differ: only in their random numbers, or each leaves out one fold of the patients."""

    SEEDS = "seeds"
    FOLDS = "folds"


@dataclass(frozen=True)
class StartedFrom:
    """A file of weights that a stage's networks started from."""

    stage: str
    file: str
    sha256: str


@dataclass(frozen=True)
class RunSettings:
    """What a run does beside its recipe, as far as it decides the result.

    `made` is how many cases are made like those of KiTS (`made_cases`), beside the phantoms.
    `shares` are the relative sizes of the parts of the split (none: those of the recipe). `validations` are spread over
    the training of each network, on at most `validation_cases`; it ends after `patience` of them without a better one.
    `masks_from` is the digest of the release that found the masses which a classifier learns from ("": readers did).
    `replay_share` of the samples drawn at random are of patients of earlier trainings (None: no patient is preferred).
    """

    seed: int = 0
    phantoms: int = 120
    made: int = 0
    ensemble: Ensemble = Ensemble.SEEDS
    shares: tuple[float, ...] = ()
    stratify: Stratify = Stratify.NOTHING
    fill_sinus: bool = False
    validations: int = 10
    validation_cases: int = 12
    patience: int | None = None
    started_from: tuple[StartedFrom, ...] = ()
    masks_from: str = ""
    replay_share: float | None = None

    def __post_init__(self) -> None:
        if self.replay_share is not None and not 0 <= self.replay_share < 1:
            raise InputError(f"replay_share is {self.replay_share}; a share from 0 to below 1 is needed")
        for name in ("seed", "phantoms", "made", "validations", "validation_cases", "patience"):
            smallest = 1 if name in ("validation_cases", "patience") else 0
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise InputError(f"{name} is {value}; {smallest} or more is needed")


PLAIN_SETTINGS = RunSettings()


@dataclass(frozen=True)
class TrainedNetwork:
    """One network: after how many of the planned steps its training ended, and of which step the weights are."""

    stage: str
    member: int
    seed: int
    steps: int
    planned_steps: int
    kept_step: int


@dataclass(frozen=True)
class Lineage:
    """Everything that is needed to train a release again, and to see whether it is the same.

    `labels` are the hashes of the label files of a label store that it learned from, and `frozen_sha256` that of the
    validation set which decides between its versions; "" and none where there was no store.
    """

    data_sha256: str
    split_sha256: str
    recipe_sha256: str
    code_version: str
    settings: RunSettings
    networks: tuple[TrainedNetwork, ...]
    environment: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    frozen_sha256: str = ""


def recipe_sha256(recipe: Recipe) -> str:
    """The hash of a recipe as JSON."""
    return hashlib.sha256(json.dumps(to_json(recipe), sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """The hash of a file. Raises `InputError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error


def code_version() -> str:
    """The version of the package, with the git commit where it lies in a repository ("+" after changes)."""
    folder = Path(__file__).parent
    commit, changed = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--", ".")
    if not commit:
        return __version__
    return f"{__version__} at {commit}{'+' if changed else ''}"


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def environment(device: str, processes: int) -> tuple[str, ...]:
    """Python, the libraries that compute, the device, and how many processes and threads."""
    libraries = tuple(f"{name} {version(name)}" for name in _LIBRARIES)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
    system = f"{platform.system()} {platform.machine()}"
    workers = f"{processes} processes, {torch.get_num_threads()} threads"
    return (f"Python {platform.python_version()}", *libraries, system, name, workers)
