"""Training a version of a registry again from what it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from renalct.core.errors import InputError
from renalct.learning.loop.candidate_version import candidate_of
from renalct.learning.loop.labelled_cases import case_files_of
from renalct.learning.loop.loop_status import LoopStatus
from renalct.learning.loop.registry import Registry
from renalct.learning.loop.retrain import Loop, train_run
from renalct.learning.loop.run_inputs import read_inputs
from renalct.learning.loop.run_steps import Progress
from renalct.models.release import CURRENT, Release


def registry_and_version(folder: Path) -> tuple[Registry, str]:
    """The registry and the version that a folder means: a registry (what it has published), or the folder of a version.

    Raises `InputError` for any other folder.
    """
    for place, name in ((folder, ""), (folder.resolve().parents[1], folder.resolve().name)):
        if (place / CURRENT).is_file() or (name and any(place.glob(f"versions/{name}/version.json"))):
            registry = Registry(place)
            now = registry.current()
            return registry, name or (now.version if now else "")
    raise InputError(f"{folder} is no version of a registry; give REGISTRY, or REGISTRY/versions/v0003")


def train_again(loop: Loop, name: str, folder: Path, *, tell: Callable[[LoopStatus], None]) -> Release | None:
    """The release that comes out when a version is trained again into a folder; None in every process but the first.

    Raises `InputError` when the store no longer holds a label that it was trained on.
    """
    inputs = read_inputs(loop.registry.place(name))
    files = case_files_of(loop.store, inputs.cases, loop.locate) + loop.replay
    result = train_run(loop, folder, inputs, files, Progress(None, tell, inputs, name))
    if not result.first:
        return None
    return candidate_of(loop.registry, folder, inputs, device=loop.machine.device, processes=result.processes)
