"""A training run: cases split by patient, prepared once, each network trained, and the release that comes out.

A run folder holds `run.json` (recipe, seed, what the cases are), `split.json`, `cases/<stage>/` (prepared inputs) and
`<stage>_<member>/checkpoint.safetensors`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from renalct.core.errors import OutputError, RecipeError
from renalct.models.cases import CaseFile, Origin, Split, phantom_files, split_patients
from renalct.models.engine import CHECKPOINT, Pace, Status, averaged_weights, train_network
from renalct.models.recipe import Recipe, Stage
from renalct.models.release import Card, Metric, Release, Weights
from renalct.models.samples import Sampler, prepare_cases, read_prepared
from renalct.models.values import from_json, to_json

RUN, SPLIT = "run.json", "split.json"
KITS_LICENCE = "CC BY-NC-SA 4.0 (derived from the KiTS19 and KiTS23 challenge data, Heller et al.)"
PHANTOM_LICENCE = "Apache-2.0 (trained on made images alone)"
_MOST_HELD_OUT, _HELD_OUT_SHARE = 30, 5


@dataclass(frozen=True)
class RunPlan:
    """What a run trains on and how long. `stages` are the names of the stages to train now (all by default)."""

    seed: int = 0
    phantoms: int = 120
    minutes: float | None = None
    device: str = "cpu"
    workers: int = 1
    stages: tuple[str, ...] = ()
    steps: int | None = None


@dataclass(frozen=True)
class RunRecord:
    """`run.json`: the recipe, the seed, and how many patients and phantoms the networks learn from."""

    recipe: Recipe
    seed: int
    phantoms: int
    training_patients: int
    validation_patients: int
    split_sha256: str


@dataclass(frozen=True)
class Told:
    """Where a run is: the stage ("cases" while they are prepared), the member, and how far it is."""

    stage: str
    member: int
    status: Status


Tell = Callable[[Told], None]


def train(
    recipe: Recipe, patients: tuple[CaseFile, ...], run: Path, *, plan: RunPlan = RunPlan(), tell: Tell | None = None
) -> RunRecord:
    """Train a recipe on cases of patients and on phantoms, or go on with the run that is in the folder.

    A fifth of the patients, at most 30, are held out. Raises `RecipeError` when the folder holds another recipe's
    run, and for an unknown stage.
    """
    known = [name for name, _ in recipe.stages]
    unknown = [name for name in plan.stages if name not in known]
    if unknown:
        raise RecipeError(f"the recipe {recipe.name} has no stage {unknown[0]!r}; it has {', '.join(known)}")
    split = _begin(recipe, patients, run, plan)
    seen = frozenset(split.training)
    files = tuple(f for f in patients if f.patient in seen) + _phantoms(recipe, plan)

    def tell_cases(done: int, of: int) -> None:
        if tell:
            tell(Told("cases", 0, Status(done, of, 0.0, 0.0)))

    prepare_cases(files, recipe.stages, run / "cases", workers=plan.workers, tell=tell_cases)
    wanted = [(name, stage) for name, stage in recipe.stages if not plan.stages or name in plan.stages]
    began, shares = time.monotonic(), sum(stage.training.time_share for _, stage in wanted)
    spent = 0.0
    for name, stage in wanted:
        spent += stage.training.time_share / shares
        deadline = None if plan.minutes is None else began + 60 * plan.minutes * spent
        _train_members(run, name, stage, seen, plan, deadline, tell)
    return read_run(run)[0]


def _train_members(
    run: Path, name: str, stage: Stage, seen: frozenset[str], plan: RunPlan, deadline: float | None, tell: Tell | None
) -> None:
    pool = read_prepared(run / "cases" / name, seen)
    start = time.monotonic()
    for member in range(stage.members):
        seed = plan.seed + 1000 * member
        until = None if deadline is None else start + (deadline - start) * (member + 1) / stage.members

        def tell_status(status: Status, member: int = member) -> None:
            if tell:
                tell(Told(name, member, status))

        sampler = Sampler(stage, pool, seed=seed)
        folder = run / f"{name}_{member}"
        pace = Pace(until, steps=plan.steps)
        train_network(stage, sampler.batch, folder, seed=seed, device=plan.device, pace=pace, tell=tell_status)


def _phantoms(recipe: Recipe, plan: RunPlan) -> tuple[CaseFile, ...]:
    """Phantoms, made no finer than the finest spacing that a segmenting stage of the recipe looks at."""
    spacings = [s.geometry.spacing_mm for _, s in recipe.stages if s.targets and s.geometry.spacing_mm]
    finest = tuple(min(values) for values in zip(*spacings, strict=True)) if spacings else None
    return phantom_files(range(plan.seed * 10_000, plan.seed * 10_000 + plan.phantoms), spacing_mm=finest)


def _begin(recipe: Recipe, patients: tuple[CaseFile, ...], run: Path, plan: RunPlan) -> Split:
    """The run's split; a new run is written down, an old one must be of the same recipe and patients."""
    names = sorted({f.patient for f in patients if f.origin is Origin.SLAB}) or sorted({f.patient for f in patients})
    held = min(_MOST_HELD_OUT, len(names) // _HELD_OUT_SHARE)
    split = split_patients(names, validation=held, seed=plan.seed)
    record = RunRecord(recipe, plan.seed, plan.phantoms, len(split.training), len(split.validation), split.sha256)
    if (run / RUN).exists():
        found, old = read_run(run)
        if found != record:
            raise RecipeError(f"{run} holds a run of another recipe, seed or set of cases; give another folder with -o")
        return old
    try:
        (run / "cases").mkdir(parents=True, exist_ok=True)
        (run / SPLIT).write_text(split.to_text(), encoding="utf-8")
        (run / RUN).write_text(json.dumps(to_json(record), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"the run folder {run} cannot be written ({error.strerror}); give another with -o") from error
    return split


def read_run(run: Path) -> tuple[RunRecord, Split]:
    """What a run folder says of itself. Raises `RecipeError` when it is not one."""
    try:
        data = json.loads((run / RUN).read_text(encoding="utf-8"))
        split = Split.read(run / SPLIT)
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(f"{run} holds no training run that can be read; start one with renalct train") from error
    return from_json(RunRecord, data, where=RUN), split


def trained_release(run: Path, *, version: str, metrics: tuple[Metric, ...] = ()) -> Release:
    """The release candidate of a run, from the averaged weights of its checkpoints; its digest comes with saving.

    Raises `RecipeError` when a network has no checkpoint yet.
    """
    record, split = read_run(run)
    weights: list[tuple[str, tuple[Weights, ...]]] = []
    for name, stage in record.recipe.stages:
        members = []
        for member in range(stage.members):
            folder = run / f"{name}_{member}"
            if not (folder / CHECKPOINT).exists():
                raise RecipeError(f"{folder} has no checkpoint yet; train the stage {name} first")
            members.append(averaged_weights(folder)[0])
        weights.append((name, tuple(members)))
    card = Card(
        name=record.recipe.name,
        version=version,
        trained_on=trained_on(record, metrics),
        licence=KITS_LICENCE if record.training_patients else PHANTOM_LICENCE,
        cases_sha256=split.sha256,
        metrics=metrics,
        limits=_limits(record),
    )
    return Release(record.recipe, card, "", tuple(weights))


def trained_on(record: RunRecord, metrics: tuple[Metric, ...]) -> str:
    """The first line of every report: what the networks learned from, what was measured, and the licence."""
    if not record.training_patients:
        return (
            "Trained on zero patient images, on synthetic phantoms alone; no accuracy on patients is known. "
            f"Licence {PHANTOM_LICENCE.split(' (')[0]}."
        )
    told = [m for m in metrics if m.data.startswith("patients")]
    if not told:
        measured = "accuracy on other patients was not measured"
    else:
        each = ", ".join(f"{m.name} {m.value:.2f} [{m.low:.2f} to {m.high:.2f}]" for m in told)
        measured = f"measured on {told[0].n} other patients: {each}"
    return (
        f"Trained on slices of {record.training_patients} KiTS19 patients and on {record.phantoms} synthetic phantoms; "
        f"{measured}; licence {KITS_LICENCE.split(' (')[0]}."
    )


def _limits(record: RunRecord) -> tuple[str, ...]:
    common = (
        "Trained and measured on adults with native kidneys on contrast-enhanced CT; transplanted, horseshoe and "
        "single kidneys, children, and CT without contrast are outside.",
        "Classes come from few patients: angiomyolipomas almost only from phantoms.",
    )
    slabs = ("The patients' images are thin slabs at the level of a tumor; other levels come from phantoms.",)
    return common + (slabs if record.training_patients else ())
