"""The training loop of one network: steps, validations, checkpoints, and an identical continuation after any stop.

Nothing random outlives a step: samples, dropout and the learning rate are functions of the seed and the step number.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from renalct.core.errors import RecipeError
from renalct.models.checkpoint import TrainingState, digest_of, restore_checkpoint, save_best, save_checkpoint
from renalct.models.learning_rate import build_optimizer, learning_rate
from renalct.models.loading import Batch, Draw, Waiting, batches
from renalct.models.losses import loss_of
from renalct.models.machine import PLAIN, Machine, failures_explained
from renalct.models.networks import build_network, load_state, placed, state_of
from renalct.models.parallel import ALONE, Team
from renalct.models.recipe import Stage
from renalct.models.tracking import Tracker

_SMALLEST_SCALE = 2.0**-10
_LOG_EVERY = 10
_KEEP_LOSS = 0.98


@dataclass(frozen=True, eq=False)
class Job:
    """One network to train: its name in messages, its stage, where samples come from, and its folder.

    `class_weights` weigh a classifier's loss; `weights` are what it starts from instead of random numbers.
    """

    name: str
    stage: Stage
    draw: Draw
    folder: Path
    steps: int
    seed: int = 0
    class_weights: tuple[float, ...] = ()
    weights: dict[str, torch.Tensor] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Pace:
    """When to stop, to save and to validate. `deadline` is a time of `time.monotonic`; `stop` says that someone asked.

    Training ends early after `patience` validations without a better one (None: never), and after `last_step`, which
    changes nothing about the steps before it.
    """

    deadline: float | None = None
    stop: Callable[[], bool] = bool
    save_every_seconds: float = 120.0
    validate_every: int | None = None
    patience: int | None = None
    last_step: int | None = None


@dataclass(frozen=True)
class Status:
    """How far a training is; `loss` is a running mean, `waiting` the share of time without samples to compute.

    `ended` says why a training ended before its last step ("" while it goes on, and after the last).
    """

    step: int
    steps: int
    loss: float
    seconds_per_step: float
    waiting: float = 0.0
    best: float = -math.inf
    ended: str = ""

    @property
    def seconds_left(self) -> float:
        """The time that the remaining steps will take, without validations."""
        return (self.steps - self.step) * self.seconds_per_step


@dataclass(frozen=True)
class Score:
    """How good validated weights are (higher is better), and the numbers behind it."""

    value: float
    numbers: tuple[tuple[str, float], ...] = ()


Validate = Callable[[dict[str, torch.Tensor]], Score]


@dataclass(frozen=True, eq=False)
class Watch:
    """Who looks on: `tell` hears of every step, `validate` scores the averaged weights, trackers write down."""

    tell: Callable[[Status], None] | None = None
    validate: Validate | None = None
    trackers: tuple[Tracker, ...] = ()

    def write(self, step: int, numbers: tuple[tuple[str, float], ...]) -> None:
        """Have every tracker write numbers down."""
        for tracker in self.trackers:
            tracker.write(step, numbers)


def train_network(
    job: Job, *, machine: Machine = PLAIN, team: Team = ALONE, pace: Pace = Pace(), watch: Watch = Watch()
) -> Status:
    """Train a network until its steps are done, time is up or validation no longer improves, from the checkpoint in
    the job's folder if there is one, and leave a checkpoint there.

    Raises `RecipeError` when the checkpoint is of another recipe or a number is not finite, `InputError` when memory is
    short or a loader is lost, `OutputError` when nothing can be written. The last checkpoint is then kept.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    loop = _Loop(job, machine, team, pace, watch)
    with machine.arithmetic(), failures_explained(job.name, machine, lambda: loop.state.step):
        return loop.run()


