"""Analyse thousands of studies: on all cores of this machine, or on a Ray cluster, into folders and tables.

MANIFEST lists the studies: CSV with a header line, or a JSON object a line (.jsonl), with the columns `study` (a path),
and if wanted `id` (the name of its results) and `series` (a SeriesInstanceUID). The folder OUT will hold:

  studies/ID/       the results of each study, or the reason why there are none (status.json)
  studies.parquet   one row per study        kidneys.parquet   one per kidney        masses.parquet   one per mass

A second start with the same arguments goes on where the first one stopped. A study that fails, or whose worker was
killed, is tried once more, and then reported; it stops nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from renalct.cohort.engine import EngineSettings, run_studies
from renalct.cohort.home import CohortFolder, CohortSettings, Kept
from renalct.cohort.manifest import read_manifest
from renalct.commands.deidentify import CLEAN_DESCRIPTORS_HELP, SHIFT_DATES_HELP, deidentification
from renalct.commands.finite_numbers import number
from renalct.core.errors import InputError
from renalct.runs.status import Outcome

EPILOG = """example: renalct cohort studies.csv -o cohort --workers 4
exit codes: 0 every study has results or was refused, 1 some failed
Not for clinical use."""
_TOLD_AT_MOST = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct cohort`."""
    parser.add_argument("manifest", metavar="MANIFEST", type=Path, help="CSV or JSON lines with the studies")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, required=True, help="folder to write or go on with")
    parser.add_argument("--release", metavar="FOLDER", type=Path, help="weights to use (default: the starter release)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default) or cuda")
    parser.add_argument("--workers", type=int, metavar="N", help="studies at a time (default: one per --threads cores)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of each worker (2)")
    parser.add_argument("--gpus", type=number, metavar="N", help="GPUs of each worker, also 0.5 (default: 1 with cuda)")
    parser.add_argument("--address", default="", metavar="ADDRESS", help="a Ray cluster (default: this machine alone)")
    parser.add_argument("--write", choices=[kept.value for kept in Kept], default="all", help="what to keep per study")
    parser.add_argument("--minutes", type=number, default=60.0, metavar="M", help="most minutes for a study (60)")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed at an earlier start")
    parser.add_argument("--deidentify", action="store_true", help="analyse de-identified copies, and nothing else")
    parser.add_argument("--key", metavar="FILE", type=Path, help="with --deidentify: the secret key; made if missing")
    parser.add_argument("--shift-dates", action="store_true", help=f"with --deidentify: {SHIFT_DATES_HELP}")
    parser.add_argument("--clean-descriptors", action="store_true", help=f"with --deidentify: {CLEAN_DESCRIPTORS_HELP}")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(arguments: argparse.Namespace) -> int:
    """Analyse a cohort; returns the exit code."""
    missing = [name for name in ("ray", "pyarrow") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} must be installed for a cohort: pip install 'renalct[cohort]'")
    from renalct.cohort.tables import write_tables
    from renalct.models.release import load_release

    rows, settings, engine = read_manifest(arguments.manifest), _settings(arguments), _engine(arguments)
    folder = CohortFolder(arguments.output)
    with folder.opened(settings.describe(load_release(settings.release).digest)):
        names = [row.name for row in rows]
        if arguments.retry_failed:
            folder.forget_failures(names)
        left = [row for row in rows if folder.status(row.name) is None]
        print(f"{len(rows)} studies, {len(rows) - len(left)} done before", flush=True)
        started = time.monotonic()
        if left:
            with _bar(len(left), visible=sys.stderr.isatty() and not arguments.quiet) as tell:
                for name in run_studies(left, folder.path, settings, engine=engine):
                    tell(name)
        tables = write_tables(folder)
    return _told(folder, names, tables, done=len(left), seconds=time.monotonic() - started)


def _settings(arguments: argparse.Namespace) -> CohortSettings:
    how = None
    if arguments.deidentify:
        if arguments.key is None:
            raise InputError("--deidentify needs --key FILE: the secret by which identifiers are replaced")
        how = deidentification(
            arguments.key, arguments.output, shift=arguments.shift_dates, clean=arguments.clean_descriptors
        )
    elif arguments.key or arguments.shift_dates or arguments.clean_descriptors:
        raise InputError("--key, --shift-dates and --clean-descriptors say how to de-identify; add --deidentify")
    release = None if arguments.release is None else arguments.release.resolve()
    return CohortSettings(release, arguments.device, Kept(arguments.write), how, arguments.minutes)


def _engine(arguments: argparse.Namespace) -> EngineSettings:
    workers = arguments.workers
    if workers is None:
        if arguments.address:
            raise InputError("--address needs --workers: how many studies the cluster shall analyse at a time")
        workers = max(1, (os.cpu_count() or 1) // max(1, arguments.threads))
    gpus = arguments.gpus if arguments.gpus is not None else float(arguments.device.startswith("cuda"))
    return EngineSettings(workers, arguments.threads, gpus, arguments.address)


def _told(folder: CohortFolder, names: list[str], tables: tuple[Path, ...], *, done: int, seconds: float) -> int:
    """Say what became of the studies; returns the exit code."""
    statuses = {name: status for name in names if (status := folder.status(name)) is not None}
    if done:
        print(f"{done} studies in {seconds:.0f} s: {3600 * done / seconds:.0f} an hour")
    for outcome, count in sorted(Counter(str(status.outcome) for status in statuses.values()).items()):
        print(f"  {count:6d} {outcome}")
    for code, count in sorted(Counter(s.code for s in statuses.values() if s.code).items()):
        print(f"         {count:6d} {code}")
    failed = [name for name, status in statuses.items() if status.outcome is Outcome.FAILED]
    if failed:
        more = f" and {len(failed) - _TOLD_AT_MOST} more" if len(failed) > _TOLD_AT_MOST else ""
        print(f"failed: {', '.join(failed[:_TOLD_AT_MOST])}{more}; add --retry-failed to try them again")
    print("tables: " + ", ".join(path.name for path in tables))
    return 1 if failed else 0


@contextmanager
def _bar(total: int, *, visible: bool) -> Iterator[Callable[[str], None]]:
    """A bar with the share that is done, the time, and the time that is left; called with the name of each study."""
    if not visible:
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("studies"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), speed_estimate_period=3600) as bar:
        task = bar.add_task("studies", total=total)
        yield lambda name: bar.update(task, advance=1)
