"""What a training starts from: which labels, which of them are old, which weights; written down before it begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from renalct.core.errors import InputError, RecipeError
from renalct.formats.durable import write_durably
from renalct.learning.loop.frozen import FrozenSet, without_frozen
from renalct.learning.loop.labelled_cases import TRAINABLE, LabelledCase, labelled_cases
from renalct.learning.loop.registry import INPUTS, Registry
from renalct.learning.store import CaseState, LabelStore
from renalct.models.recipe import Recipe, Stage
from renalct.models.recipes import RECIPES, recipe_named
from renalct.models.release import STARTER, load_release, read_card
from renalct.models.values import from_json, to_json

WARM_STEPS = 300
"""Steps per network of a warm start where nothing else is asked for: minutes, not hours, on two cores."""
WARM_LEARNING_RATE = 3e-4
"""The highest learning rate of a warm start where nothing else is asked for: a third of the starter's. The recipe's own
would first undo what the weights know."""
DONE = "done.json"
STARTER_NAME = "starter"


class Start(Enum):
    """What the networks begin with: the published release's weights (the starter's before there is one), or none."""

    WARM = "warm"
    SCRATCH = "scratch"


@dataclass(frozen=True)
class RetrainSettings:
    """What a training does, as far as it decides the result.

    `recipe` is a recipe by name ("": that of the published release). `steps` are per network (None: 300 after a warm
    start, else the recipe's), `learning_rate` is the highest (None: 3e-4 after a warm start, else the recipe's).
    `replay_share` of the samples are of patients that the release it starts from was trained on (None: nobody is
    preferred). `states` are those of the cases whose labels are used.
    """

    start: Start = Start.WARM
    recipe: str = ""
    states: tuple[CaseState, ...] = TRAINABLE
    replay_share: float | None = None
    steps: int | None = None
    learning_rate: float | None = None
    phantoms: int = 0
    seed: int = 0
    licence: str = ""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise InputError(f"{self.steps} steps train nothing; give 1 or more")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise InputError(f"the learning rate is {self.learning_rate}; a number above 0 is needed")
        if self.replay_share is not None and not 0 <= self.replay_share < 1:
            raise InputError(f"the replay share is {self.replay_share}; a share from 0 to below 1 is needed")
        if self.phantoms < 0 or self.seed < 0:
            raise InputError("the number of phantoms and the seed are 0 or more")
        if not self.states:
            raise InputError("no state of cases is named to train on; name at least one, such as approved")


@dataclass(frozen=True)
class RunInputs:
    """`inputs.json` of a run and of the version that it became: the labels by their hashes, and what else decides.

    `replayed` are the patients that the release it starts from has seen; `parent` and `parent_digest` that release
    ("" for a training from scratch).
    """

    settings: RetrainSettings
    recipe: Recipe
    cases: tuple[LabelledCase, ...]
    replayed: tuple[str, ...]
    frozen_sha256: str
    parent: str = ""
    parent_digest: str = ""

    @property
    def has_mass(self) -> bool:
        """Whether a mass is labelled in any case."""
        return any(case.has_mass for case in self.cases)


def choose_inputs(store: LabelStore, registry: Registry, frozen: FrozenSet, settings: RetrainSettings) -> RunInputs:
    """The labels that there are now, without those of frozen patients, and the weights to begin with.

    Raises `InputError` when no label is left to train on.
    """
    cases = without_frozen(labelled_cases(store, settings.states), frozen)
    if not cases:
        states = ", ".join(state.value for state in settings.states)
        raise InputError(
            f"no label of a patient outside the frozen validation set is {states}; label more cases, or name other "
            "states to train on"
        )
    now = registry.current()
    base = STARTER if now is None else registry.release_of(now.version)
    card = read_card(base)
    warm = settings.start is Start.WARM
    return RunInputs(
        settings=settings,
        recipe=_recipe(card.recipe, settings),
        cases=cases,
        replayed=_replayed(registry, now.version if now else "", cases),
        frozen_sha256=frozen.sha256,
        parent=(now.version if now else STARTER_NAME) if warm else "",
        parent_digest=load_release(base).digest if warm else "",
    )


def parent_folder(registry: Registry, inputs: RunInputs) -> Path | None:
    """The folder of the release that a run starts from; None from scratch."""
    if not inputs.parent:
        return None
    return STARTER if inputs.parent == STARTER_NAME else registry.release_of(inputs.parent)


def parent_weights(folder: Path) -> tuple[tuple[str, Path], ...]:
    """The files of weights of a release by stage, members in order."""
    files = sorted(read_card(folder).files, key=lambda file: (file.stage, file.member))
    return tuple((file.stage, folder / file.name) for file in files)


def write_inputs(run: Path, inputs: RunInputs) -> None:
    """Write down what a run starts from, once."""
    write_durably(run / INPUTS, inputs_text(inputs))


def inputs_text(inputs: RunInputs) -> str:
    """The JSON text of `inputs.json`."""
    return json.dumps(to_json(inputs), indent=1) + "\n"


def read_inputs(folder: Path) -> RunInputs:
    """What a run, or the version that it became, started from. Raises `InputError`."""
    try:
        return from_json(RunInputs, json.loads((folder / INPUTS).read_text(encoding="utf-8")), where=INPUTS)
    except (OSError, ValueError, RecipeError) as error:
        raise InputError(f"{folder} does not say what it was trained on; it is no training of a label store") from error


def trained_patients(registry: Registry) -> frozenset[str]:
    """The patients that any version of a registry was trained on."""
    places = [registry.place(version.name) for version in registry.versions()]
    return frozenset(case.patient for place in places if (place / INPUTS).exists() for case in read_inputs(place).cases)


def _recipe(of_parent: Recipe, settings: RetrainSettings) -> Recipe:
    warm = settings.start is Start.WARM
    recipe = of_parent
    if settings.recipe:
        recipe = recipe_named(settings.recipe)
    elif not warm:  # as it was written, not as an earlier warm start slowed it down
        recipe = next((known for known in RECIPES if known.name == of_parent.name), of_parent)
    highest = settings.learning_rate or (WARM_LEARNING_RATE if warm else None)
    if highest is None:
        return recipe

    def slower(_: str, stage: Stage) -> Stage:
        rate = min(stage.training.learning_rate, highest)
        return replace(stage, training=replace(stage.training, learning_rate=rate))

    return recipe.with_stages(slower)


def _replayed(registry: Registry, version: str, cases: Sequence[LabelledCase]) -> tuple[str, ...]:
    """The patients all of whose labels the published version was trained on, as they are."""
    if not version or not (registry.place(version) / INPUTS).exists():  # of a release from elsewhere nobody knows
        return ()
    seen = {(case.image_id, case.sha256) for case in read_inputs(registry.place(version)).cases}
    patients = {case.patient for case in cases}
    return tuple(sorted(patients - {case.patient for case in cases if (case.image_id, case.sha256) not in seen}))
