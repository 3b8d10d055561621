"""The analysis of one study by a host that has many: results or a reason, and a status either way."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from renalct.core.errors import ErrorCode, InputError
from renalct.formats.dicom.choose import DEFAULT, choose_series
from renalct.formats.dicom.objects import ObjectSettings, SegmentationEncoding, SliceRange
from renalct.formats.dicom.rules import Rules
from renalct.formats.dicom.scan import scan_study
from renalct.formats.nifti import is_nifti
from renalct.formats.output_folder import output_folder
from renalct.formats.quiet import quietly
from renalct.formats.results import write_results
from renalct.formats.study import Study, load_choice, open_study
from renalct.runs.finishing import finish
from renalct.runs.status import StudyStatus
from renalct.runs.study_run import StudyRun

if TYPE_CHECKING:  # a host imports this long before it needs PyTorch
    from renalct.cascade import Cascade


@dataclass(frozen=True)
class AnalysisSettings:
    """How studies are analysed: what may be read, what is written, and under which names the logs know a study.

    `refusal_report` writes a structured report, not_analysed.dcm, for a study that is refused. `salt` goes into the
    hashes that stand for UIDs. `replace_existing` replaces an earlier result of the study.
    """

    rules: Rules = DEFAULT
    slices: SliceRange = SliceRange.FINDINGS
    encoding: SegmentationEncoding = SegmentationEncoding.BINARY
    refusal_report: bool = False
    replace_existing: bool = True
    salt: str = ""
    clock: Callable[[], datetime] = datetime.now

    def objects(self) -> ObjectSettings:
        """How the DICOM objects of a study are written that is analysed now."""
        return ObjectSettings(self.clock(), self.slices, self.encoding)


def analyse_study(study: Path, output: Path, *, cascade: Cascade, settings: AnalysisSettings) -> StudyStatus:
    """The status of a study, after the folder `output` has been written whole: its results and status.json.

    `study` is what `open_study` takes: a folder of DICOM files, a DICOMDIR, a zip, one DICOM or NIfTI file. A study
    that is refused, or a failure that nobody foresaw, gives a folder with status.json alone (and not_analysed.dcm,
    where the settings ask for it), and raises nothing. Where `output` cannot be written there is no folder, and the
    status says so. `KeyboardInterrupt` and `SystemExit` pass; then nothing is left behind.
    """
    study, status = Path(study), None
    run = StudyRun(salt=settings.salt, source=study)
    with run.kept(), output_folder(output, replace_existing=settings.replace_existing) as folder:
        with run.kept(), quietly():
            _analyse(run, study, folder, cascade=cascade, settings=settings)
        status = finish(run, folder, source=study, provenance=cascade.provenance, settings=settings)
    if status is None or (run.failure is not None and status.has_results):  # the folder could not be written
        return run.status(provenance=cascade.provenance)
    return status


def _analyse(run: StudyRun, path: Path, folder: Path, *, cascade: Cascade, settings: AnalysisSettings) -> None:
    if not os.path.exists(path):  # said without the path, which may be named after a patient
        raise InputError(
            "there is no file or folder where the study should be, or no right to look there", code=ErrorCode.NO_INPUT
        )
    with run.step("read"):
        study = _read(run, path, rules=settings.rules)
    with run.step("analyse"):
        result = cascade.run(study.volume, other_phases=study.other_phases, notices=study.notices)
    with run.step("write"):
        write_results(study, result.label_map, result.report, folder, settings=settings.objects())
    run.report = result.report


def _read(run: StudyRun, path: Path, *, rules: Rules) -> Study:
    """The study as `open_study` reads it; the run knows which it is before a series is refused."""
    if is_nifti(path):
        return open_study(path)
    scan = scan_study(path)
    run.study_instance_uid = min(series.study_instance_uid for series in scan.series)
    study = load_choice(scan, choose_series(scan, rules=rules))
    run.study_instance_uid = study.volume.source.study_instance_uid
    return study
