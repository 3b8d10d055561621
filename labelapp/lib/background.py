"""What a server does by itself: retrain when enough labels are new."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from renalct.learning.loop.auto_update import AutoSettings, due
from renalct.learning.loop.retrain import Loop

from lib.tasks import BY_ITSELF

_logger = logging.getLogger(__name__)


class AutoUpdate(threading.Thread):
    """Asks now and then whether a training is due, and has MONAI Label start one as if somebody had asked for it."""

    def __init__(self, app: Any, model: str, loop: Loop, settings: AutoSettings) -> None:
        super().__init__(name="auto-update", daemon=True)
        self._app, self._model, self._loop, self._settings = app, model, loop, settings
        self._said = ""

    def run(self) -> None:
        while True:
            time.sleep(self._settings.look_every_seconds)
            try:
                self.look()
            except Exception as error:  # a full disk today is no reason not to look tomorrow
                _logger.warning("whether a training is due could not be told: %s", error)

    def look(self) -> bool:
        """Whether a training was due, and is started. What changed since the last look is logged."""
        found = due(self._loop, self._settings, now=time.time())
        if found.why != self._said:
            _logger.info("a training is %s: %s", "due" if found.due else "not due", found.why)
            self._said = found.why
        if found.due:
            self._app.async_training(self._model, {self._model: {BY_ITSELF: True}})
        return found.due
