"""Where the numbers of a training go: a file of its own always, TensorBoard and MLflow where asked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Protocol

from renalct.core.errors import InputError, OutputError

HISTORY = "history.jsonl"
Numbers = tuple[tuple[str, float], ...]


class Tracker(Protocol):
    """Writes numbers down. `begin` is called with the step that a training starts or goes on from."""

    def begin(self, step: int) -> None:
        """Forget what was written after that step: those steps come again."""

    def write(self, step: int, numbers: Numbers) -> None:
        """Write the numbers of a step down."""


class History:
    """One JSON object per line in a file: the step, and numbers by name (null where one is undefined)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / HISTORY

    def begin(self, step: int) -> None:
        """Forget what was written after that step."""
        kept = [line for line in read_lines(self._path) if json.loads(line)["step"] <= step]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_name(self._path.name + ".part")
        self._write(part, "w", "".join(line + "\n" for line in kept))
        part.replace(self._path)

    def write(self, step: int, numbers: Numbers) -> None:
        """Add one line."""
        known = {name: value if math.isfinite(value) else None for name, value in numbers}
        self._write(self._path, "a", json.dumps({"step": step, **known}) + "\n")

    @staticmethod
    def _write(path: Path, mode: str, text: str) -> None:
        try:
            with path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise OutputError(f"{path} cannot be written ({error.strerror}); free some space and resume") from error


def read_lines(path: Path) -> list[str]:
    """The whole lines of a history; a line that a stop cut short is left out."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [line for line in text[: text.rfind("\n") + 1].splitlines() if line]


def read_history(folder: Path) -> tuple[tuple[int, Numbers], ...]:
    """The numbers that a training in a folder wrote down, with their steps; an undefined one is nan."""
    found = []
    for line in read_lines(folder / HISTORY):
        data = json.loads(line)
        step = int(data.pop("step"))
        found.append((step, tuple((name, math.nan if v is None else float(v)) for name, v in data.items())))
    return tuple(found)


class TensorBoard:
    """Event files in a folder, for `tensorboard --logdir`."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError("TensorBoard is not installed; pip install tensorboard, or train without it") from error
        self._folder, self._name = folder / name, name
        self._make: Any = SummaryWriter
        self._writer: Any = None

    def begin(self, step: int) -> None:
        """Open a new file; TensorBoard then hides what was written after that step."""
        self._writer = self._make(str(self._folder), purge_step=step + 1 if step else None, flush_secs=30)

    def write(self, step: int, numbers: Numbers) -> None:
        """Add the numbers as scalars."""
        for name, value in numbers:
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


class MLflow:
    """An MLflow run in an SQLite file, one per network; a training that goes on continues its run."""

    def __init__(self, folder: Path, name: str, parameters: Numbers = ()) -> None:
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise InputError("MLflow is not installed; pip install mlflow, or train without it") from error
        folder.mkdir(parents=True, exist_ok=True)
        self._client: Any = MlflowClient(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        self._name, self._parameters = name, parameters
        self._artifacts = (folder.resolve() / "mlflow_files").as_uri()
        self._run = ""

    def begin(self, step: int) -> None:
        """Continue the network's run, or start one."""
        experiment = self._client.get_experiment_by_name("renalct")
        number = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment("renalct", artifact_location=self._artifacts)
        )
        mine = f"attributes.run_name = '{self._name}'"
        runs = self._client.search_runs([number], filter_string=mine, max_results=1) if step else []
        self._run = runs[0].info.run_id if runs else self._client.create_run(number, run_name=self._name).info.run_id
        if not runs:
            for key, value in self._parameters:
                self._client.log_param(self._run, key, value)

    def write(self, step: int, numbers: Numbers) -> None:
        """Log the numbers as metrics."""
        for name, value in numbers:
            if math.isfinite(value):
                self._client.log_metric(self._run, name.replace(" ", "_"), value, step=step)
