"""The MONAI Label app of renalct: ``monailabel start_server --app labelapp --studies FOLDER_OR_DICOMWEB_URL``.

Options, each as ``--conf NAME VALUE``; README.md explains them: release, device, store, models, strategy,
lease_minutes, readings, auto_update, auto_quiet_minutes, users, most_upload_mb.
"""

from __future__ import annotations

import sys
from typing import Any

from lib import auth, doors
from lib.background import AutoUpdate
from lib.infer import models_of
from lib.parts import SCORERS, Parts, parts_of
from lib.strategies import DeskStrategy, strategies_of
from lib.tasks import AnswersForMany, Retraining, Scoring
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.train import TrainTask
from renalct import __version__
from renalct.core.errors import InputError
from renalct.learning.acquisition.candidates import SCORER_OF
from renalct.learning.case_desk import CaseDesk
from renalct.learning.case_records import LABEL_VALUES, submission_record

MODEL = "renalct"
SERVER = "monailabel.app"


class RenalctApp(MONAILabelApp):
    """Hands out cases, answers for models, takes labels in; everything is decided in renalct.

    The server takes the one class of this file that derives directly from `MONAILabelApp`.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.parts: Parts = parts_of(studies, conf or {})
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="renalct",
            description="Kidneys and renal masses on CT. Not for clinical use.",
            version=__version__,
            labels=list(LABEL_VALUES),
        )
        self._auto_update_scoring = (
            False  # the stock code would begin it anew with every sample; see `on_init_complete`
        )

    @property
    def desk(self) -> CaseDesk:
        """Where cases are handed out and labels handed in."""
        return self.parts.desk

    def init_datastore(self) -> Datastore:
        """Our label store; the images are those of a folder or of a DICOMweb archive."""
        return self.parts.datastore

    def init_infers(self) -> dict[str, InferTask]:
        """The cascade first, then corrections and overlays; none in a server for review only."""
        return models_of(self.parts.answers, self.parts.asked) if self.parts.settings.has_models else {}

    def init_trainers(self) -> dict[str, TrainTask]:
        """One: the loop of training, gate and publication."""
        chosen = self.parts.settings
        return {MODEL: Retraining(self.parts.loop, chosen.auto_update)} if chosen.has_models else {}

    def init_strategies(self) -> dict[str, DeskStrategy]:
        """All strategies; `random`, the only one that OHIF can ask for, is the configured one."""
        return strategies_of(self.parts)

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """One for each kind of score that a strategy reads."""
        if not self.parts.settings.has_models:
            return {}
        return {name: Scoring(scorer, self.desk, self.parts.models) for name, scorer in SCORERS}

    def init_batch_infer(self) -> AnswersForMany:
        """Pre-labels for many images."""
        return AnswersForMany(self.desk, self.parts.models)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """The answer of a model."""
        file, told = self._infers[request["model"]](request)
        return {"label": file, "file": file, "tag": request.get("label_tag"), "params": told}

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The next case; `case:ID` is a strategy too. Raises `InputError` for one that there is not."""
        name, _, image_id = str(request.get("strategy") or "").partition(":")
        if name not in self._strategies:
            raise InputError(f"there is no strategy {name!r}; this server has {', '.join(self._strategies)}")
        return super().next_sample({**request, "strategy": name} | ({"case": image_id} if image_id else {}))

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, Any]:
        """What 3D Slicer shows under the details of a saved label: the findings of the quality checks."""
        submitted = self.parts.datastore.submitted
        return submission_record(submitted) if submitted else {}

    def on_init_complete(self) -> None:
        """In the server alone: guard its doors, tell at once what is damaged, begin the work in the background."""
        super().on_init_complete()
        server = sys.modules[SERVER].app
        auth.install(server, self.parts.users)
        doors.install(server, self, most_bytes=self.parts.settings.most_upload_bytes)
        self.parts.begin()
        chosen = self.parts.settings
        read = SCORER_OF[chosen.strategy]
        if settings.MONAI_LABEL_AUTO_UPDATE_SCORING and chosen.has_models and read is not None:
            wanted = {scorer: name for name, scorer in SCORERS}.get(read, "")
            if wanted and self._scoring_methods[wanted].is_due():
                self.async_scoring(wanted)
        if chosen.auto_update and chosen.has_models:
            AutoUpdate(self, MODEL, self.parts.loop, chosen.auto_update).start()
