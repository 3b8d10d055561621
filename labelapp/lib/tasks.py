"""What runs in a process of its own: training, scoring, and answers for many images."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.train import TrainTask
from renalct.core.errors import RenalctError
from renalct.learning.acquisition.scoring import Scorer, missing_scores, score_missing
from renalct.learning.case_desk import CaseDesk
from renalct.learning.loop.loop_status import LoopStatus, read_status
from renalct.learning.loop.retrain import Loop, retrain
from renalct.learning.loop_requests import (
    about_unfinished,
    settings_of,
    status_line,
    training_options,
    training_record,
)
from renalct.learning.model_desk import ModelDesk

_logger = logging.getLogger(__name__)


class Retraining(TrainTask):
    """A training on the labels of the store, judged by the gate, and published when it is better."""

    def __init__(self, loop: Loop) -> None:
        super().__init__("Train on the labels, compare with the published release, publish what is better.")
        self._loop = loop

    def config(self) -> dict[str, Any]:
        return training_options()

    def stats(self) -> dict[str, Any]:
        return training_record(read_status(self._loop.registry.folder))

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """How the training ended. What it logs is shown to whoever asks for its status; a failure's sentence last."""
        try:
            loop = replace(self._loop, settings=settings_of(request), by=str(request.get("client_id") or self._loop.by))
            retrain(loop, tell=_Lines(), about=about_unfinished(request))
        except RenalctError as error:
            _logger.error(str(error))
            sys.exit(error.exit_code)
        return self.stats()


class Scoring(ScoringMethod):
    """Scores of the images that have none yet by the live release, for the strategies that read them."""

    def __init__(self, scorer: Scorer, desk: CaseDesk, models: ModelDesk) -> None:
        super().__init__(f"How sure the live release is of each image ({scorer.value}).")
        self._scorer, self._desk, self._models = scorer, desk, models

    def info(self) -> dict[str, Any]:
        return super().info() | {"config": {}}

    def is_due(self) -> bool:
        """Whether an image waits for its score."""
        digest = self._models.digest if self._scorer.needs_release else None
        return bool(missing_scores(self._desk.store, self._scorer, digest))

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """The ids of the images that were scored now."""
        self._desk.images()
        cascade = self._models.cascade() if self._scorer.needs_release else None
        done = []
        for image in score_missing(self._desk.store, self._scorer, self._read, cascade=cascade):
            _logger.info("scored %s", image.image_id)
            done.append(image.image_id)
        return {"scored": done}

    def _read(self, image: Any) -> Any:
        return self._desk.volume(image.image_id)


class AnswersForMany(BatchInferTask):
    """MONAI Label's own, told when there is no GPU: without it the stock default divides by the number of GPUs."""

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:
        many = bool(request.get("multi_gpu", True)) and torch.cuda.is_available()
        return super().__call__({**request, "multi_gpu": many}, datastore, infer)


class _Lines:
    """Logs what changed of a status."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, status: LoopStatus) -> None:
        line = status_line(status)
        if line != self._last:
            _logger.info(line)
            self._last = line
