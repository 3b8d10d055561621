"""What runs in a process of its own: training, scoring, and answers for many images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.batch_infer import BatchInferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.train import TrainTask
from renalct.learning.acquisition.scoring import Scorer, missing_scores, score_missing
from renalct.learning.case_desk import CaseDesk
from renalct.learning.loop.auto_update import AutoSettings, update_if_due
from renalct.learning.loop.loop_status import read_status
from renalct.learning.loop.retrain import Loop, retrain
from renalct.learning.loop_requests import (
    SpokenStatus,
    about_unfinished,
    settings_of,
    training_options,
    training_record,
)
from renalct.learning.model_desk import ModelDesk
from renalct.learning.pre_labels import PreLabel, pre_label, wanted_of

from lib.failures import told_in_the_log

BY_ITSELF = "by_itself"
"""In a request: train only if it is time, as several servers of one folder may ask at once."""

_logger = logging.getLogger(__name__)


class Retraining(TrainTask):
    """A training on the labels of the store, judged by the gate, and published when it is better."""

    def __init__(self, loop: Loop, auto: AutoSettings | None = None) -> None:
        super().__init__("Train on the labels, compare with the published release, publish what is better.")
        self._loop, self._auto = loop, auto

    def config(self) -> dict[str, Any]:
        return training_options()

    def stats(self) -> dict[str, Any]:
        return training_record(read_status(self._loop.registry.folder))

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """How the training ended. What it logs is shown to whoever asks for its status; a failure's sentence last."""
        with told_in_the_log():
            if self._auto is not None and request.get(BY_ITSELF):
                found, trained = update_if_due(self._loop, self._auto, tell=SpokenStatus(_logger.info))
                if trained is None:
                    _logger.info(found.why)
                return self.stats()
            loop = replace(self._loop, settings=settings_of(request), by=str(request.get("client_id") or self._loop.by))
            retrain(loop, tell=SpokenStatus(_logger.info), about=about_unfinished(request))
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
    """Pre-labels by the live release for many images, one after the other: networks use all of the machine."""

    def __init__(self, desk: CaseDesk, models: ModelDesk) -> None:
        self._desk, self._models = desk, models

    def __call__(self, request: dict[str, Any], datastore: Datastore, infer: Callable[..., Any]) -> dict[str, Any]:
        """What became of each image; told as it happens to whoever asks for the status."""
        with told_in_the_log():
            done = pre_label(self._desk, self._models, wanted_of(request), tell=_tell_pre_label)
        return {each.image_id: {"outcome": each.outcome} for each in done}


def _tell_pre_label(found: PreLabel, done: int, of: int) -> None:
    level = logging.INFO if found.there else logging.WARNING
    _logger.log(level, "%d/%d %s: %s", done, of, found.image_id, found.outcome)
