"""A whole simulation: its cases, its frozen test part, and every run of it, in one process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import torch

from renalct.core.errors import InputError
from renalct.learning.acquisition.strategies import Strategy
from renalct.learning.simulation.pool import pool_and_test, pooled_cases
from renalct.learning.simulation.records import SimulationRecord, begin
from renalct.learning.simulation.runs import Setting, prepare_pool, run_full, run_start, run_strategy
from renalct.learning.simulation.settings import SimulationSettings, simulated
from renalct.models.cases import CaseFile
from renalct.models.lineage import recipe_sha256
from renalct.models.machine import PLAIN, Machine
from renalct.models.recipe import Recipe


@dataclass(frozen=True)
class Given:
    """The cases, the words for what they are, and their licence."""

    files: tuple[CaseFile, ...]
    data: str
    licence: str = ""


@dataclass(frozen=True)
class _Job:
    """A piece of work: a start, a full training (no strategy), or a strategy, of a seed."""

    kind: str
    seed: int
    strategy: Strategy | None = None

    def __call__(self, setting: Setting) -> str:
        if self.strategy is not None:
            run_strategy(setting, self.strategy, self.seed)
            return f"{self.strategy.value}, seed {self.seed}"
        (run_start if self.kind == "start" else run_full)(setting, self.seed)
        return f"{self.kind}, seed {self.seed}"


def build(
    recipe: Recipe,
    given: Given,
    folder: Path,
    *,
    settings: SimulationSettings,
    machine: Machine = PLAIN,
    tell: Callable[[str], None] = lambda _: None,
) -> Setting:
    """Everything that runs need, written to the folder; what is there already is kept.

    Raises `OutputError` when the folder holds another simulation, and `InputError` for too few patients.
    """
    alone = simulated(recipe)
    tell(f"resampling {len(given.files)} cases")
    cases = pooled_cases(given.files, alone.segment, folder / "cases")
    split = pool_and_test(cases, share=settings.test_share, seed=settings.test_seed, most=settings.most_cases)
    by_name = {case.name: case for case in cases}
    setting = Setting(
        folder,
        alone,
        tuple(by_name[name] for name in split.training),
        tuple(by_name[name] for name in split.test),
        settings,
        machine,
    )
    begin(
        folder,
        SimulationRecord(
            recipe_name=recipe.name,
            recipe_sha256=recipe_sha256(alone),
            data=given.data,
            licence=given.licence,
            patients=len(cases),
            split_sha256=split.sha256,
            pool=split.training,
            test=split.test,
            rounds=settings.rounds,
            per_round=settings.per_round,
            start=settings.start,
            start_steps=settings.start_steps,
            steps=settings.steps,
        ),
    )
    prepare_pool(setting)
    return setting


def run_all(setting: Setting, *, workers: int = 1) -> Iterator[str]:
    """Run whatever is not finished, seed after seed, and say what is as it ends: a stopped simulation of some seeds is
    a smaller simulation. Raises `InputError` when a process is lost."""
    phases = _in_order(setting.settings, at_once=workers)
    if workers == 1:
        yield from (job(setting) for jobs in phases for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for jobs in phases:
                yield from pool.map(_called, [setting] * len(jobs), jobs)
    except BrokenProcessPool as error:
        raise InputError(
            "a process of the simulation was lost, most often for lack of memory; finished rounds are kept: start "
            f"again with fewer workers ({workers} now)"
        ) from error


def _in_order(settings: SimulationSettings, *, at_once: int) -> Iterator[list[_Job]]:
    """Jobs that may run at the same time: the starts of some seeds, then their strategies and full trainings."""
    for first in range(0, settings.seeds, at_once):
        seeds = range(first, min(settings.seeds, first + at_once))
        yield [_Job("start", seed) for seed in seeds]
        strategies = [_Job("strategy", seed, strategy) for seed in seeds for strategy in settings.strategies]
        yield [*strategies, *(_Job("full", seed) for seed in seeds)]


def _called(setting: Setting, job: _Job) -> str:
    return job(setting)
