"""The MONAI Label app of renalct: ``monailabel start_server --app labelapp --studies FOLDER``.

Options of the app: ``--conf release FOLDER`` (weights; the starter release in the package by default) and
``--conf device NAME`` (cpu by default).
"""

from __future__ import annotations

from pathlib import Path

from lib.datastore import NamedLabelDatastore
from lib.infer import LABEL_VALUES, CascadeInfer
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from renalct import __version__
from renalct.cascade import Cascade
from renalct.models.release import load_release

MODEL = "renalct"


class RenalctApp(MONAILabelApp):
    """Serves the cascade as a segmentation model, hands out images to annotate, and keeps their labels by name.

    The server takes the one class of this file that derives directly from `MONAILabelApp`.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="renalct",
            description="Kidneys and renal masses on CT. Not for clinical use.",
            version=__version__,
            labels=list(LABEL_VALUES),
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The cascade under its name; its weights are checked and loaded here, once per process."""
        release = self.conf.get("release")
        cascade = Cascade(
            load_release(Path(release) if release else None),
            device=self.conf.get("device", "cpu"),
        )
        return {MODEL: CascadeInfer(cascade)}

    def init_datastore(self) -> Datastore:
        """A folder of NIfTI images with labels by name; a DICOMweb address is left to MONAI Label itself."""
        if self.studies.startswith(("http://", "https://")):
            return super().init_datastore()
        return NamedLabelDatastore(
            self.studies,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )
