"""The learning rate of each step, by hand."""

import pytest
import torch
from renalct.models.learning_rate import build_optimizer, learning_rate
from renalct.models.training_settings import Optimizer, Schedule, Training


def rates(schedule, steps=1000, warm_up_steps=50):
    training = Training(learning_rate=1.0, schedule=schedule, warm_up_steps=warm_up_steps)
    return [learning_rate(training, step, steps) for step in range(steps + 1)]


def test_the_cosine_rises_then_falls_to_a_fiftieth():
    found = rates(Schedule.COSINE)
    assert found[0] == pytest.approx(1 / 50, rel=1e-3) and max(found) == pytest.approx(1.0, abs=0.01)
    assert found[500] == pytest.approx(0.51) and found[1000] == pytest.approx(0.02)


def test_the_polynomial_of_nnu_net_falls_to_nothing():
    found = rates(Schedule.POLYNOMIAL, warm_up_steps=0)
    assert found[0] == 1.0 and found[1000] == 0.0
    assert found[500] == pytest.approx(0.5**0.9) and found[900] == pytest.approx(0.1**0.9)


def test_a_constant_rate_is_constant_without_a_warm_up():
    assert set(rates(Schedule.CONSTANT, warm_up_steps=0)) == {1.0}


def test_the_warm_up_takes_at_most_a_tenth_of_a_short_training():
    assert rates(Schedule.CONSTANT, steps=20)[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert rates(Schedule.CONSTANT, steps=1)[0] == 1.0


@pytest.mark.parametrize(
    ("optimizer", "kind"),
    [
        (Optimizer.ADAM, torch.optim.Adam),
        (Optimizer.ADAMW, torch.optim.AdamW),
        (Optimizer.SGD_NESTEROV, torch.optim.SGD),
    ],
)
def test_each_optimizer_has_the_settings_of_the_recipe(optimizer, kind):
    training = Training(optimizer=optimizer, learning_rate=0.06, momentum=0.99, weight_decay=1e-5)
    built = build_optimizer(training, torch.nn.Linear(1, 1))
    assert type(built) is kind
    group = built.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.06, 1e-5)
    if kind is torch.optim.SGD:
        assert group["momentum"] == 0.99 and group["nesterov"]
