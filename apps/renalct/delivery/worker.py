"""A child process that analyses one study after the other: what kills it kills neither the listener nor the queue."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from renalct.core.errors import RenalctError
from renalct.runs.status import StudyStatus

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from renalct.runs.analysis import AnalysisSettings

_log = logging.getLogger(__name__)

Analysis = Callable[[Path, Path], StudyStatus]
"""Analyses the study in the first folder, writes the second whole, and returns the status."""

Loader = Callable[[], Analysis]
"""Makes an analysis in the child process. It is pickled: an instance of a class of a module, not a local function."""

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_LOOK_S = 0.2
_FIRST_TO_GO = "800"
"""The kernel's score for whom to kill when memory runs out (-1000 to 1000): the child rather than the listener."""


@dataclass(frozen=True)
class CascadeLoader:
    """Loads a release once (None for the starter) for all studies, as every host does."""

    release: Path | None
    device: str
    settings: AnalysisSettings

    def __call__(self) -> Analysis:
        """The analysis with the cascade of the release. Raises `ReleaseError` for one that cannot be used."""
        from renalct.cascade import Cascade  # PyTorch, MONAI and highdicom, which the listener never needs
        from renalct.models.release import load_release
        from renalct.runs.analysis import analyse_study

        cascade = Cascade(load_release(self.release), device=self.device)
        settings = self.settings

        def analyse(study: Path, output: Path) -> StudyStatus:
            return analyse_study(study, output, cascade=cascade, settings=settings)

        return analyse


class WorkerDied(Exception):
    """The process ended in the middle of its work; the message finishes the sentence "the analysis ..."."""


class WorkerStopped(Exception):
    """The work was given up because a stop was asked for."""


class Worker:
    """The handle of the child process, which is started when it is first needed, and again after it died.

    `lock` is a file that the child holds while it lives: after a kill of this process the next child waits until the
    last one, which ends as soon as it notices, is gone. Used by one thread.
    """

    def __init__(self, loader: Loader, *, lock: Path, longest_s: float) -> None:
        self._loader = loader
        self._lock = lock
        self._longest_s = longest_s
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._lifeline: Connection | None = None

    def start(self, *, stop: threading.Event) -> None:
        """Have a child that has loaded its analysis.

        Raises what the loader raised if it was a `RenalctError`, `WorkerDied` when the child died before it was ready,
        and `WorkerStopped`.
        """
        if self._process is not None and self._process.is_alive():
            return
        self.stop()
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        alive, self._lifeline = context.Pipe(duplex=False)
        level = logging.getLogger().getEffectiveLevel()
        self._process = context.Process(
            target=_work, args=(theirs, alive, self._loader, self._lock, level), name="renalct-analysis", daemon=True
        )
        self._process.start()
        theirs.close()
        alive.close()
        answer = self._answer(until=None, stop=stop)
        if isinstance(answer, RenalctError):
            self.stop()
            raise answer

    def analyse(self, study: Path, output: Path, *, stop: threading.Event, grace_s: float) -> StudyStatus:
        """The status of a study, after `output` was written whole.

        Raises `WorkerDied` when the child died or took too long, `WorkerStopped` when `stop` was set and the child did
        not end within `grace_s` after it.
        """
        self.start(stop=stop)
        assert self._connection is not None
        try:
            self._connection.send((study, output))
        except OSError as error:
            raise self._death() from error
        status: StudyStatus = self._answer(until=time.monotonic() + self._longest_s, stop=stop, grace_s=grace_s)
        return status

    def stop(self) -> None:
        """End the child, if there is one."""
        for connection in (self._connection, self._lifeline):
            if connection is not None:
                connection.close()
        self._connection = self._lifeline = None
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._process = None

    def _answer(self, *, until: float | None, stop: threading.Event, grace_s: float = 0.0) -> Any:
        assert self._process is not None and self._connection is not None
        given_up_at: float | None = None
        while True:
            ready = wait([self._connection, self._process.sentinel], timeout=_LOOK_S)
            if self._connection in ready:
                try:
                    return self._connection.recv()
                except (EOFError, OSError):
                    self._process.join()
                    raise self._death() from None
            if self._process.sentinel in ready:
                raise self._death()
            now = time.monotonic()
            if until is not None and now > until:
                self.stop()
                raise WorkerDied(f"took longer than {self._longest_s:.0f} s")
            if stop.is_set():
                given_up_at = given_up_at or now + grace_s
                if now >= given_up_at:
                    self.stop()
                    raise WorkerStopped

    def _death(self) -> WorkerDied:
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        self.stop()
        if code == -signal.SIGKILL:
            return WorkerDied("was killed (signal 9), as the system does when memory runs out")
        if code < 0:
            return WorkerDied(f"crashed (signal {-code})")
        return WorkerDied(f"ended unexpectedly (exit code {code})")


def start_log(level: int) -> None:
    """Write the log of this process, without the libraries: they tell and warn of UIDs and values of a patient."""
    logging.basicConfig(level=level, format=_LOG_FORMAT, force=True)
    for library in ("highdicom", "pydicom", "pynetdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")


def _work(connection: Connection, lifeline: Connection, loader: Loader, lock: Path, level: int) -> None:
    """The child: loads once, then answers each pair of folders with a status, until its parent is gone."""
    for name in ("SIGINT", "SIGTERM"):  # a stop of the whole group is for the parent to carry out
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    start_log(level)
    with FileLock(lock):
        try:
            analyse = loader()
        except RenalctError as error:
            connection.send(error)
            return
        connection.send(None)
        while True:
            try:
                study, output = connection.recv()
            except EOFError:
                return
            for left in (output, *output.parent.glob(".*.part")):  # by an attempt that was stopped
                shutil.rmtree(left, ignore_errors=True)
            status = analyse(study, output)
            try:
                connection.send(status)
            except OSError:  # the parent was killed meanwhile
                return


def _end_with_parent(lifeline: Connection) -> None:
    """Ends this process when the other end of the pipe, which only the parent has, is closed."""
    with contextlib.suppress(EOFError, OSError):
        lifeline.recv()
    os._exit(1)