class _Loop:
    """The loop of one `train_network`."""

    def __init__(self, job: Job, machine: Machine, team: Team, pace: Pace, watch: Watch) -> None:
        self.job, self.machine, self.team, self.pace, self.watch = job, machine, team, pace, watch
        self.parts = machine.parts(job.stage.training.batch, rank=team.rank, size=team.size)
        network = team.prepared(build_network(job.stage, seed=job.seed))
        if job.weights is not None:
            load_state(network, job.weights)
        network = placed(network, job.stage, machine.device).train()
        average = {name: tensor.clone() for name, tensor in state_of(network).items()}
        optimizer = build_optimizer(job.stage.training, network)
        self.state = TrainingState(
            network,
            optimizer,
            machine.scaler(job.stage),
            average,
            planned_steps=job.steps,
            stage_sha256=digest_of(job.stage),
        )
        restore_checkpoint(self.state, job.folder)
        if team.first:
            for tracker in watch.trackers:
                tracker.begin(self.state.step)
        self.forward = team.shared(machine.compiled(network))
        self.class_weights = torch.tensor(job.class_weights, device=machine.device) if job.class_weights else None
        self.waiting, self.busy_since, self.first = Waiting(), time.monotonic(), self.state.step

    def run(self) -> Status:
        """Steps until something ends them."""
        state, job = self.state, self.job
        saved = self.busy_since = time.monotonic()
        steps = range(state.step, job.steps)
        source = batches(job.draw, self.parts, steps, machine=self.machine, waiting=self.waiting)
        ended = self._ended()
        with contextlib.closing(source):
            while state.step < job.steps and not ended:
                loss = self._step(next(source))
                state.loss = loss if math.isnan(state.loss) else _KEEP_LOSS * state.loss + (1 - _KEEP_LOSS) * loss
                state.step += 1
                self._tell()
                validated = self._validate()
                if validated or time.monotonic() - saved > self.pace.save_every_seconds:
                    self._save()
                    saved = time.monotonic()
                ended = self._ended()
        self._save()
        return replace(self._status(), ended=ended if state.step < job.steps else "")

    def _step(self, parts: list[Batch]) -> float:
        """One update of the weights from a batch in parts; the mean loss of the team."""
        job, state, training = self.job, self.state, self.job.stage.training
        torch.manual_seed(job.seed * 1_000_003 + state.step + self.team.rank * 0x5DEECE66D)
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate(training, state.step, job.steps)
        state.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.machine.device)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            with self.team.unshared(self.forward) if not last else contextlib.nullcontext():
                loss = self._loss(part) / len(parts)
                state.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        mean = float(self.team.mean(total))
        if not math.isfinite(mean):
            raise RecipeError(self._not_finite("loss"))
        self._update(state.network)
        return mean

    def _loss(self, part: Batch) -> torch.Tensor:
        images, targets = (tensor.to(self.machine.device, non_blocking=True) for tensor in part)
        layout = torch.channels_last if images.ndim == 4 else torch.channels_last_3d
        images = images.contiguous(memory_format=layout)
        stage = self.job.stage
        with self.machine.autocast(stage):
            output = self.forward(images)
        return loss_of(output.float(), targets, stage, class_weights=self.class_weights, team=self.team)

    def _update(self, network: nn.Module) -> None:
        """Move the weights and their average, unless a gradient is not finite."""
        state, training = self.state, self.job.stage.training
        state.scaler.unscale_(state.optimizer)
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        finite = math.isfinite(float(norm))
        if not finite and (not state.scaler.is_enabled() or state.scaler.get_scale() < _SMALLEST_SCALE):
            raise RecipeError(self._not_finite("gradient"))
        if finite and training.clip_gradient:
            nn.utils.clip_grads_with_norm_(network.parameters(), training.clip_gradient, norm)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.averaged(training.ema_decay)

    def _not_finite(self, what: str) -> str:
        training = self.job.stage.training
        return (
            f"the {what} of {self.job.name} is not finite at step {self.state.step}; the last checkpoint is kept: "
            f"lower the learning rate ({training.learning_rate:g}), or clip the gradient (at "
            f"{training.clip_gradient:g}; 0 is not at all), and start anew; or resume with --precision float32"
        )

    def _validate(self) -> bool:
        """Score the averaged weights when it is time; whether it was."""
        state, every = self.state, self.pace.validate_every
        if self.watch.validate is None or every is None:
            return False
        if state.step % every and state.step != self.job.steps:
            return False
        began, value = time.monotonic(), math.nan
        if self.team.first:
            score = self.watch.validate(state.average)
            value = score.value
            self.watch.write(state.step, score.numbers)
        value = self.team.told(value)
        better = value > state.best
        state.best, state.since_best = (value, 0) if better else (state.best, state.since_best + 1)
        if better and self.team.first:
            save_best(state, self.job.folder)
        self.busy_since += time.monotonic() - began
        return True

    def _ended(self) -> str:
        """Why to stop now, the same in every process; "" to go on."""
        state, pace = self.state, self.pace
        if pace.patience is not None and state.since_best >= pace.patience:
            return f"no better validation in {state.since_best}"
        if pace.last_step is not None and state.step >= pace.last_step:
            return f"step {pace.last_step} was to be the last"
        due = pace.deadline is not None and time.monotonic() >= pace.deadline
        answer = self.team.told(2.0 if pace.stop() else 1.0 if due else 0.0)
        return ("", "time is up", "stopped by request")[int(answer)]

    def _tell(self) -> None:
        state = self.state
        if not self.team.first:
            return
        if state.step % _LOG_EVERY == 0 or state.step == self.job.steps:
            rate = learning_rate(self.job.stage.training, state.step - 1, self.job.steps)
            self.watch.write(state.step, (("loss", state.loss), ("learning_rate", rate)))
        if self.watch.tell:
            self.watch.tell(self._status())

    def _status(self) -> Status:
        state, spent = self.state, time.monotonic() - self.busy_since
        taken = spent / max(1, state.step - self.first)
        waiting = self.waiting.seconds / spent if spent else 0.0
        return Status(state.step, self.job.steps, state.loss, taken, min(1.0, waiting), state.best)

    def _save(self) -> None:
        if self.team.first:
            save_checkpoint(self.state, self.job.folder)
        self.team.wait()
