"""The training loop: it learns, and after any stop it goes on as if there had been none."""

import itertools
import math
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from bright_kidney import PLAIN, STAGE, bright_is_kidney, distance, job, same, weights
from renalct.core.errors import InputError, RecipeError
from renalct.models.checkpoint import BEST, CHECKPOINT, averaged_weights
from renalct.models.engine import Pace, Score, Watch, train_network
from renalct.models.machine import Machine
from renalct.models.recipe import Stage
from renalct.models.training_settings import DiceOver, Optimizer


class Killed(Exception):
    pass


def test_the_loss_falls(tmp_path):
    told = []
    train_network(job(tmp_path), watch=Watch(told.append))
    assert [s.step for s in told] == list(range(1, 41))
    assert told[-1].loss < 0.85 * told[0].loss  # a running mean: 45 % of it is still the first step


@pytest.mark.parametrize("optimizer", [Optimizer.ADAMW, Optimizer.SGD_NESTEROV])
def test_a_training_that_was_stopped_goes_on_identically(tmp_path, optimizer):
    stage = replace(STAGE, training=replace(STAGE.training, optimizer=optimizer, steps=8))
    train_network(job(tmp_path / "whole", stage))

    def kill(status):
        if status.step == 5:
            raise Killed

    with pytest.raises(Killed):  # steps 1 to 5 are lost: there is no checkpoint yet
        train_network(job(tmp_path / "parts", stage), watch=Watch(kill))
    assert not (tmp_path / "parts" / CHECKPOINT).exists()
    for stop in (3, 3, 8):
        limited = itertools.count()

        def draw(step, numbers, stop=stop, limited=limited):
            if step >= stop:
                raise Killed
            next(limited)
            return bright_is_kidney(step, numbers)

        try:
            train_network(job(tmp_path / "parts", stage, draw=draw), pace=Pace(save_every_seconds=0.0))
        except Killed:
            torch.rand(100)  # whatever happens in between must not matter
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


TRAINING_PROCESS = """
import sys
from dataclasses import replace
from pathlib import Path
from bright_kidney import STAGE, job
from renalct.models.engine import Pace, train_network
import torch
torch.set_num_threads(1)
stage = replace(STAGE, training=replace(STAGE.training, steps=300))
train_network(job(Path(sys.argv[1]), stage), pace=Pace(save_every_seconds=0.0))
"""


