"""Analyses that take no time, or fail as they are told to, for the child process of a service; light to import."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian
from renalct.core.errors import ErrorCode, ReleaseError
from renalct.delivery.worker import Analysis
from renalct.formats.dicom.uids import derived_uid
from renalct.runs.status import Outcome, StudyStatus, write_status

KILLS, HANGS, IS_REFUSED, REFUSAL_IS_TOLD, KILLS_ONCE = "Kills", "Hangs", "Refused", "RefusalTold", "KillsOnce"
"""What the StudyDescription of a study makes the analysis do, instead of writing two results."""
ROLES = ("first", "second")


@dataclass(frozen=True)
class MadeLoader:
    """Loads an analysis that writes two small reports, with UIDs computed from the study's images.

    A line with its StudyInstanceUID goes into the file `log` whenever an analysis of a study begins.
    """

    log: Path
    seconds: float = 0.0

    def __call__(self) -> Analysis:
        return self._analyse

    def _analyse(self, study: Path, output: Path) -> StudyStatus:
        headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(study.iterdir())]
        uid, asked = headers[0].StudyInstanceUID, headers[0].get("StudyDescription", "")
        with self.log.open("a") as log:
            log.write(f"{uid}\n")
        if asked == KILLS or (asked == KILLS_ONCE and self.log.read_text().splitlines().count(uid) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600 if asked == HANGS else self.seconds)
        part = output.with_name(f".{output.name}.part")
        part.mkdir()
        images = sorted(str(header.SOPInstanceUID) for header in headers)
        if asked == REFUSAL_IS_TOLD:
            report(uid, images, "refusal").save_as(part / "not_analysed.dcm", enforce_file_format=True)
        if asked in (IS_REFUSED, REFUSAL_IS_TOLD):
            status = StudyStatus(Outcome.REFUSED, code=ErrorCode.NOT_CT, reason="no CT slices", exit_code=2)
        else:
            for role in ROLES:
                report(uid, images, role).save_as(part / f"{role}.dcm", enforce_file_format=True)
            status = StudyStatus(Outcome.OK, kidneys=2)
        write_status(status, part)
        part.rename(output)
        return status


class ScriptedLoader:
    """Loads the real analysis with a cascade whose networks answer by rule."""

    def __call__(self) -> Analysis:
        from renalct.runs.analysis import analyse_study
        from scripted_runs import SETTINGS, scripted_cascade

        cascade = scripted_cascade()
        return lambda study, output: analyse_study(study, output, cascade=cascade, settings=SETTINGS)


class DiesAtOnce:
    """A loader whose process does not live to be ready."""

    def __call__(self) -> Analysis:
        os.kill(os.getpid(), signal.SIGKILL)
        return MadeLoader(Path())()


class CannotLoad:
    """A loader of a release that cannot be used."""

    def __call__(self) -> Analysis:
        raise ReleaseError("the weights are damaged; get them again")


def report(study: str, images: list[str], role: str) -> Dataset:
    """A small document of a study, made anew with another time whenever it is made."""
    made = Dataset()
    made.SOPClassUID = BasicTextSRStorage
    made.SOPInstanceUID = derived_uid(role, study, *images)
    made.StudyInstanceUID, made.SeriesInstanceUID = study, derived_uid("series", role, study, *images)
    made.Modality, made.PatientID, made.PatientName = "SR", "MADE", "Made^Data"
    made.ContentTime = time.strftime("%H%M%S")
    made.ContentDescription = str(len(images))
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made
