"""A study's way through the service: complete, analysed in the worker, handed to the outbox, and in the end deleted."""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Sequence

from renalct.core.errors import ErrorCode, InputError, OutputError, RenalctError
from renalct.delivery.destinations import Destination
from renalct.delivery.inbox_keeping import Keeping, OnTheirWay
from renalct.delivery.inbox_runs import Run, RunQueue
from renalct.delivery.inbox_state import InboxState
from renalct.delivery.outbox import Outbox
from renalct.delivery.queue_records import State
from renalct.delivery.service_settings import ServiceSettings
from renalct.delivery.worker import Worker, WorkerDied, WorkerStopped
from renalct.formats.durable import sync_tree
from renalct.learning.store.blobs import refused_writes
from renalct.runs.status import without_uids

_log = logging.getLogger(__name__)

RESULTS = "results"
LAST_ERROR = "last_error"
_STUDIES = "studies"
_TIDY_EVERY_S = 60.0
_PAUSE_S = 5.0
_MOST_FAILED_STARTS = 3


class StudyLine:
    """Takes one complete study after the other through the analysis, in one thread, until `stop` is set.

    `queued` is called when objects were put into the outbox. Every step is recorded when it is done, and safe to do
    again.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        state: InboxState,
        outbox: Outbox,
        worker: Worker,
        *,
        destinations: Sequence[Destination],
        stop: threading.Event,
    ) -> None:
        self.queued: Callable[[], object] = lambda: None
        self._settings = settings
        self._state = state
        self._outbox = outbox
        self._worker = worker
        self._destinations = tuple(destinations)
        self._stop = stop
        self._runs = RunQueue(state, attempts=settings.attempts)
        self._results = state.folder / RESULTS
        self._studies = state.folder / _STUDIES
        self._keeping = Keeping(state, self._results, retention=settings.retention)
        self._interrupted = False
        self._tidied_at: float | None = None

    def recover(self) -> None:
        """Take up what a stop at any moment left. Nobody may be receiving yet."""
        waiting = self._runs.recover()
        self._keeping.clean()
        shutil.rmtree(self._studies, ignore_errors=True)
        with refused_writes(self._state.folder):
            for folder in (self._studies, self._results):
                folder.mkdir(exist_ok=True)
        if waiting:
            _log.info("the analysis of %d studies was interrupted, and begins again", waiting)

    def work(self) -> None:
        """Work until `stop` is set. Raises what keeps every study from being analysed."""
        self._start_worker()
        while not self._stop.is_set():
            pause_s = 0.0
            try:
                if not self.step():
                    pause_s = self._settings.poll_s
            except OutputError as error:  # no space, most likely, which may pass
                self._tell("", str(error))
                self._interrupted = True
                pause_s = _PAUSE_S
            self._stop.wait(pause_s)

    def step(self) -> bool:
        """Do the next thing there is to do; whether a study was analysed."""
        if self._interrupted:
            self._runs.recover()
            self._interrupted = False
        self._runs.close_complete()
        for analysed in self._runs.analysed_runs():
            self._hand_on(analysed)
        self._tidy()
        run = self._runs.next_run()
        if run is not None:
            self._analyse(run)
        return run is not None

    def _start_worker(self) -> None:
        for attempt in range(1, _MOST_FAILED_STARTS + 1):
            try:
                self._worker.start(stop=self._stop)
                return
            except WorkerStopped:
                return
            except WorkerDied as death:
                self._tell("", f"the process of the analysis {death} before it was ready")
                if attempt == _MOST_FAILED_STARTS:
                    raise RenalctError(
                        f"the process of the analysis {death} before it was ready, {attempt} times; look at the log "
                        "above, or try renalct predict on this machine"
                    ) from death

    def _analyse(self, run: Run) -> None:
        study, output = self._studies / run.name, self._results / run.name
        try:
            self._start_worker()
            self._gather(run)
            status = self._worker.analyse(study, output, stop=self._stop, grace_s=self._settings.grace_s)
            if output.is_dir():
                sync_tree(output)
        except WorkerDied as death:
            last = self._runs.died(run, f"the analysis {death}")
            self._tell(run.name, f"the analysis {death}; " + ("it is set aside" if last else "it begins again"))
        except (WorkerStopped, OutputError) as error:
            self._runs.give_back(run)
            if isinstance(error, OutputError):
                raise
        except InputError as error:
            self._set_aside(run, error.code, str(error))
        except BaseException:
            self._runs.give_back(run)
            raise
        else:
            self._runs.analysed(run, status)
            _log.info("study %s: %s%s", run.name, status.outcome, f" ({status.code})" if status.code else "")
            if not status.has_results:
                self._tell(run.name, f"{status.outcome}, {status.code}: {status.reason}")
            self._hand_on(run)
        finally:
            shutil.rmtree(study, ignore_errors=True)

    def _gather(self, run: Run) -> None:
        """A folder with the images of a run, each checked against its hash. Raises `InputError`, `OutputError`."""
        folder = self._studies / run.name
        shutil.rmtree(folder, ignore_errors=True)
        files = [self._state.blobs.path(digest) for digest in run.files]
        with refused_writes(folder):
            folder.mkdir(parents=True)
            for number, file in enumerate(files):
                os.link(file, folder / f"{number}.dcm")

    def _hand_on(self, run: Run) -> None:
        """Put the objects of a run into the outbox, and record that it is done."""
        files = sorted((self._results / run.name).glob("*.dcm"))
        try:
            count = self._outbox.put(files, self._destinations, study=run.study) if files else 0
        except OutputError:
            raise
        except InputError as error:
            self._set_aside(run, error.code, str(error))
            return
        self._runs.done(run)
        _log.info("study %s: %d objects are queued for sending", run.name, count)
        if count:
            self.queued()

    def _tidy(self) -> None:
        now = self._state.clock()
        if self._tidied_at is not None and 0 <= now - self._tidied_at < _TIDY_EVERY_S:
            return
        self._tidied_at = now
        swept = self._keeping.sweep(lambda: on_their_way(self._outbox))
        forgotten = self._keeping.forget()
        if swept or forgotten:
            _log.info("the images of %d studies were deleted, the records of %d", swept, forgotten)

    def _set_aside(self, run: Run, code: ErrorCode, reason: str) -> None:
        reason = without_uids(reason, salt=self._state.salt)
        self._runs.set_aside(run, code, reason)
        self._tell(run.name, f"set aside: {reason}")

    def _tell(self, study: str, what: str) -> None:
        """Log a failure, and keep it as the last one for the status."""
        what = without_uids(what, salt=self._state.salt)
        _log.error("%s%s", f"study {study}: " if study else "", what)
        try:
            self._state.note(LAST_ERROR, json.dumps({"at": self._state.clock(), "study": study, "what": what}))
        except OutputError:
            _log.error("and this could not be written down")


def on_their_way(outbox: Outbox) -> OnTheirWay:
    """The studies with objects that are still being sent, and those with some that were given up."""
    undelivered = {each.study for state in (State.WAITING, State.ACCEPTED) for each in outbox.objects(state)}
    return OnTheirWay(undelivered, {each.study for each in outbox.objects(State.DEAD)})
