"""What a worker does: it loads the networks once, and takes one study after another from its place to its folder."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from renalct.cohort.home import CohortFolder, CohortSettings
from renalct.cohort.manifest import ManifestRow
from renalct.core.errors import ErrorCode
from renalct.formats.dicom.deidentify_study import deidentify_study
from renalct.formats.dicom.rules import Condition, Rules, Selection
from renalct.runs.analysis import AnalysisSettings, analyse_study
from renalct.runs.status import Outcome, StudyStatus, write_status
from renalct.runs.study_run import StudyRun

if TYPE_CHECKING:
    from renalct.cascade import Cascade

_TRIES = 2
_GIVEN_UP = 75
"""The exit code of a worker that ends itself because its study takes too long."""


class StudyWorker:
    """Analyses studies of a cohort, one after the other, with networks that are loaded once."""

    def __init__(self, folder: Path, settings: CohortSettings, cascade: Cascade) -> None:
        self._folder, self._settings, self._cascade = CohortFolder(folder), settings, cascade

    def run(self, row: ManifestRow) -> StudyStatus:
        """What became of a study, after its folder was written.

        A study that is done is left as it is. One that fails, or whose worker was lost in it, is tried once more.
        """
        status = self._folder.status(row.name)
        while status is None or status.outcome is Outcome.FAILED:
            begun = self._folder.begin(row.name)
            if begun >= _TRIES:
                break
            with self._bounded():
                status = self._once(row)
        if status is None:
            status = self._lost()
            self._folder.give_up(row.name, status)
        return status

    def _once(self, row: ManifestRow) -> StudyStatus:
        scratch, results = self._folder.scratch(row.name), None
        run = StudyRun(source=row.study)
        with tempfile.TemporaryDirectory(prefix="renalct-") as images:
            results = scratch / "results"
            study, series = row.study, row.series
            with run.kept():
                if self._settings.deidentification is not None:
                    study = deidentify_study(study, Path(images), self._settings.deidentification).path
                    series = series and str(self._settings.deidentification.uid(series))
            if run.failure is None:
                settings = AnalysisSettings(rules=_rules(series))
                status = analyse_study(study, results, cascade=self._cascade, settings=settings)
            else:
                status = run.status(provenance=self._cascade.provenance)
        if not results.is_dir():
            results.mkdir()
            write_status(status, results)
        self._folder.keep(row.name, results, self._settings.kept)
        shutil.rmtree(scratch, ignore_errors=True)
        return status

    def _lost(self) -> StudyStatus:
        provenance = self._cascade.provenance
        return StudyStatus(
            Outcome.FAILED,
            code=ErrorCode.NO_MEMORY,
            reason=f"the worker was lost {_TRIES} times in this study: it was killed, mostly for too little memory, "
            f"or took more than {self._settings.minutes:g} minutes; use a larger machine, or fewer workers",
            exit_code=1,
            release=f"{provenance.release_name} {provenance.release_version}",
            release_digest=provenance.release_digest,
            device=provenance.device,
        )

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """A time that ends the whole worker when it takes too long: nothing else stops a library that hangs."""
        timer = threading.Timer(60 * self._settings.minutes, os._exit, (_GIVEN_UP,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def _rules(series: str) -> Rules:
    """Rules that only a series of this UID meets; any series for ""."""
    if not series:
        return Rules()
    return Rules((Selection("the manifest", (Condition("SeriesInstanceUID", f"^{re.escape(series)}$"),)),))
