"""Train on the labels of a store, compare with what is published, and publish what is better.

A frozen validation set is chosen at the first call. A training that was stopped goes on when the command is given
again. With --if-due or --watch it begins only when there are enough new labels and nobody is labelling just now.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

from renalct.commands.loop_options import (
    StatusLines,
    add_frozen_options,
    add_gate_options,
    add_name_option,
    add_store_options,
    add_training_options,
    loop_of,
)
from renalct.commands.stopping import stop_asked
from renalct.commands.train_options import add_machine_options
from renalct.core.errors import InputError, RenalctError
from renalct.learning.loop.auto_update import AutoSettings, update_if_due
from renalct.learning.loop.candidate_version import Retrained
from renalct.learning.loop.retrain import Loop, Unfinished, retrain

EPILOG = """examples:
  renalct retrain STORE --images IMAGES --registry REGISTRY
  renalct retrain STORE --images IMAGES --registry REGISTRY --start scratch --recipe zhao2023 --device cuda
  renalct retrain STORE --images IMAGES --registry REGISTRY --watch 60 --new-labels 20
  torchrun --nproc-per-node 4 -m renalct retrain STORE --images IMAGES --registry REGISTRY --device cuda"""
_INTERRUPTED = 130
_AUTO = AutoSettings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct retrain`."""
    parser.add_argument("store", type=Path, metavar="STORE", help="the folder of the label store")
    add_store_options(parser)
    parser.add_argument("--registry", type=Path, required=True, metavar="REGISTRY", help="the folder of the versions")
    add_name_option(parser)
    parser.add_argument("--keep", action="store_true", help="publish nothing; what is accepted waits in the registry")
    parser.add_argument("--anew", action="store_true", help="leave the training that was not finished, and begin anew")
    auto = parser.add_argument_group("by itself")
    auto.add_argument("--if-due", action="store_true", help="train when it is time, else say why not, and end")
    auto.add_argument("--watch", type=float, metavar="SECONDS", help="look so often whether it is time, until stopped")
    auto.add_argument("--new-labels", type=int, default=_AUTO.new_labels, metavar="N", help="so many new labels (10)")
    auto.add_argument(
        "--quiet", type=float, default=_AUTO.quiet_seconds, metavar="SECONDS", help="and no label for so long (300)"
    )
    auto.add_argument(
        "--longest-wait", type=float, default=_AUTO.longest_wait_seconds, metavar="SECONDS",
        help="but no label waits longer (14400)",
    )  # fmt: skip
    add_training_options(parser)
    add_frozen_options(parser)
    add_gate_options(parser)
    add_machine_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Retrain now, or when it is due."""
    automatic = arguments.if_due or arguments.watch is not None
    if automatic and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("several processes cannot watch together; start torchrun without --if-due and --watch")
    if automatic and arguments.anew:
        raise InputError("an automatic training goes on with what was not finished; leave --anew out")
    auto = AutoSettings(arguments.new_labels, arguments.quiet, arguments.longest_wait)
    loop = replace(loop_of(arguments, arguments.store), publishes=not arguments.keep)
    lines = StatusLines()
    with stop_asked() as asked:
        if not automatic:
            about = Unfinished.LEAVE if arguments.anew else Unfinished.SAME
            found = retrain(loop, stop=lambda: bool(asked), tell=lines, about=about)
            return _ended(loop, found, stopped=bool(asked))
        if arguments.watch is None:
            return _once(loop, auto, lines, asked)
        return _watch(loop, auto, lines, asked, every=max(1.0, arguments.watch))


def _once(loop: Loop, auto: AutoSettings, lines: StatusLines, asked: list[int]) -> int:
    due, found = update_if_due(loop, auto, stop=lambda: bool(asked), tell=lines)
    lines.say(("due: " if due.due else "not due: ") + due.why)
    return _ended(loop, found, stopped=bool(asked)) if due.due else 0


def _watch(loop: Loop, auto: AutoSettings, lines: StatusLines, asked: list[int], *, every: float) -> int:
    """Look again and again; what fails is told, and the next training is another chance."""
    said = ""
    while not asked:
        try:
            due, found = update_if_due(loop, auto, stop=lambda: bool(asked), tell=lines)
            if found:
                _ended(loop, found, stopped=False)
            words = due.why
        except RenalctError as error:
            words = f"failed: {error}"
        if words != said:
            lines.say(words)
            said = words
        until = time.monotonic() + every
        while not asked and time.monotonic() < until:
            time.sleep(min(1.0, every))
    return 0


def _ended(loop: Loop, found: Retrained | None, *, stopped: bool) -> int:
    if found is None:
        if os.environ.get("RANK", "0") == "0" and stopped:
            print("stopped; give the same command to go on")
        return _INTERRUPTED if stopped else 0
    print(f"{found.version.name}: {'accepted' if found.decision.accepted else 'refused'}: {found.decision.reason}")
    for comparison in found.decision.comparisons:
        print(f"  {comparison}")
    for harm in found.decision.harms:
        print(f"  harmed: {harm}")
    if found.published:
        print(f"published: renalct predict ... --release {loop.registry.folder}")
    elif found.decision.accepted:
        print(f"not published: renalct registry publish {loop.registry.folder} {found.version.name}")
    else:
        print(
            f"kept unpublished beside the live one: renalct registry show {loop.registry.folder} {found.version.name}"
        )
    return 0
