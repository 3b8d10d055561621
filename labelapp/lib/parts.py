"""What a server is put together from: the store, the images, the models, the loop; made once for each process."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.formats.study import open_study
from renalct.learning.acquisition.scoring import Scorer
from renalct.learning.case_desk import CaseDesk
from renalct.learning.image_source import ImageFolder, ImageSource
from renalct.learning.label_answers import Answers, Asked
from renalct.learning.label_home import take_over
from renalct.learning.loop.registry import Registry
from renalct.learning.loop.retrain import Loop
from renalct.learning.model_desk import ModelDesk, Subject
from renalct.learning.server_settings import IMAGES, LABELS, MODELS, ServerSettings, is_address, settings_of_conf
from renalct.learning.store import LabelStore
from renalct.learning.users import UserFile
from renalct.models.machine import Machine

from lib.datastore import DeskDatastore
from lib.uploads import under_its_own_name
from lib.who import asking

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of a server, and how a request becomes a question to them."""

    studies: str
    settings: ServerSettings
    desk: CaseDesk
    datastore: DeskDatastore
    models: ModelDesk
    answers: Answers
    loop: Loop
    users: UserFile | None

    def begin(self) -> None:
        """What only a server does when it starts: take over the labels of MONAI Label, check the release."""
        if not is_address(self.studies):
            for notice in take_over(Path(self.studies), self.desk.store):
                _logger.warning(notice)
        self.desk.images()
        if self.settings.has_models:
            self.models.cascade()

    def asked(self, request: dict[str, Any]) -> Asked:
        """The question in a request; the image is one of the store, or one that was sent along."""
        image, client = str(request.get("image") or ""), asking(request)
        file = request.get("label")
        sent = Path(file) if isinstance(file, str) and Path(file).parent == Path(tempfile.gettempdir()) else None
        if image in self.desk.images():
            return Asked(Subject(image, lambda: self.desk.study(image)), image, client, request, sent)
        if not image or not Path(image).exists():
            raise InputError("there is no image of that name in this store; refresh the list of images")
        with under_its_own_name(Path(image), "file") as file_sent:
            study = open_study(file_sent)
        return Asked(Subject(f"{image}\n{Path(image).stat().st_mtime_ns}", lambda: study), "", client, request, sent)


def parts_of(studies: str, conf: Mapping[str, Any]) -> Parts:
    """The parts for a folder of images or the address of an archive, with the options of the command line."""
    settings = settings_of_conf(conf)
    home = settings.home(studies)
    store = LabelStore(home.joinpath(LABELS))
    desk = CaseDesk(store, _source(studies, store, settings), settings=settings.desk)
    registry = Registry(home.joinpath(MODELS))
    models = ModelDesk(registry, release=settings.release, device=settings.device)
    machine = Machine(device=settings.device)
    loop = Loop(store, registry, desk.source.files, first=settings.release, machine=machine, by="server")
    users = UserFile(settings.users) if settings.users else None
    return Parts(studies, settings, desk, DeskDatastore(desk), models, Answers(desk, models), loop, users)


def _source(studies: str, store: LabelStore, settings: ServerSettings) -> ImageSource:
    cache = settings.home(studies).joinpath(IMAGES)
    if not is_address(studies):
        return ImageFolder(Path(studies), cache=cache)
    from lib.dicomweb import image_archive  # loads a client that a folder does not need

    return image_archive(studies, store, cache, most_bytes=settings.image_cache_bytes)


SCORERS: tuple[tuple[str, Scorer], ...] = tuple((scorer.name.lower(), scorer) for scorer in Scorer)
"""Name and scorer of each kind of score."""
