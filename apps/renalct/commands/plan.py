"""Plan second readings and blind repeats of the cases of a label store.

STORE is the folder of a label store. With --reads N each chosen case is handed out to N annotators, none of whom sees
the other's label; with --repeat-after N whoever labels it gets it once more after N other cases, without being told.
Cases are named with --case, or drawn at random among those without a label (--share, which --seed makes repeatable).
What came of it is told by renalct readers.
"""

from __future__ import annotations

import argparse
import getpass
import random
from pathlib import Path

from renalct.core.errors import InputError
from renalct.learning.store import CaseState, LabelStore

EPILOG = """examples:
  renalct plan labels --reads 2 --share 0.1          a tenth of the cases is read twice
  renalct plan labels --repeat-after 20 --case CT7   whoever labels CT7 gets it again"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct plan`."""
    parser.add_argument("store", metavar="STORE", type=Path, help="folder of the label store")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--reads", type=int, metavar="N", help="how many annotators read each chosen case")
    what.add_argument("--repeat-after", type=int, metavar="N", help="repeat each after N other cases, blind")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--case", action="append", default=[], metavar="ID", help="this case (repeatable)")
    which.add_argument("--share", type=float, metavar="S", help="this share of the cases without a label, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draw (0)")
    parser.add_argument("--by", default="", metavar="NAME", help="who plans it, for the audit log (your login name)")


def run(arguments: argparse.Namespace) -> int:
    """Write the plan into the store; returns the exit code."""
    if not arguments.store.is_dir():
        raise InputError(f"there is no folder {arguments.store}; give the folder of a label store")
    store = LabelStore(arguments.store)
    chosen = arguments.case or _drawn(store, arguments.share, seed=arguments.seed)
    by = arguments.by or _login_name()
    if arguments.reads is not None:
        store.plan_reads(chosen, reads=arguments.reads, by=by)
        print(f"{len(chosen)} cases are planned to be read by {arguments.reads} annotators:")
    else:
        store.plan_repeats(chosen, after=arguments.repeat_after, by=by)
        print(f"{len(chosen)} cases are planned to be repeated after {arguments.repeat_after} others:")
    for image_id in chosen:
        print(f"  {image_id}")
    return 0


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise InputError("this computer has no name for you; say with --by who plans it") from error


def _drawn(store: LabelStore, share: float, *, seed: int) -> list[str]:
    """That share of the cases without a label, at least one, in the order of their ids."""
    if not 0 < share <= 1:
        raise InputError(f"--share is {share}; a share above 0, at most 1, is needed")
    waiting = sorted({*store.cases(state=CaseState.UNASSIGNED), *store.cases(state=CaseState.LEASED)})
    if not waiting:
        raise InputError("every case of the store has a label; name cases with --case to have them read again")
    return sorted(random.Random(seed).sample(waiting, max(1, round(share * len(waiting)))))
