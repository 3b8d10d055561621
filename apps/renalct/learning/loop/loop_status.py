"""How far the loop is, as plain numbers in one small file that any process may read at any time."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from renalct.core.errors import RecipeError
from renalct.formats.durable import write_durably
from renalct.models.values import from_json, to_json

STATUS = "status.json"
_BEAT_SECONDS = 5.0
_LOST_SECONDS = 60.0


class LoopState(Enum):
    """What the loop is doing; `LOST` is a training whose process is gone, which goes on when it is started again."""

    IDLE = "idle"
    PREPARING = "preparing cases"
    TRAINING = "training"
    JUDGING = "judging"
    PUBLISHED = "published"
    KEPT = "kept unpublished"
    STOPPED = "stopped"
    FAILED = "failed"
    LOST = "lost"

    @property
    def running(self) -> bool:
        """Whether a process is at work."""
        return self in (LoopState.PREPARING, LoopState.TRAINING, LoopState.JUDGING)


@dataclass(frozen=True)
class LoopStatus:
    """Never a null: 0 and "" stand for what is not known yet. Times are seconds since 1970.

    `epoch` of `total_epochs` are training steps of all networks together. `best_metric` is the Dice of kidneys and
    masses of the last version that was judged, and `numbers` are all of its means on the frozen set.
    """

    state: LoopState = LoopState.IDLE
    message: str = ""
    run: str = ""
    version: str = ""
    epoch: int = 0
    total_epochs: int = 0
    best_metric: float = 0.0
    started_at: float = 0.0
    beat_at: float = 0.0
    process: int = 0
    host: str = ""
    numbers: tuple[tuple[str, float], ...] = ()

    @property
    def seconds(self) -> float:
        """How long the training took, or takes so far."""
        return max(0.0, self.beat_at - self.started_at)


def read_status(registry: Path, *, now: float | None = None) -> LoopStatus:
    """How far the loop of a registry is; idle where none ever ran. A training without a sign of life is lost, and one
    whose process is gone from this computer."""
    try:
        status = from_json(LoopStatus, json.loads((registry / STATUS).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecipeError):
        return LoopStatus()
    silent = (time.time() if now is None else now) - status.beat_at
    lost = status.state.running and (silent > _LOST_SECONDS or _is_gone(status))
    return replace(status, state=LoopState.LOST) if lost else status


def _is_gone(status: LoopStatus) -> bool:
    """Whether the process is known to have ended: of another computer nobody knows."""
    if not status.process or status.host != platform.node() or os.name != "posix":
        return False
    try:
        os.kill(status.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # somebody else's
        return False
    return False


class StatusFile:
    """Writes the status of a training now and then, and at once when its state changes."""

    def __init__(self, registry: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = registry / STATUS, clock
        before = read_status(registry)
        self._status = LoopStatus(
            best_metric=before.best_metric,
            numbers=before.numbers,
            version=before.version,
            started_at=clock(),
            process=os.getpid(),
            host=platform.node(),
        )
        self._written = 0.0
        self._lock = threading.Lock()

    @property
    def status(self) -> LoopStatus:
        """The present status."""
        return self._status

    def tell(self, **changes: object) -> None:
        """Change some fields of the status."""
        with self._lock:
            before, now = self._status, self._clock()
            self._status = replace(before, beat_at=now, **changes)  # type: ignore[arg-type]
            if self._status.state is not before.state or now - self._written >= 1.0:
                write_durably(self._path, json.dumps(to_json(self._status)) + "\n")
                self._written = now

    @contextmanager
    def alive(self) -> Iterator[None]:
        """The time in which a sign of life is given every few seconds, whatever else takes long."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(_BEAT_SECONDS):
                self.tell()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
