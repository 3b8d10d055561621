"""What the commands of the learning loop share: options, the values that they mean, and lines of progress."""

from __future__ import annotations

import argparse
import getpass
import os
import time
from dataclasses import replace
from pathlib import Path

from renalct.commands.train_options import machine_of
from renalct.core.errors import InputError
from renalct.formats.dicom.web import WebSettings
from renalct.learning.archive.fetching import FetchedImages
from renalct.learning.image_source import InFolder, Locate
from renalct.learning.loop.frozen import FreezeSettings
from renalct.learning.loop.gate import GateSettings
from renalct.learning.loop.labelled_cases import REVIEWED, TRAINABLE
from renalct.learning.loop.loop_status import LoopStatus
from renalct.learning.loop.registry import Registry
from renalct.learning.loop.retrain import Loop
from renalct.learning.loop.run_inputs import RetrainSettings, Start
from renalct.learning.server_settings import IMAGES, is_address
from renalct.learning.store import CaseState, LabelStore
from renalct.models.cases import CaseFile, case_files
from renalct.models.run_plan import TRACKERS

_VARIABLES = "MONAI_LABEL_DATASTORE_"
_GATE, _FREEZE = GateSettings(), FreezeSettings()
_STATES = [state.value for state in TRAINABLE]
_SAY_EVERY_SECONDS = 15.0


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Where the images are."""
    add_image_options(parser, required=True)


def add_image_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup, *, required: bool) -> None:
    """The folder or the archive of the images, and where those of an archive are kept."""
    parser.add_argument(
        "--images", required=required, metavar="FOLDER_OR_ADDRESS",
        help="the folder that holds the images, or the address of their archive, as in https://archive/dicom-web",
    )  # fmt: skip
    parser.add_argument(
        "--image-cache", type=Path, metavar="FOLDER",
        help="where images of an archive are kept once they are fetched (images, beside STORE)",
    )  # fmt: skip


def locate_of(arguments: argparse.Namespace, store: Path) -> Locate:
    """Finds the images that the options name; those of an archive are fetched when they are needed.

    Who asks an archive is said by the variables that the label server reads, too: MONAI_LABEL_DATASTORE_USERNAME and
    _PASSWORD, or MONAI_LABEL_DATASTORE_API_KEY.
    """
    images: str = arguments.images
    if not is_address(images):
        return InFolder(Path(images))
    token, user, password = (os.environ.get(f"{_VARIABLES}{name}", "") for name in ("API_KEY", "USERNAME", "PASSWORD"))
    settings = WebSettings(images, token=token) if token else WebSettings(images, user=user, password=password)
    return FetchedImages(settings, arguments.image_cache or store.resolve().with_name(IMAGES))


def add_name_option(parser: argparse.ArgumentParser) -> None:
    """Who does it."""
    parser.add_argument("--by", default="", metavar="NAME", help="who does this, for the record (the account's name)")


def add_frozen_options(parser: argparse.ArgumentParser) -> None:
    """How the frozen validation set is chosen, where there is none yet."""
    group = parser.add_argument_group("frozen validation set", "chosen once, and never trained on")
    group.add_argument(
        "--frozen-share", type=float, default=_FREEZE.share, metavar="X", help="share of the patients (0.2)"
    )
    group.add_argument("--least-frozen", type=int, default=_FREEZE.least_patients, metavar="N", help="at least (3)")
    group.add_argument("--most-frozen", type=int, default=_FREEZE.most_patients, metavar="N", help="at most (60)")
    group.add_argument(
        "--frozen-state", action="append", choices=_STATES, help="choose from these cases (approved and gold)"
    )


def add_gate_options(parser: argparse.ArgumentParser) -> None:
    """What the promotion gate asks for."""
    group = parser.add_argument_group("gate", "not worse in any class, better in at least one, and no case harmed")
    group.add_argument("--level", type=float, default=_GATE.level, metavar="X", help="level of the intervals (0.9)")
    group.add_argument(
        "--margin", type=float, default=_GATE.mass_margin, metavar="X",
        help="Dice of tumor or cyst that may be lost within the noise (0.05)",
    )  # fmt: skip
    group.add_argument(
        "--kidney-margin", type=float, default=_GATE.kidney_margin, metavar="X", help="the same of kidney (0.02)"
    )
    group.add_argument(
        "--floor", action="append", default=[], metavar="NAME=X",
        help="what a first version must reach instead of beating the starter, as in kidney=0.9 (repeatable)",
    )  # fmt: skip


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """What a training does."""
    group = parser.add_argument_group("training")
    group.add_argument("--start", choices=[s.value for s in Start], default="warm", help="from what weights (warm)")
    group.add_argument("--recipe", default="", metavar="NAME", help="another recipe than that of the published release")
    group.add_argument(
        "--state", action="append", choices=_STATES, help="train on these cases (submitted, approved and gold)"
    )
    group.add_argument(
        "--replay-share", type=float, metavar="X", help="share of the samples of patients of earlier trainings"
    )
    group.add_argument(
        "--replay", type=Path, action="append", default=[], metavar="FOLDER",
        help="labelled images of earlier trainings beside the store, as for renalct train --data (repeatable)",
    )  # fmt: skip
    group.add_argument("--phantoms", type=int, default=0, metavar="N", help="synthetic phantoms beside the labels (0)")
    group.add_argument("--steps", type=int, metavar="N", help="steps per network (300; from scratch the recipe's)")
    group.add_argument(
        "--learning-rate", type=float, metavar="X", help="highest learning rate (0.0003; from scratch the recipe's)"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the samples and the weights")
    group.add_argument("--licence", default="", metavar="TEXT", help="the licence of the data, for the release's card")


def loop_of(arguments: argparse.Namespace, store: Path) -> Loop:
    """The loop that the options of a training describe. Raises `InputError` for values that cannot be."""
    return replace(
        judging_loop(arguments, store),
        settings=_settings(arguments),
        replay=_replayed(arguments),
        machine=machine_of(arguments),
        workers=arguments.workers,
        cache_mb=arguments.cache_mb,
        trackers=tuple(name for name in TRACKERS if getattr(arguments, name)),
    )


def judging_loop(arguments: argparse.Namespace, store: Path) -> Loop:
    """The loop as far as the options say how candidates are judged."""
    return Loop(
        store=opened(store),
        registry=Registry(arguments.registry),
        locate=locate_of(arguments, store),
        gate=gate_of(arguments),
        freezing=FreezeSettings(arguments.frozen_share, arguments.least_frozen, arguments.most_frozen),
        frozen_states=_states(arguments.frozen_state, REVIEWED),
        by=name_of(arguments),
    )


def gate_of(arguments: argparse.Namespace) -> GateSettings:
    """The gate that the options describe."""
    return GateSettings(
        level=arguments.level,
        mass_margin=arguments.margin,
        kidney_margin=arguments.kidney_margin,
        floors=tuple(_floor(text) for text in arguments.floor),
    )


def opened(folder: Path) -> LabelStore:
    """The label store in a folder. Raises `InputError` when there is none: one is not made by mistake."""
    if not folder.is_dir() or not any(folder.iterdir()):
        raise InputError(f"there is no label store in {folder}; give the folder of one")
    return LabelStore(folder)


def name_of(arguments: argparse.Namespace) -> str:
    """Who does it: as given, else the name of the account."""
    return arguments.by or getpass.getuser()


def _settings(arguments: argparse.Namespace) -> RetrainSettings:
    return RetrainSettings(
        start=Start(arguments.start),
        recipe=arguments.recipe,
        states=_states(arguments.state, TRAINABLE),
        replay_share=arguments.replay_share,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        phantoms=arguments.phantoms,
        seed=arguments.seed,
        licence=arguments.licence,
    )


def _states(named: list[str] | None, usual: tuple[CaseState, ...]) -> tuple[CaseState, ...]:
    return tuple(CaseState(name) for name in dict.fromkeys(named)) if named else usual


def _replayed(arguments: argparse.Namespace) -> tuple[CaseFile, ...]:
    return tuple(file for folder in arguments.replay for file in case_files(folder))


def _floor(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError as error:
        raise InputError(f"--floor {text} states no floor; give a name and a number, as in kidney=0.9") from error


class StatusLines:
    """Prints how far a training is, about every 15 seconds."""

    def __init__(self) -> None:
        self._said, self._state = 0.0, ""

    def __call__(self, status: LoopStatus) -> None:
        """Print the status, unless something was printed just now."""
        now = time.monotonic()
        if status.state.value == self._state and now - self._said < _SAY_EVERY_SECONDS:
            return
        self._said, self._state = now, status.state.value
        done = f", {status.epoch} of {status.total_epochs} steps" if status.total_epochs else ""
        print(f"{status.run} {status.state.value}{done}: {status.message}", flush=True)

    def say(self, words: str) -> None:
        """Print a line."""
        print(words, flush=True)
