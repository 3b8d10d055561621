"""The training loop: it learns, and after any stop it goes on as if there had been none."""

import itertools
import time
from dataclasses import replace

import pytest
import torch
from renalct.core.errors import RecipeError
from renalct.models.engine import CHECKPOINT, Pace, averaged_weights, learning_rate, loss_of, train_network
from renalct.models.recipe import Activation, Architecture, Geometry, NetworkSpec, Target
from renalct.models.recipes import recipe_named
from renalct.models.training_settings import Loss, Optimizer, Training

STAGE = replace(
    recipe_named("starter").segment,
    geometry=Geometry(patch=(16, 16, 8)),
    network=NetworkSpec(
        Architecture.UNET, channels=(4, 8, 16), strides=((2, 2, 2),) * 2, residual_units=1, dropout=0.2
    ),
    targets=(Target.KIDNEY,),
    training=Training(optimizer=Optimizer.ADAMW, learning_rate=0.01, batch=2, steps=40, ema_decay=0.9),
)


def bright_is_kidney(step: int):
    generator = torch.Generator().manual_seed(step)
    image = torch.randn(2, 1, 16, 16, 8, generator=generator)
    image = torch.nn.functional.avg_pool3d(image, 3, 1, 1) * 5
    return image, (image[:, 0] > 0).long()


def weights(folder):
    return averaged_weights(folder)[0]


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_loss_falls(tmp_path):
    told = []
    train_network(STAGE, bright_is_kidney, tmp_path, tell=told.append)
    assert [s.step for s in told] == list(range(1, 41))
    assert told[-1].loss < 0.85 * told[0].loss  # a running mean: 45 % of it is still the first step


@pytest.mark.parametrize("optimizer", [Optimizer.ADAMW, Optimizer.SGD_NESTEROV])
def test_a_training_that_was_stopped_goes_on_identically(tmp_path, optimizer):
    stage = replace(STAGE, training=replace(STAGE.training, optimizer=optimizer, steps=8))
    train_network(stage, bright_is_kidney, tmp_path / "whole")

    class Killed(Exception):
        pass

    def kill(status):
        if status.step == 5:
            raise Killed

    with pytest.raises(Killed):  # steps 4 and 5 are lost: the last checkpoint is that of step 3
        train_network(stage, bright_is_kidney, tmp_path / "parts", pace=Pace(save_every_seconds=1e9), tell=kill)
    assert not (tmp_path / "parts" / CHECKPOINT).exists()
    for stop in (3, 3, 8):
        limited = itertools.count()

        def draw(step, stop=stop, limited=limited):
            if step >= stop:
                raise Killed
            next(limited)
            return bright_is_kidney(step)

        try:
            pace = Pace(save_every_seconds=0.0)
            train_network(stage, draw, tmp_path / "parts", pace=pace)
        except Killed:
            torch.rand(100)  # whatever happens in between must not matter
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_time_that_is_up_leaves_a_checkpoint(tmp_path):
    status = train_network(STAGE, bright_is_kidney, tmp_path, pace=Pace(deadline=time.monotonic() - 1))
    assert status.step == 0 and averaged_weights(tmp_path)[1] == 0


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train_network(STAGE, bright_is_kidney, tmp_path, pace=Pace(steps=1))
    with pytest.raises(RecipeError, match="another recipe"):
        train_network(replace(STAGE, margin_mm=3.0), bright_is_kidney, tmp_path, pace=Pace(steps=2))


def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(tmp_path):
    train_network(STAGE, bright_is_kidney, tmp_path, pace=Pace(steps=2))
    before = weights(tmp_path)

    def broken(step):
        image, target = bright_is_kidney(step)
        return image * float("nan"), target

    with pytest.raises(RecipeError, match="not finite at step 2"):
        train_network(STAGE, broken, tmp_path, pace=Pace(steps=4))
    assert same(before, weights(tmp_path))


def test_the_learning_rate_rises_then_falls_to_a_fiftieth():
    training = Training(learning_rate=1.0, steps=1000)
    rates = [learning_rate(training, step, 1000) for step in range(1001)]
    assert rates[0] == pytest.approx(1 / 50, rel=1e-3) and max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[500] == pytest.approx(0.51) and rates[1000] == pytest.approx(0.02)


def test_heads_of_deep_supervision_weigh_half_as_much_per_level():
    targets = torch.randint(0, 2, (2, 4, 4, 4))
    heads = torch.randn(2, 3, 2, 4, 4, 4)
    each = [loss_of(heads[:, n], targets, STAGE) for n in range(3)]
    assert loss_of(heads, targets, STAGE) == pytest.approx(float(each[0] + each[1] / 2 + each[2] / 4) / 1.75, rel=1e-5)


def test_a_right_answer_costs_nothing_whatever_the_loss():
    targets = torch.zeros(1, 4, 4, 4, dtype=torch.long)
    targets[:, :2] = 1
    softmax = torch.stack([20.0 * (targets == 0), 20.0 * (targets == 1)], dim=1)
    assert loss_of(softmax, targets, STAGE) == pytest.approx(0.0, abs=1e-3)
    sigmoid = replace(STAGE, activation=Activation.SIGMOID)
    logits = 40.0 * (targets[:, None] - 0.5)
    for kind in (Loss.BINARY_CROSS_ENTROPY, Loss.DICE_AND_CROSS_ENTROPY):
        stage = replace(sigmoid, training=replace(STAGE.training, loss=kind))
        assert loss_of(logits, targets[:, None].float(), stage) == pytest.approx(0.0, abs=1e-3)
