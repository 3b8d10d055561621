"""Compare strategies of active learning: which cases to label next, by simulated annotation of labelled cases.

Readers' labels are revealed when a strategy asks for a case, a small network is trained on them round after round, and
measured on patients that are never labelled. A simulation that was stopped goes on when it is called again with the
same output; strategies and seeds can be added. Without --data or --stacks phantoms are made.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from renalct.core.errors import InputError
from renalct.learning.acquisition.strategies import Strategy, strategy_named
from renalct.learning.simulation.results import PAGE, RESULTS, write_results
from renalct.learning.simulation.settings import COARSE, SimulationSettings
from renalct.learning.simulation.simulate import Given, build, run_all
from renalct.metrics.tables import to_markdown
from renalct.models.cases import case_files, phantom_files, stack_files
from renalct.models.machine import Machine
from renalct.models.recipe import Recipe
from renalct.models.recipes import recipe_named
from renalct.models.trained import KITS_LICENCE

EPILOG = """examples:
  renalct simulate -o simulation                        phantoms, a few minutes on a CPU
  renalct simulate --stacks STACKS -o simulation --strategies fg_random,entropy,claspe --seeds 5 --workers 2
  renalct simulate --data kits23/dataset -o simulation --recipe starter --steps 2000 --device cuda"""
_PHANTOMS, _FIRST_PHANTOM = 24, 700_000  # some have no kidney
_PHANTOM_MM = (3.0, 3.0, 5.0)  # no finer than the network sees
_SETTINGS = SimulationSettings()
_WORDS = {"random": Strategy.RANDOM.value}  # a host means the configured strategy by it; here nothing is configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct simulate`."""
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--data", type=Path, metavar="FOLDER", help="images with labels, of any layout that train reads")
    given.add_argument("--stacks", type=Path, metavar="FOLDER", help="slice stacks of patients (case_XXXXX/case.json)")
    given.add_argument("--phantoms", type=int, metavar="N", help=f"make so many phantoms (default {_PHANTOMS})")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="the folder of the simulation"
    )
    names = ",".join(strategy.value for strategy in _SETTINGS.strategies)
    parser.add_argument(
        "--strategies",
        default=names,
        metavar="A,B",
        help=f"of {', '.join(s.value for s in Strategy)} (default {names})",
    )
    for name, words in (
        ("seeds", "how often everything is repeated, with another start"),
        ("rounds", "queries after the start"),
        ("per-round", "cases that are labelled in each round"),
        ("start", "cases that are labelled before the first round"),
        ("start-steps", "training steps before the first round"),
        ("steps", "training steps in each round after it"),
    ):
        usual = getattr(_SETTINGS, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=int, default=usual, metavar="N", help=f"{words} (default {usual})")
    parser.add_argument(
        "--recipe", default=COARSE.name, metavar="NAME", help="whose segmenting network (default coarse)"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="runs at a time, each on one core (default 1)"
    )
    parser.add_argument("--device", default="cpu", help="where networks run: cpu, cuda (default cpu)")


def run(arguments: argparse.Namespace) -> int:
    """Simulate what is not finished, telling of each run as it ends, and write the results."""
    if arguments.workers < 1:
        raise InputError(f"workers is {arguments.workers}; 1 or more is needed")
    strategies = _strategies(arguments.strategies)
    settings = SimulationSettings(
        strategies=strategies,
        seeds=arguments.seeds,
        rounds=arguments.rounds,
        per_round=arguments.per_round,
        start=arguments.start,
        start_steps=arguments.start_steps,
        steps=arguments.steps,
    )
    began = time.monotonic()
    setting = build(
        _recipe(arguments.recipe),
        _given(arguments),
        arguments.output,
        settings=settings,
        machine=Machine(arguments.device),
        tell=lambda line: print(line, flush=True),
    )
    print(f"{len(setting.pool)} cases in the pool, {len(setting.test)} held out to test on", flush=True)
    for line in run_all(setting, workers=arguments.workers):
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)
    verdict, tables = write_results(arguments.output, strategies)
    for table in tables[:4]:
        print()
        print(to_markdown(table), end="")
    print()
    print(verdict.sentence)
    print(f"page: {arguments.output / RESULTS / PAGE}")
    return 0


def _strategies(text: str) -> tuple[Strategy, ...]:
    return tuple(strategy_named(_WORDS.get(word, word)) for word in text.split(",") if word)


def _recipe(name: str) -> Recipe:
    return COARSE if name == COARSE.name else recipe_named(name)


def _given(arguments: argparse.Namespace) -> Given:
    if arguments.data is not None:
        return Given(case_files(arguments.data), f"cases of {arguments.data.name}")
    if arguments.stacks is not None:
        return Given(stack_files(arguments.stacks), "KiTS19 slices", KITS_LICENCE)
    count = _PHANTOMS if arguments.phantoms is None else arguments.phantoms
    if count < 1:
        raise InputError(f"{count} phantoms cannot be simulated; give 1 or more")
    seeds = range(_FIRST_PHANTOM, _FIRST_PHANTOM + count)
    return Given(phantom_files(seeds, spacing_mm=_PHANTOM_MM), "synthetic phantoms")
