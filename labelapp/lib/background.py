"""What a server does by itself: retrain when enough labels are new."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from renalct.core.errors import RenalctError
from renalct.learning.loop.auto_update import AutoSettings, due
from renalct.learning.loop.retrain import Loop

_EVERY_S = 30.0
_logger = logging.getLogger(__name__)


class AutoUpdate(threading.Thread):
    """Asks now and then whether a training is due, and has MONAI Label start one as if somebody had asked for it."""

    def __init__(self, app: Any, model: str, loop: Loop, settings: AutoSettings) -> None:
        super().__init__(name="auto-update", daemon=True)
        self._app, self._model, self._loop, self._settings = app, model, loop, settings

    def run(self) -> None:
        while True:
            time.sleep(_EVERY_S)
            try:
                self.look()
            except RenalctError as error:
                _logger.warning("whether a training is due could not be told: %s", error)

    def look(self) -> bool:
        """Whether a training was due, and is started."""
        found = due(self._loop.store, self._loop.registry, self._loop.settings, self._settings, now=time.time())
        if found.due:
            _logger.info("a training is due: %s", found.why)
            self._app.async_training(self._model)
        return found.due