@pytest.fixture
def one_thread():
    """As in the other process: sums in another order are other sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_process_that_is_killed_is_continued_identically(tmp_path, one_thread):
    stage = replace(STAGE, training=replace(STAGE.training, steps=300))
    train_network(job(tmp_path / "whole", stage))
    path = tmp_path / "parts" / CHECKPOINT
    command = [sys.executable, "-c", TRAINING_PROCESS, str(tmp_path / "parts")]
    process = subprocess.Popen(command, cwd=Path(__file__).parent)
    while process.poll() is None and not path.exists():
        time.sleep(0.01)
    time.sleep(0.1)  # somewhere among the 300 steps, each of which writes a checkpoint
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 0 < averaged_weights(tmp_path / "parts")[1] < 300
    train_network(job(tmp_path / "parts", stage))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_time_that_is_up_leaves_a_checkpoint_and_says_so(tmp_path):
    status = train_network(job(tmp_path), pace=Pace(deadline=time.monotonic() - 1))
    assert (status.step, status.ended) == (0, "time is up") and averaged_weights(tmp_path)[1] == 0


def test_somebody_who_asks_stops_it_after_the_step(tmp_path):
    asked = []
    status = train_network(
        job(tmp_path), pace=Pace(stop=lambda: len(asked) == 3), watch=Watch(lambda s: asked.append(s.step))
    )
    assert (status.step, status.ended) == (3, "stopped by request") and averaged_weights(tmp_path)[1] == 3


def test_a_last_step_changes_nothing_about_those_before(tmp_path):
    train_network(job(tmp_path / "short"), pace=Pace(last_step=4))
    train_network(
        job(tmp_path / "long"), pace=Pace(save_every_seconds=0.0, stop=(stop for stop in (0, 0, 0, 0, 1)).__next__)
    )
    assert averaged_weights(tmp_path / "long")[1] == 4
    assert same(weights(tmp_path / "short"), weights(tmp_path / "long"))


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    train_network(job(tmp_path, steps=1))
    with pytest.raises(RecipeError, match="another recipe"):
        train_network(job(tmp_path, replace(STAGE, margin_mm=3.0), steps=2))


def test_a_loss_that_is_not_finite_names_step_and_stage_and_keeps_the_last_checkpoint(tmp_path):
    train_network(job(tmp_path, steps=2))
    before = weights(tmp_path)

    def broken(step, numbers):
        image, target = bright_is_kidney(step, numbers)
        return image * float("nan"), target

    with pytest.raises(RecipeError, match=r"loss of segment is not finite at step 2.*lower the learning rate \(0.01\)"):
        train_network(job(tmp_path, draw=broken, steps=4))
    assert same(before, weights(tmp_path))


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(tmp_path, monkeypatch):
    train_network(job(tmp_path, steps=2))
    before = weights(tmp_path)
    monkeypatch.setattr(torch.nn.utils, "get_total_norm", lambda gradients: torch.tensor(math.inf))
    with pytest.raises(RecipeError, match="gradient of segment is not finite at step 2"):
        train_network(job(tmp_path, steps=4))
    assert same(before, weights(tmp_path))


def test_a_batch_in_parts_gives_the_weights_of_the_whole_batch(tmp_path):
    """To rounding: the sums are taken in another order."""
    stage = replace(PLAIN, training=replace(PLAIN.training, steps=5))
    train_network(job(tmp_path / "whole", stage))
    for parts in (2, 4):
        train_network(job(tmp_path / f"{parts}", stage), machine=Machine(accumulate=parts))
        assert distance(weights(tmp_path / "whole"), weights(tmp_path / f"{parts}")) < 1e-4
    train_network(job(tmp_path / "other", stage, seed=1))
    assert distance(weights(tmp_path / "whole"), weights(tmp_path / "other")) > 1e-2


def test_a_dice_over_the_batch_is_one_over_each_part(tmp_path):
    stage = replace(PLAIN, training=replace(PLAIN.training, steps=5, dice_over=DiceOver.BATCH))
    train_network(job(tmp_path / "whole", stage))
    train_network(job(tmp_path / "parts", stage), machine=Machine(accumulate=2))
    assert distance(weights(tmp_path / "whole"), weights(tmp_path / "parts")) > 1e-4


@pytest.mark.parametrize(
    "machine", [Machine(loaders=2), Machine(deterministic=True)], ids=["background loaders", "deterministic"]
)
def test_how_it_is_computed_does_not_change_what_is_learned(tmp_path, machine):
    train_network(job(tmp_path / "plain", steps=6))
    train_network(job(tmp_path / "other", steps=6), machine=machine)
    assert same(weights(tmp_path / "plain"), weights(tmp_path / "other"))
    assert not torch.are_deterministic_algorithms_enabled()


NO_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler: apt-get install g++")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # PyTorch's own, when inductor is imported
@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=NO_COMPILER)])
def test_a_compiled_network_learns_the_same_to_rounding(tmp_path, compiler):
    stage = replace(PLAIN, training=replace(PLAIN.training, steps=3))
    train_network(job(tmp_path / "plain", stage))
    train_network(job(tmp_path / "compiled", stage), machine=Machine(compiler=compiler))
    assert weights(tmp_path / "plain").keys() == weights(tmp_path / "compiled").keys()
    assert distance(weights(tmp_path / "plain"), weights(tmp_path / "compiled")) < 1e-4


@dataclass(frozen=True)
class Scaled(Machine):
    """A machine whose gradients are scaled as in float16."""

    def scaler(self, stage: Stage) -> torch.amp.GradScaler:
        return torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=2)


def test_a_scaler_skips_steps_that_overflow_and_survives_a_stop(tmp_path):
    """At 2^127 the first gradients are infinite: the scale is halved until they are not, and grows again."""
    train_network(job(tmp_path / "whole", steps=8), machine=Scaled())
    assert all(bool(torch.isfinite(tensor).all()) for tensor in weights(tmp_path / "whole").values())
    for last in (3, 5, 8):
        train_network(job(tmp_path / "parts", steps=8), machine=Scaled(), pace=Pace(last_step=last))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def scores(*values):
    """A validation that gives one value after the other."""
    left = iter(values)
    return lambda weights: Score(next(left), (("value", 1.0),))


def test_the_best_validated_weights_are_kept_beside_the_last(tmp_path):
    seen = []

    def validate(weights):
        seen.append({name: tensor.clone() for name, tensor in weights.items()})
        return Score((0.2, 0.9, math.nan, 0.4)[len(seen) - 1])

    status = train_network(job(tmp_path, steps=8), pace=Pace(validate_every=2), watch=Watch(validate=validate))
    assert (len(seen), status.best, status.ended) == (4, 0.9, "")
    best, step = averaged_weights(tmp_path, best=True)
    assert step == 4 and same(best, seen[1])
    assert averaged_weights(tmp_path)[1] == 8 and same(weights(tmp_path), seen[3])


def test_without_a_validation_the_last_weights_are_the_best(tmp_path):
    train_network(job(tmp_path, steps=2))
    assert not (tmp_path / BEST).exists() and averaged_weights(tmp_path, best=True)[1] == 2


def test_training_ends_when_validation_no_longer_improves_and_stays_ended(tmp_path):
    pace = Pace(validate_every=1, patience=2)
    status = train_network(job(tmp_path), pace=pace, watch=Watch(validate=scores(0.5, 0.7, 0.6, 0.7, 0.9)))
    assert (status.step, status.ended) == (4, "no better validation in 2")
    again = train_network(job(tmp_path), pace=pace, watch=Watch(validate=scores(1.0)))
    assert again.step == 4 and again.ended


def test_early_stopping_counts_across_a_stop(tmp_path):
    pace = Pace(validate_every=1, patience=3, last_step=2)
    train_network(job(tmp_path), pace=pace, watch=Watch(validate=scores(0.7, 0.6)))
    status = train_network(job(tmp_path), pace=replace(pace, last_step=None), watch=Watch(validate=scores(0.5, 0.4)))
    assert status.step == 4


def test_the_share_of_time_spent_waiting_for_samples_is_measured(tmp_path):
    def slow(step, numbers):
        time.sleep(0.05)
        return bright_is_kidney(step, numbers)

    waiting = train_network(job(tmp_path / "slow", draw=slow, steps=5)).waiting
    assert 0.05 * 5 / (0.05 * 5 + 30) < waiting < 1  # at least the sleep, were a step six seconds long
    fast = train_network(job(tmp_path / "fast", steps=5)).waiting
    assert fast < waiting


def test_memory_that_is_short_says_what_to_lower(tmp_path):
    def large(step, numbers):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with pytest.raises(InputError, match=r"memory of cpu is too small for segment \(step 0\).*--accumulate, 1 now"):
        train_network(job(tmp_path, draw=large))
