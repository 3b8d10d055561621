"""The end of a study: what a refusal leaves, and the status beside the results."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from renalct.core.errors import TransferError
from renalct.core.report import Provenance
from renalct.formats.dicom.refusal_report import write_refusal_report
from renalct.formats.dicom.refused_study import find_refused_study
from renalct.formats.quiet import quietly
from renalct.runs.status import STATUS, StudyStatus, write_status
from renalct.runs.study_run import StudyRun

if TYPE_CHECKING:
    from renalct.runs.analysis import AnalysisSettings

_log = logging.getLogger(__name__)


Send = Callable[[tuple[Path, ...], str], None]
"""Hands on DICOM files of a study, which is named by its hash; raises `TransferError` when they were not taken."""


def finish(
    run: StudyRun,
    folder: Path,
    *,
    source: Path,
    provenance: Provenance | None,
    settings: AnalysisSettings,
    send: Send | None = None,
) -> StudyStatus:
    """The status of a study whose steps came to their end, written into its folder.

    What a study left that was refused or failed in the middle is removed first; where the settings ask for it, and a
    header of the study in `source` can be read, a structured report says that it was not analysed, and why.
    """
    if run.failure is not None:
        _empty(folder)
    status = run.status(provenance=provenance)
    if not status.has_results and settings.refusal_report and provenance is not None:
        _tell_of_refusal(run, status, folder, source=source, provenance=provenance, settings=settings, send=send)
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.name != STATUS]
    status = run.status(provenance=provenance, files=files)
    write_status(status, folder)
    return status


def send_results(folder: Path, send: Send | None, *, run: StudyRun) -> None:
    """Nothing, when the DICOM files of a folder were handed on, or there is nobody to hand them to.

    Raises `TransferError` when they were not taken.
    """
    if send is not None:
        send(tuple(sorted(folder.glob("*.dcm"))), run.study)


def _tell_of_refusal(
    run: StudyRun,
    status: StudyStatus,
    folder: Path,
    *,
    source: Path,
    provenance: Provenance,
    settings: AnalysisSettings,
    send: Send | None,
) -> None:
    with run.kept(), quietly(), run.step("write_refusal"):
        study = find_refused_study(source, study_instance_uid=run.study_instance_uid)
        if study is None:
            _log.warning("no header can be read that tells of which study it is: no report on the refusal")
            return
        now = settings.clock()
        path = write_refusal_report(study, status.code, run.reason, folder, provenance=provenance, now=now)
        if send is not None:
            try:
                send((path,), run.study)
            except TransferError as error:
                _log.warning("the report on the refusal was not sent: %s", error)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
