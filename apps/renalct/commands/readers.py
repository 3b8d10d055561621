"""How far the annotators of a label store agree, and which cases they should look at together.

STORE is the folder of a label store. Every pair of independent readings of one case is compared (a label that was
made from another author's is a correction, not a reading), and every blind repeat with its author's own first reading.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

from renalct.core.errors import InputError
from renalct.learning.readers import PairAgreement, agreements, disagreement_queue, summarize
from renalct.learning.store import LabelStore

EPILOG = "example: renalct readers labels --below 0.9"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct readers`."""
    parser.add_argument("store", metavar="STORE", type=Path, help="folder of the label store")
    parser.add_argument(
        "--below", metavar="DICE", type=float, default=0.9, help="list pairs whose lowest Dice is under this (0.9)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Compare the readings of a store; returns the exit code."""
    if not 0 <= arguments.below <= 1:
        raise InputError(f"--below is {arguments.below}; a Dice from 0 to 1 is needed")
    if not arguments.store.is_dir():
        raise InputError(f"there is no folder {arguments.store}; give the folder of a label store")
    pairs = tuple(agreements(LabelStore(arguments.store)))
    print(json.dumps(_json(pairs, arguments.below), indent=2) if arguments.json else _text(pairs, arguments.below))
    return 0


def _text(pairs: Sequence[PairAgreement], below: float) -> str:
    groups = [(p for p in pairs if not p.is_repeat), (p for p in pairs if p.is_repeat)]
    lines = []
    for title, group in zip(("different readers", "the same reader twice"), map(tuple, groups), strict=True):
        lines += [f"{title}: {len(group)} pairs of readings of {len({p.image_id for p in group})} cases"]
        for row in summarize(group):
            reference = "" if math.isnan(row.kits19_dice) else f"  (KiTS19 {row.kits19_dice:.3f})"
            lines.append(
                f"  {row.region.words:<16} Dice {row.dice:.3f}, lowest {row.lowest_dice:.3f}; surface Dice "
                f"{row.surface_dice:.3f}; {row.pairs} pairs, {row.cases} cases{reference}"
            )
    queue = disagreement_queue(pairs, below=below)
    lines += ["", f"to look at together (lowest Dice under {below:g}): {len(queue)}"]
    for pair in queue:
        worst = pair.lowest_structure
        lines.append(
            f"  {pair.lowest:.3f} {worst.title if worst else '':<14} {pair.image_id}  {pair.first}, {pair.second}"
        )
    return "\n".join(lines)


def _json(pairs: Sequence[PairAgreement], below: float) -> dict[str, object]:
    def row(pair: PairAgreement) -> dict[str, object]:
        return {
            "image": pair.image_id,
            "readers": [pair.first, pair.second],
            "lowest_dice": pair.lowest,
            "dice": {each.structure.title: each.dice for each in pair.structures},
            "regions": {each.region.title: [each.dice, each.surface_dice] for each in pair.regions},
        }

    return {
        "schema_version": 1,
        "regions": [
            {
                "region": each.region.title, "dice": each.dice, "surface_dice": each.surface_dice, "pairs": each.pairs,
                "cases": each.cases, "kits19_dice": None if math.isnan(each.kits19_dice) else each.kits19_dice,
            }
            for each in summarize([pair for pair in pairs if not pair.is_repeat])
        ],
        "pairs": [row(pair) for pair in pairs],
        "queue": [row(pair) for pair in disagreement_queue(pairs, below=below)],
    }  # fmt: skip
