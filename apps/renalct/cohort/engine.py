"""The engine that runs a cohort: Ray Data, on this machine or on a cluster; its workers load the networks once."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalct.cohort.home import CohortSettings
from renalct.cohort.manifest import ManifestRow
from renalct.core.errors import InputError, RenalctError

_MOST_BLOCKS = 2000
"""Ray follows every block of rows; studies are given out in no more blocks than this."""
_OBJECT_STORE_BYTES = 100 << 20
"""What goes through Ray's memory are names and words; images never do."""
_SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
"""Tells nobody that it was used, and does not write into our terminal."""
_ALONE = _SILENT | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}
"""Makes 127.0.0.1 the address of this machine, on Linux too: Ray binds to it, and nothing outside can reach it. Workers
run like any program, where Ray lets them wait for all others."""


@dataclass(frozen=True)
class EngineSettings:
    """Where a cohort is run: the number of workers, the threads (and share of a GPU) of each, the cluster's address.

    Without an address an engine of its own is started on this machine, which nobody else can reach.
    """

    workers: int = 1
    threads: int = 1
    gpus: float = 0.0
    address: str = ""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.threads < 1 or self.gpus < 0:
            raise InputError(
                f"{self.workers} workers with {self.threads} threads and {self.gpus:g} GPUs each cannot work; "
                "at least one worker and one thread are needed"
            )


def run_studies(
    rows: Sequence[ManifestRow], folder: Path, settings: CohortSettings, *, engine: EngineSettings
) -> Iterator[str]:
    """The name of each study when it is done: its folder was written then.

    The order is that in which they end. A worker that is lost is replaced, and its study tried again. Raises
    `RenalctError` when the engine itself fails; what was done stays.
    """
    os.environ.update(_ALONE if not engine.address else _SILENT)  # read when Ray is imported
    import ray  # heavy, and only a cohort needs it
    import ray.data
    import ray.exceptions

    words = [{"name": row.name, "study": str(row.study), "series": row.series} for row in rows]
    try:
        with _connected(engine):
            _quiet(ray.data.DataContext.get_current())
            done = ray.data.from_items(words, override_num_blocks=min(len(words), _MOST_BLOCKS)).map_batches(
                _Worker,
                fn_constructor_args=(str(folder), settings),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=engine.workers, max_tasks_in_flight_per_actor=2),
                num_cpus=engine.threads,
                num_gpus=engine.gpus or None,
            )
            for row in done.iter_rows():
                yield str(row["name"])
    except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
        raise RenalctError(
            f"the engine stopped ({type(error).__name__}); start the same command again: what was done is kept"
        ) from error


class _Worker:
    """An actor of Ray Data."""

    def __init__(self, folder: str, settings: CohortSettings) -> None:
        import torch

        from renalct.cascade import Cascade
        from renalct.cohort.worker import StudyWorker
        from renalct.models.release import load_release

        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))  # Ray sets it to the threads of a worker
        torch.set_num_threads(threads)
        cascade = Cascade(load_release(settings.release), device=settings.device)
        self._worker = StudyWorker(Path(folder), settings, cascade)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for name, study, series in zip(batch["name"], batch["study"], batch["series"], strict=True):
            self._worker.run(ManifestRow(Path(str(study)), str(name), str(series)))
        return {"name": batch["name"]}


@contextmanager
def _connected(engine: EngineSettings) -> Iterator[None]:
    """A time with a running engine: the cluster's, or one of our own on the loopback interface."""
    import ray

    if engine.address:
        ray.init(address=engine.address, log_to_driver=False, logging_level=logging.ERROR)
        try:
            yield
        finally:
            ray.shutdown()
        return
    temporary = tempfile.mkdtemp(prefix="ray-")  # short: the names of sockets in it have a limit
    try:
        ray.init(
            num_cpus=engine.workers * engine.threads,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=temporary,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


def _quiet(context: Any) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.enable_operator_progress_bars = False
