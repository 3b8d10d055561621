"""One run of a simulation: a strategy and a seed, round after round, from where it was stopped."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalct.cascade import Cascade
from renalct.core.labels import Structure
from renalct.learning.acquisition.candidates import (
    SCORER_OF,
    candidate_of,
    compares_with_labelled,
    features_of,
    joined,
)
from renalct.learning.acquisition.probabilities import hash_of
from renalct.learning.acquisition.scoring import Scorer, score_image
from renalct.learning.acquisition.strategies import Query, Strategy, ordered
from renalct.learning.acquisition.why import FOREGROUND, ImageScore
from renalct.learning.simulation.pool import PooledCase, start_cases
from renalct.learning.simulation.records import PatientCounts, RoundRecord, read_rounds, rounds_path, write_rounds
from renalct.learning.simulation.settings import FULL, START, SimulationSettings
from renalct.models.array_cache import ArrayCache
from renalct.models.checkpoint import averaged_weights
from renalct.models.engine import Job, train_network
from renalct.models.machine import PLAIN, Machine
from renalct.models.prepared_cases import prepare_cases, read_prepared
from renalct.models.recipe import Recipe
from renalct.models.release import Card, Release
from renalct.models.samples import Sampler

Tell = Callable[[RoundRecord], None]
_SPOKEN_OF = {
    Structure.KIDNEY: (Structure.KIDNEY,),
    Structure.TUMOR: (Structure.TUMOR, Structure.ANGIOMYOLIPOMA),
    Structure.CYST: (Structure.CYST,),
}


@dataclass(frozen=True)
class Setting:
    """What all runs share: the folder, the recipe, the pool and the frozen test part, and how much is labelled."""

    folder: Path
    recipe: Recipe
    pool: tuple[PooledCase, ...]
    test: tuple[PooledCase, ...]
    settings: SimulationSettings
    machine: Machine = PLAIN


@dataclass(frozen=True)
class Training:
    """A training of the simulation: the name of its folder, on which cases, for how many steps, from which seed, and
    after which other training ("": from random weights)."""

    place: str
    labelled: tuple[str, ...]
    steps: int
    seed: int
    after: str = ""


def prepare_pool(setting: Setting) -> None:
    """Write what the network sees of every case of the pool; done once, for all runs."""
    prepare_cases([c.file() for c in setting.pool], [("segment", setting.recipe.segment)], setting.folder / "prepared")


def run_start(setting: Setting, seed: int, *, tell: Tell | None = None) -> None:
    """Train and measure what every strategy of a seed starts from; its network is kept for their first queries."""
    names = start_cases(setting.pool, setting.settings.start, seed=seed)
    _once(setting, START, seed, Training(_place(START, seed, 0), names, setting.settings.start_steps, seed), tell)


def run_full(setting: Setting, seed: int, *, tell: Tell | None = None) -> None:
    """Train once on the whole pool, for as long as a strategy does in all rounds: what it can reach at most."""
    names, place = tuple(sorted(case.name for case in setting.pool)), _place(FULL, seed, 0)
    _once(setting, FULL, seed, Training(place, names, setting.settings.all_steps, seed), tell)
    _forget(setting, place)


def run_strategy(setting: Setting, strategy: Strategy, seed: int, *, tell: Tell | None = None) -> None:
    """Run a strategy with a seed to its last round; finished rounds are kept and not repeated.

    Its start must have been run (`run_start`).
    """
    path = rounds_path(setting.folder, strategy.value, seed)
    done = list(read_rounds(path))
    start = read_rounds(rounds_path(setting.folder, START, seed))[0]
    first = Training(_place(START, seed, 0), start.labelled, setting.settings.start_steps, seed)
    places = [first.place, *(_place(strategy.value, seed, n + 1) for n in range(setting.settings.rounds))]
    for number in range(len(done), setting.settings.rounds + 1):
        began = time.monotonic()
        added = done[-1].queried if done else start.labelled
        labelled = (*done[-1].labelled, *added) if done else added
        steps, own = setting.settings.steps, hash_of(seed, number)
        plan = Training(places[number], labelled, steps, own, after=places[number - 1]) if number else first
        cascade = trained(setting, plan)
        test = tested(setting, cascade) if number else start.test
        last = number == setting.settings.rounds
        queried = () if last else _queried(setting, strategy, cascade, labelled, number, seed)
        done.append(_record(setting, (strategy.value, seed, number), (labelled, added, queried), test, began))
        write_rounds(path, done)
        _forget(setting, *places[1:number], *(places[1:] if last else ()))
        if tell:
            tell(done[-1])


def _once(setting: Setting, name: str, seed: int, plan: Training, tell: Tell | None) -> None:
    """The single round of what is no strategy."""
    path = rounds_path(setting.folder, name, seed)
    if read_rounds(path):
        return
    began = time.monotonic()
    test = tested(setting, trained(setting, plan))
    record = _record(setting, (name, seed, 0), (plan.labelled, plan.labelled, ()), test, began)
    write_rounds(path, [record])
    if tell:
        tell(record)


def _place(name: str, seed: int, number: int) -> str:
    return f"{name}_{seed}_{number}"


def _network(setting: Setting, place: str) -> Path:
    return setting.folder / "networks" / place


def _forget(setting: Setting, *places: str) -> None:
    """Remove networks that no later round needs."""
    for place in places:
        shutil.rmtree(_network(setting, place), ignore_errors=True)


def trained(setting: Setting, plan: Training) -> Cascade:
    """The network after a training, which goes on from where it was stopped."""
    stage, folder = setting.recipe.segment, _network(setting, plan.place)
    pool = read_prepared(setting.folder / "prepared" / "segment", frozenset(plan.labelled), cache=ArrayCache())
    weights = averaged_weights(_network(setting, plan.after))[0] if plan.after else None
    sampler = Sampler(stage, pool, seed=plan.seed)
    job = Job("segment", stage, sampler.batch, folder, plan.steps, seed=plan.seed, weights=weights)
    train_network(job, machine=setting.machine)
    card = Card(setting.recipe.name, "simulation", f"{len(plan.labelled)} simulated labels", "")
    members = (("segment", (averaged_weights(folder)[0],)),)
    return Cascade(Release(setting.recipe, card, plan.place, members), device=setting.machine.device)


def tested(setting: Setting, cascade: Cascade) -> tuple[PatientCounts, ...]:
    """The voxel counts of every test patient, pooled over its images."""
    found = []
    for patient in setting.test:
        counts = np.zeros((3, len(FOREGROUND)), np.int64)
        for case in patient.load():
            seen = cascade.segment(case.volume, cascade.localize(case.volume)).values
            for n, structure in enumerate(FOREGROUND):
                values = [int(s) for s in _SPOKEN_OF[structure]]
                a, b = np.isin(seen, values), np.isin(case.label_map.values, values)
                counts[:, n] += [np.count_nonzero(a & b), np.count_nonzero(a), np.count_nonzero(b)]
        both, predicted, reference = (tuple(int(v) for v in row) for row in counts)
        found.append(PatientCounts(patient.name, both, predicted, reference))
    return tuple(found)


def _queried(
    setting: Setting, strategy: Strategy, cascade: Cascade, labelled: Sequence[str], number: int, seed: int
) -> tuple[str, ...]:
    """The cases that the strategy asks for next."""
    scorer, known = SCORER_OF[strategy], set(labelled)
    wanted = [c for c in setting.pool if c.name not in known or compares_with_labelled(strategy)]
    scores = {} if scorer is None else _scores(setting, cascade, scorer, wanted, seed)
    candidates = [candidate_of(c.name, scorer, scores.get(c.name)) for c in setting.pool if c.name not in known]
    seen = {name: score for name, score in scores.items() if name in known}
    query = Query(
        setting.settings.per_round,
        number,
        setting.settings.rounds,
        seed=seed,
        known=() if scorer is None else features_of(scorer, seen),
    )
    return ordered(strategy, candidates, query)[: query.count]


def _scores(
    setting: Setting, cascade: Cascade, scorer: Scorer, wanted: Sequence[PooledCase], seed: int
) -> dict[str, ImageScore]:
    """The scores of cases, kept beside the network: strategies of one start share them."""
    path = _network(setting, cascade.release.digest) / f"{scorer.name.lower()}.json"
    found: dict[str, ImageScore] = {}
    if path.exists():
        found = {name: ImageScore.from_text(text) for name, text in json.loads(path.read_text()).items()}
    for case in wanted:
        if case.name not in found:
            images = case.load()
            found[case.name] = joined([score_image(c.volume, scorer, cascade=cascade, seed=seed) for c in images])
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps({name: score.to_text() for name, score in found.items()}))
    part.replace(path)
    return found


def _record(
    setting: Setting,
    run: tuple[str, int, int],
    cases: tuple[Sequence[str], Sequence[str], Sequence[str]],
    test: tuple[PatientCounts, ...],
    began: float,
) -> RoundRecord:
    labelled, added, queried = cases
    by_name = {case.name: case for case in setting.pool}
    everything = sum(case.voxels for case in setting.pool)
    return RoundRecord(
        strategy=run[0],
        seed=run[1],
        round=run[2],
        labelled=tuple(labelled),
        queried=tuple(queried),
        contour_mm=round(sum(by_name[name].contour_mm for name in labelled), 1),
        foreground_share=sum(by_name[name].voxels for name in labelled) / everything,
        shows=tuple(sum(by_name[name].shows(s) for name in added) for s in FOREGROUND),
        added=len(added),
        test=test,
        seconds=round(time.monotonic() - began, 2),
    )
