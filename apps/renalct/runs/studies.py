"""The studies of one input, each analysed on its own: one that is refused or fails loses nothing of the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from renalct.core.errors import ErrorCode, InputError, OutputError
from renalct.core.report import Provenance
from renalct.formats.dicom.scan import StudyScan, scan_study, studies_of
from renalct.formats.output_folder import filled_folder
from renalct.formats.quiet import quietly
from renalct.runs.analysis import AnalysisSettings
from renalct.runs.finishing import Send, finish
from renalct.runs.status import STATUS, StudyStatus, read_status
from renalct.runs.study_run import StudyRun

if TYPE_CHECKING:
    from renalct.cascade import Cascade

_log = logging.getLogger(__name__)

Steps = Callable[[StudyRun, StudyScan, Path], None]
"""Analyses a study into a folder, and sets the report in the run; what is raised is kept as that of the study."""


def analyse_studies(
    source: Path, output: Path, *, steps: Steps, cascade: Cascade, settings: AnalysisSettings, send: Send | None = None
) -> tuple[StudyStatus, ...]:
    """The status of each study below `source`, in the order of their UIDs, after its folder was written.

    The results of a single study lie in `output` itself; of several, those of each in a folder of `output` that is
    named by the hash of the study, as in its status. Input without any CT is one study that was refused. `send` hands
    on the report on a refusal, where the settings ask for one. Raises `OutputError` when `output` is `source` itself.
    """
    if os.path.exists(output) and os.path.exists(source) and os.path.samefile(output, source):
        raise OutputError(
            "the output folder is the input; choose another one, for results replace files", code=ErrorCode.OUTPUT_TAKEN
        )
    whole = StudyRun(salt=settings.salt, source=source)
    studies: tuple[StudyScan, ...] = ()
    with whole.kept(), quietly(), whole.step("scan"):
        scan = scan_study(source)
        studies = studies_of(scan)
        found = (len(studies), len(scan.series), len(scan.skipped))
        _log.info("the input holds %d studies, %d CT series, and %d files that are no CT slices", *found)
    place = _Place(source, cascade.provenance, settings, send)
    if not studies:
        return (place.fill(whole, output),)
    statuses = []
    for number, study in enumerate(studies, start=1):
        run = StudyRun(study.series[0].study_instance_uid, salt=settings.salt, source=source)
        folder = output if len(studies) == 1 else output / (run.study or f"study-{number}")
        statuses.append(place.fill(run, folder, partial(steps, run, study)))
    return tuple(statuses)


def failed_before(error: Exception, output: Path, *, salt: str = "") -> StudyStatus:
    """The status of an input that was not looked at because `error` came before; written into `output`."""
    run = StudyRun(salt=salt)
    run.failure = error
    return _Place(output, None, AnalysisSettings(salt=salt), None).fill(run, output)


class _Place:
    """What the folders of all studies have in common."""

    def __init__(
        self, source: Path, provenance: Provenance | None, settings: AnalysisSettings, send: Send | None
    ) -> None:
        self._source, self._provenance, self._settings, self._send = source, provenance, settings, send

    def fill(self, run: StudyRun, final: Path, steps: Callable[[Path], None] = lambda folder: None) -> StudyStatus:
        """The status of a study, after its folder was filled; a folder that cannot be written is told by the status."""
        status = None
        with run.kept(), filled_folder(final) as folder:
            with run.kept(), quietly():
                if run.failure is None:
                    steps(folder)
            status = finish(
                run, folder, source=self._source, provenance=self._provenance, settings=self._settings, send=self._send
            )
            _remove_earlier(final)
        if status is None or (run.failure is not None and status.has_results):
            status = run.status(provenance=self._provenance)
        told = f": {status.code}: {status.reason}" if status.code else ""
        _log.info("study %s: %s%s", status.study or "unknown", status.outcome, told)
        return status


def _remove_earlier(folder: Path) -> None:
    """Remove an earlier result from a folder, by the list in its status, so that no part of it outlives it."""
    if not (folder / STATUS).is_file():
        return
    try:
        earlier = read_status(folder).files
    except InputError:
        earlier = ()
    (folder / STATUS).unlink()
    for name in earlier:
        if (folder / name).resolve().is_relative_to(folder.resolve()):
            (folder / name).unlink(missing_ok=True)
