"""`renalct serve` without its command line: a listener, an analysis and an outbox, on one folder."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from renalct.core.errors import InputError
from renalct.delivery.commitment import take_report
from renalct.delivery.destinations import Destination
from renalct.delivery.inbox import Inbox
from renalct.delivery.inbox_state import InboxState
from renalct.delivery.listener import Listener
from renalct.delivery.outbox import Outbox
from renalct.delivery.sending import Sender
from renalct.delivery.service_settings import ServiceSettings
from renalct.delivery.study_line import StudyLine
from renalct.delivery.worker import Loader, Worker
from renalct.formats.durable import held
from renalct.learning.store.blobs import refused_writes

LOCK, OUTBOX = "serve.lock", "outbox"
LISTENING = "listening"
_WORKER_LOCK = "worker.lock"
_LOCK_S = 5.0
_LOOK_S = 0.1


class Service:
    """A listener, an analysis and an outbox on one folder, which survive being killed at any moment.

    `loader` is given the salt of the names of studies, and makes what loads the analysis in a child process. What is
    acknowledged is in the inbox; a run is handed to the outbox before it is done; and the outbox takes an object once.
    So a study is neither lost nor doubled wherever a kill falls: what was not recorded as done is done again, and
    gives objects with the same UIDs.
    """

    def __init__(
        self, settings: ServiceSettings, destinations: Sequence[Destination], loader: Callable[[str], Loader]
    ) -> None:
        self._settings = settings
        self._destinations = tuple(destinations)
        self._loader = loader
        self._asked = False
        self._stop = threading.Event()

    def stop(self) -> None:
        """Ask `run` to end. May be called from anywhere, also from a handler of a signal."""
        self._asked = True  # and nothing else: the thread that is interrupted may hold the lock of the event

    def run(self, *, ready: Callable[[int], object] = lambda port: None) -> None:
        """Serve until `stop`. `ready` is told the port when senders may come.

        Raises `InputError` when the folder is in use by another service, or the port cannot be had; what the loader
        raises, `ReleaseError` for one; and `RenalctError` when the analysis cannot be started at all.
        """
        settings = self._settings
        with alone(settings.folder), ExitStack() as ending:
            state = InboxState(settings.folder)
            ending.callback(state.close)
            outbox = Outbox(settings.folder / OUTBOX)
            ending.callback(outbox.close)
            inbox = Inbox(state, bounds=settings.bounds, patience=settings.patience)
            listener = Listener(inbox, settings.listener, reports=partial(take_report, outbox))
            worker = Worker(
                self._loader(state.salt), lock=settings.folder / _WORKER_LOCK, longest_s=settings.attempts.longest_s
            )
            ending.callback(worker.stop)
            line = StudyLine(settings, state, outbox, worker, destinations=self._destinations, stop=self._stop)
            line.recover()
            inbox.recover()
            sender = Sender(outbox, self._destinations)
            line.queued = sender.wake
            sender.start()
            ending.callback(_within, settings.grace_s, sender.stop)
            listener.start()
            closing = threading.Thread(target=self._close, args=(listener,), name="renalct-closing")
            closing.start()
            ending.callback(closing.join)
            ending.callback(self._stop.set)
            state.note(LISTENING, _listening(listener.port, settings))
            ready(listener.port)
            line.work()

    def _close(self, listener: Listener) -> None:
        """Turn senders away as soon as a stop is asked for, while the analysis under way may end."""
        while not self._asked and not self._stop.is_set():
            time.sleep(_LOOK_S)
        self._stop.set()
        listener.stop(grace_s=self._settings.grace_s)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The time in which no other service uses a folder. Raises `InputError` when one does."""
    with refused_writes(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(folder / LOCK, seconds=_LOCK_S) as is_ours:
        if not is_ours:
            raise InputError(f"another renalct serve uses {folder}; stop it, or choose another folder")
        yield


def is_served(folder: Path) -> bool:
    """Whether a service uses a folder now."""
    with held(folder / LOCK, seconds=0) as is_ours:
        return not is_ours


def _listening(port: int, settings: ServiceSettings) -> str:
    facts = {"ae_title": settings.listener.ae_title, "port": port, "process": os.getpid(), "since": time.time()}
    return json.dumps(facts)


def _within(seconds: float, action: Callable[[], object]) -> None:
    """Do something, and wait for it so long at most."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
