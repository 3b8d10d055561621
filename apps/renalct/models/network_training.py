"""The networks of a run, trained one after the other: what each sees, how it is validated and written down."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from renalct.models.array_cache import ArrayCache
from renalct.models.cases import CaseFile, phantom_files
from renalct.models.engine import Job, Pace, Score, Status, Validate, Watch, train_network
from renalct.models.lineage import Ensemble
from renalct.models.parallel import Team
from renalct.models.prepared_cases import PreparedCase, prepare_cases, read_prepared
from renalct.models.pretrained import Weights, read_weights, starting_weights
from renalct.models.recipe import Stage
from renalct.models.run_folder import RunRecord, finest_spacing, network_folder
from renalct.models.run_plan import RunPlan, RunWatch, Told
from renalct.models.samples import Sampler, class_counts, class_weights
from renalct.models.splits import Patient, Split, split_into_folds
from renalct.models.tracking import History, MLflow, TensorBoard, Tracker
from renalct.models.trained import MEMBER_SEED
from renalct.models.training_settings import Balance, Select
from renalct.models.validation_loss import ValidationLoss

_FIRST_VALIDATION_PHANTOM, _MOST_VALIDATION_PHANTOMS, _PHANTOMS_PER_VALIDATION = 800_000, 4, 5


@dataclass(frozen=True, eq=False)
class RunningRun:
    """A run whose cases are prepared: what it is, who its patients are, and how it is carried out."""

    folder: Path
    record: RunRecord
    split: Split
    patients: tuple[CaseFile, ...]
    plan: RunPlan
    watch: RunWatch
    team: Team


@dataclass(frozen=True, eq=False)
class _Network:
    """One network of a run: its stage as that member sees it, the patients it learns from, and the cases that it is
    validated on."""

    name: str
    stage: Stage
    member: int
    seen: frozenset[str]
    held_out: tuple[CaseFile, ...]


def train_networks(run: RunningRun) -> tuple[tuple[str, int, Status], ...]:
    """Train every network of the stages that the plan names; how each ended, by stage and member."""
    plan, stages = run.plan, run.record.recipe.stages
    wanted = [(name, stage) for name, stage in stages if not plan.stages or name in plan.stages]
    began, shares = time.monotonic(), sum(stage.training.time_share for _, stage in wanted)
    spent, ended = 0.0, []
    for name, stage in wanted:
        for member in range(stage.members):
            spent += stage.training.time_share / stage.members / shares
            until = None if plan.minutes is None else began + 60 * plan.minutes * spent
            seen, held_out = _patients_of(run, stage, member)
            status = _train(run, _Network(name, stage.seen_by(member), member, seen, held_out), until)
            ended.append((name, member, status))
            if status.ended.startswith("stopped"):
                return tuple(ended)
    return tuple(ended)


def _patients_of(run: RunningRun, stage: Stage, member: int) -> tuple[frozenset[str], tuple[CaseFile, ...]]:
    """The patients a member learns from, and the cases it is validated on: of the split, or of its own fold."""
    settings, split = run.record.settings, run.split
    seen, held = split.training, split.validation
    if settings.ensemble is Ensemble.FOLDS and stage.members > 1:
        patients = [Patient(name) for name in split.training]
        fold = split_into_folds(patients, stage.members, seed=settings.seed)[member]
        seen, held = fold.training, fold.validation
    files = [f for f in run.patients if f.patient in set(held)]
    if not files:
        count = min(_MOST_VALIDATION_PHANTOMS, settings.phantoms // _PHANTOMS_PER_VALIDATION)
        seeds = range(_FIRST_VALIDATION_PHANTOM, _FIRST_VALIDATION_PHANTOM + count)
        files = list(phantom_files(seeds, spacing_mm=finest_spacing(run.record.recipe)))
    files.sort(key=lambda f: f.name)
    return frozenset(seen), tuple(files[: settings.validation_cases])


def _train(run: RunningRun, network: _Network, until: float | None) -> Status:
    plan, stage, member = run.plan, network.stage, network.member
    seed = run.record.settings.seed + MEMBER_SEED * member
    pool = read_prepared(run.folder / "cases" / network.name, network.seen, cache=ArrayCache(plan.cache_mb))
    replay = run.record.settings.replay_share
    sampler = Sampler(stage, pool, seed=seed, replayed=frozenset(plan.replayed), replay_share=replay)
    steps = _steps(plan, network, sampler.samples_per_epoch)
    weighted = bool(stage.classes) and stage.training.balance is Balance.WEIGHTS
    job = Job(
        name=network.name if stage.members == 1 else f"{network.name} {member}",
        stage=stage,
        draw=sampler.batch,
        folder=network_folder(run.folder, network.name, member),
        steps=steps,
        seed=seed,
        class_weights=class_weights(pool) if weighted else (),
        weights=_starting_weights(plan, network, seed),
    )
    quiet = Status(0, steps, math.nan, 0.0)
    run.watch.tell(Told(network.name, member, quiet, note=pool_note(stage, pool, sampler.samples_per_epoch)))
    validate = _validate(run, network) if run.team.first else None
    every = _every(run.record.settings.validations, steps) if network.held_out else None
    if stage.training.select is not Select.LAST and every is None:
        run.watch.tell(Told(network.name, member, quiet, note="nothing to validate on: the last weights are kept"))
    last = _named(plan.stop_after, network)
    pace = Pace(until, run.watch.stop, validate_every=every, patience=run.record.settings.patience, last_step=last)
    trackers = _trackers(run, job)
    watch = Watch(lambda status: run.watch.tell(Told(network.name, member, status)), validate, trackers)
    return train_network(job, machine=plan.machine, team=run.team, pace=pace, watch=watch)


def _steps(plan: RunPlan, network: _Network, samples_per_epoch: int) -> int:
    training, planned = network.stage.training, _named(plan.planned_steps, network)
    if planned is not None or plan.steps is not None:
        return planned or plan.steps or 1
    if plan.epochs is not None:
        return plan.epochs * training.steps_per_epoch(samples_per_epoch)
    return training.steps_for(samples_per_epoch)


def _named(numbers: Sequence[tuple[str, int, int]], network: _Network) -> int | None:
    """The number of a network among those given by stage and member."""
    return next((n for name, member, n in numbers if (name, member) == (network.name, network.member)), None)


def _every(validations: int, steps: int) -> int | None:
    return max(1, steps // validations) if validations else None


def _starting_weights(plan: RunPlan, network: _Network, seed: int) -> Weights | None:
    """The weights that a network starts from: of the files for its stage, members take one each in turn."""
    paths = [path for name, path in plan.started_from if name == network.name]
    if not paths:
        return None
    path = paths[network.member % len(paths)]
    return starting_weights(network.stage, read_weights(path), seed=seed, source=path.name)


def pool_note(stage: Stage, pool: Sequence[PreparedCase], samples_per_epoch: int) -> str:
    """What a network learns from, and what is done about classes of unequal size, in words."""
    if stage.classes:
        counts = ", ".join(f"{n} {c.title}" for c, n in zip(stage.classes, class_counts(pool), strict=True))
        balance = stage.training.balance.value
        if stage.training.balance is Balance.WEIGHTS:
            each = zip(stage.classes, class_weights(pool), strict=True)
            balance += " (" + ", ".join(f"{c.title} {weight:.2f}" for c, weight in each) + ")"
        return f"learns from {counts} masses; {balance}"
    with_mass = sum(len(case.spots[1]) > 0 for case in pool)
    partial = sum(any(not s <= case.assessed for s in (t.structures for t in stage.targets)) for case in pool)
    shares = (
        f"{stage.training.foreground_share:.0%} of the samples are placed on kidneys and masses, masses twice as often"
    )
    told = [f"learns from {len(pool)} inputs, {with_mass} with a mass", f"one epoch is {samples_per_epoch} samples"]
    if stage.training.foreground_share:
        told.append(shares)
    if stage.training.pasted_share:
        told.append(f"a mass is pasted onto {stage.training.pasted_share:.0%}")
    if partial:
        told.append(f"{partial} do not assess every class, which their loss leaves out")
    return "; ".join(told)


def _validate(run: RunningRun, network: _Network) -> Validate | None:
    """Scores weights by the loss on held-out samples and, where someone gave a validator, on whole volumes."""
    if not network.held_out:
        return None
    stage, folder = network.stage, run.folder / "held_out"
    prepare_cases(network.held_out, run.record.recipe.stages, folder, workers=run.plan.workers)
    pool = read_prepared(folder / network.name, frozenset(f.patient for f in network.held_out))
    loss = ValidationLoss(stage, pool, run.plan.machine) if pool else None
    whole = None
    if run.watch.validator:
        whole = run.watch.validator(run.folder, network.name, network.member, network.held_out)
    if loss is None and whole is None:
        return None

    def validate(weights: dict[str, torch.Tensor]) -> Score:
        number = math.nan if loss is None else loss(weights)
        score = Score(-number) if whole is None else whole(weights)
        value = -number if stage.training.select is Select.BEST_LOSS else score.value
        return Score(value, (("validation_loss", number), *score.numbers))

    return validate


def _trackers(run: RunningRun, job: Job) -> tuple[Tracker, ...]:
    if not run.team.first:
        return ()
    training, name = job.stage.training, job.folder.name
    found: list[Tracker] = [History(job.folder)]
    if "tensorboard" in run.plan.trackers:
        found.append(TensorBoard(run.folder / "tensorboard", name))
    if "mlflow" in run.plan.trackers:
        facts = (("seed", job.seed), ("steps", job.steps), ("batch", training.batch), ("rate", training.learning_rate))
        found.append(MLflow(run.folder, f"{run.record.recipe.name} {name}", facts))
    return tuple(found)
