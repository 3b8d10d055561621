"""Rank systems that were evaluated on the same cases, by the rules of KiTS23.

Each EVALUATION is a folder that renalct evaluate wrote. Systems are ranked by their mean Dice and by their mean surface
Dice, both averaged over kidney and mass, mass, and tumor; the mean of the two ranks decides, and the Dice of tumors
where it is equal. A mean over cases says nothing of chance: renalct evaluate --compare tests the difference of two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from renalct.core.errors import InputError
from renalct.metrics.ranking import RankedSystem, rank_systems
from renalct.metrics.score_files import ScoredSystem, read_scores

EPILOG = "example: renalct rank scores/starter scores/nnunet scores/unet"
_SCORES = "scores.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct rank`."""
    parser.add_argument("evaluations", metavar="EVALUATION", nargs="+", type=Path, help="folder of an evaluation")
    parser.add_argument("--json", action="store_true", help="print the ranking as JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Rank the systems and print the table; returns the exit code."""
    found = [read_scores(folder / _SCORES) for folder in arguments.evaluations]
    names = [_name(each, path, found) for each, path in zip(found, arguments.evaluations, strict=True)]
    _refuse_other_rules(found, names)
    try:
        ranked = rank_systems({name: each.cases for name, each in zip(names, found, strict=True)})
    except ValueError as error:
        raise InputError(f"{error}") from error
    if arguments.json:
        print(json.dumps({"schema_version": 1, "ranking": [asdict(system) for system in ranked]}, indent=2))
    else:
        print(_table(ranked))
    return 0


def _name(scored: ScoredSystem, path: Path, others: Sequence[ScoredSystem]) -> str:
    """The name of the system, with its folder where two have the same."""
    same = sum(other.system == scored.system for other in others)
    return scored.system if same == 1 else f"{scored.system} ({path})"


def _refuse_other_rules(found: Sequence[ScoredSystem], names: Sequence[str]) -> None:
    for each, name in zip(found, names, strict=True):
        if each.settings != found[0].settings:
            raise InputError(
                f"{names[0]} and {name} were scored by different rules; evaluate both with the same options"
            )
    if len(set(names)) < len(names):
        raise InputError("one evaluation is named twice; give each once")


def _table(ranked: Sequence[RankedSystem]) -> str:
    width = max(len("system"), *(len(system.name) for system in ranked))
    head = f"place  {'system':<{width}}  rank   Dice (rank)  surface Dice (rank)  tumor Dice"
    lines = [
        f"{s.place:>5}  {s.name:<{width}}  {s.rank:>4.1f}  {s.dice:.4f} ({s.dice_rank:>3.0f})"
        f"         {s.surface_dice:.4f} ({s.surface_dice_rank:>3.0f})      {s.tumor_dice:.4f}"
        for s in ranked
    ]
    return "\n".join([head, *lines, f"{ranked[0].cases} cases each. Not for clinical use."])
