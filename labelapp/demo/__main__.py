"""A label server at work, as a demonstration: ``python labelapp/demo``, or ``make label-demo``.

Orthanc holds made studies; the label server works on it over DICOMweb; three scripted annotators with different habits
label at once, a reviewer looks at their labels, and the server trains, judges and publishes, twice. The folder will
hold report.html and report.md. Nothing is downloaded, and no patient data are used.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import sys
from pathlib import Path

from play import Plan, play
from renalct.core.errors import OutputError, RenalctError
from renalct.learning.rehearsal.report import write_report
from services import ORTHANC_INSTALL, orthanc_program

_MARKER = "MADE_DATA.txt"
_WORDS = "A rehearsal of the label server. Synthetic data made by renalct: no patient.\n"


def main() -> int:
    """Play and report; returns the exit code: 1 when a label was lost or the planted release was published."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    told = logging.getLogger("label-demo")
    told.setLevel(logging.INFO)
    program = orthanc_program()
    if program is None:
        told.error("Orthanc with DICOMweb is missing: %s", ORTHANC_INSTALL)
        return 2
    plan = Plan(
        studies=options.studies,
        quotas=tuple(options.quota),
        starts=("scratch", *("warm" for _ in options.quota[1:])),
        steps=options.steps,
        first_steps=options.first_steps,
        test_patients=options.test_patients,
        seed=options.seed,
    )
    try:
        _begin(options.output)
        rehearsal = play(plan, options.output, orthanc_program=program)
        text, page, _ = write_report(rehearsal, options.output)
    except RenalctError as error:
        told.error("%s", error)
        return error.exit_code
    told.info("%s", text.read_text(encoding="utf-8"))
    told.info("The same as a page: %s", page)
    return int(bool(rehearsal.lost or rehearsal.duplicates or rehearsal.planted.published))


def _begin(folder: Path) -> None:
    """Make the folder; one of an earlier demonstration is removed, and any other left alone."""
    if folder.joinpath(_MARKER).is_file():
        shutil.rmtree(folder)
    if folder.exists() and any(folder.iterdir()):
        raise OutputError(f"the folder {folder} holds files of something else; choose another output folder")
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath(_MARKER).write_text(_WORDS, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="label-demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("label-demo"), metavar="FOLDER", help="(label-demo)")
    parser.add_argument("--studies", type=int, default=12, metavar="N", help="made studies in the PACS (12)")
    parser.add_argument(
        "--quota", type=int, nargs="+", default=[8, 4], metavar="N", help="studies to label in each loop (8 4)"
    )
    parser.add_argument("--steps", type=int, default=800, metavar="N", help="steps of each training (800)")
    parser.add_argument("--first-steps", type=int, default=60, metavar="N", help="steps of the first release (60)")
    parser.add_argument("--test-patients", type=int, default=6, metavar="N", help="patients for the marks (6)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="other studies (1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
