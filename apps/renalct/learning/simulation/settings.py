"""What is simulated: which strategies, how often, how much is labelled, and on which network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from renalct.core.errors import InputError, RecipeError
from renalct.learning.acquisition.strategies import Strategy
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Field, Masking, Recipe, Stage
from renalct.models.recipes.starter import SEGMENT, STARTER
from renalct.models.training_settings import Augmentation

START, FULL = "start", "full"
"""Stand among the strategies for what every strategy starts from, and for labelling the whole pool at once."""

_COARSE = replace(
    SEGMENT,
    field=Field.WHOLE_VOLUME,
    geometry=replace(SEGMENT.geometry, spacing_mm=(3.0, 3.0, 3.0), patch=None),
    network=NetworkSpec(Architecture.UNET, channels=(16, 32, 64, 128), strides=((2, 2, 1),) * 3),
    mass_weight=1.0,
    near_located_mm=None,
    mirror_averaged=False,  # a second answer costs as much as the first, and disagreement asks for both by itself
    training=replace(
        SEGMENT.training,
        learning_rate=5e-3,  # few steps: at 3e-3 a network of 119 patients was no better than one of 8
        warm_up_steps=20,
        batch=8,
        patch=(64, 64, 1),  # for training alone: an image is small enough to be seen whole
        steps=300,
        pasted_share=0.0,  # a label must be worth what it shows, not what can be made of it
        ema_decay=0.95,
        augmentation=Augmentation(mirror=True),
    ),
)
COARSE: Recipe = replace(
    STARTER,
    name="coarse",
    source="renalct",
    localize=None,
    segment=_COARSE,
    segment_too=None,
    classify=None,
    least_parenchyma_share=0.0,
    least_mass_confidence=0.0,
)
"""What one processor core trains in half a minute: relative gains are asked for, not the best Dice."""


@dataclass(frozen=True)
class SimulationSettings:
    """`start` cases are labelled before the first round, `per_round` in each of `rounds` queries after it.

    The start is trained for `start_steps` from random weights, and each round goes on from the weights before it for
    `steps`, as a loop of annotation does. `test_share` of the patients are never labelled and measured on; who they are
    depends on `test_seed` alone, and who starts on the seed of a run.
    """

    strategies: tuple[Strategy, ...] = (Strategy.RANDOM, Strategy.FG_RANDOM, Strategy.ENTROPY, Strategy.CLASPE)
    seeds: int = 3
    rounds: int = 3
    per_round: int = 3
    start: int = 3
    start_steps: int = 120
    steps: int = 60
    test_share: float = 0.25
    test_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("seeds", "rounds", "per_round", "start", "start_steps", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name.replace('_', '-')} is {getattr(self, name)}; 1 or more is needed")
        if not self.strategies or len(set(self.strategies)) < len(self.strategies):
            raise InputError("give every strategy once, and at least one")
        if Strategy.SUSPECTED_ERROR in self.strategies:
            raise InputError(
                "suspected_error orders cases that are labelled already, and a simulation starts without labels; "
                "leave it out"
            )
        if not 0 < self.test_share < 1:
            raise InputError(f"the test share is {self.test_share}; a share between 0 and 1 is needed")

    @property
    def most_cases(self) -> int:
        """How many cases are labelled after the last round."""
        return self.start + self.rounds * self.per_round

    @property
    def all_steps(self) -> int:
        """How many steps a network has seen after the last round."""
        return self.start_steps + self.rounds * self.steps

    @property
    def budgets(self) -> tuple[int, ...]:
        """How many cases are labelled in each round, the start first."""
        return tuple(self.start + n * self.per_round for n in range(self.rounds + 1))


def simulated(recipe: Recipe) -> Recipe:
    """The segmenting stage of a recipe alone, on whole images, with one member.

    Raises `RecipeError` for a stage that does not segment kidneys, which no simulation can start from.
    """
    stage: Stage = recipe.segment
    if not stage.finds_kidneys:
        raise RecipeError(
            f"the segment stage of {recipe.name} finds no kidneys by itself; choose coarse, starter or zang2021"
        )
    alone = replace(
        stage,
        field=Field.WHOLE_VOLUME,
        masking=Masking.NONE,
        near_located_mm=None,
        members=1,
        training=replace(stage.training, epochs=None),
    )
    return replace(recipe, localize=None, segment=alone, segment_too=None, classify=None)
