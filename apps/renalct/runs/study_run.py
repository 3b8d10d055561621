"""One study on its way through the steps: their times, what went wrong, and in the end its status."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from renalct.core.errors import ErrorCode, OutputError, RenalctError, TransferError
from renalct.core.report import Provenance, Report
from renalct.formats.dicom.walk import is_serial_name
from renalct.formats.output_folder import is_out_of_space
from renalct.runs.status import Outcome, StudyStatus, study_hash, without_uids

_log = logging.getLogger(__name__)

_NOT_OF_THE_STUDY = {
    ErrorCode.RULES, ErrorCode.NO_DEVICE, ErrorCode.NO_MEMORY, ErrorCode.OUTPUT, ErrorCode.OUTPUT_TAKEN,
    ErrorCode.NO_SPACE, ErrorCode.RECIPE, ErrorCode.RELEASE, ErrorCode.TRANSFER, ErrorCode.BUG,
}  # fmt: skip
"""What is no fault of the study: it failed, and was not refused."""


class StudyRun:
    """What is known of a study while its steps run. Every step tells its start, its end and its seconds to the log.

    `study_instance_uid` may be set later, when a header was read. The log and the status name the study by hash, and
    never repeat the path of its files (`source`), which may be named after a patient.
    """

    def __init__(self, study_instance_uid: str = "", *, salt: str = "", source: Path | None = None) -> None:
        self.study_instance_uid = study_instance_uid
        self.salt = salt
        self.report: Report | None = None
        self.failure: Exception | None = None
        self._not_sent: TransferError | None = None
        self._hidden = [str(source), repr(str(source))[1:-1]] if source else []
        if source and source.suffix and not is_serial_name(source.name):  # messages name files, and no folders
            self._hidden.append(source.name)
        self._failed_in = ""
        self._seconds: dict[str, float] = {}

    @property
    def study(self) -> str:
        """The hash of the study, "" while it is unknown."""
        return study_hash(self.study_instance_uid, salt=self.salt)

    @property
    def seconds(self) -> float:
        """The seconds of all steps so far."""
        return sum(self._seconds.values())

    @property
    def reason(self) -> str:
        """Why there are no results, with the UIDs of series: for objects that lie beside the images, not for logs."""
        return self._why(self.failure)[1]

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """The time of a step, told and measured; what is raised in it passes."""
        _log.info("%s: start (study %s)", name, self.study or "unknown")
        start = time.perf_counter()
        ended = "stopped"
        try:
            yield
            ended = "end"
        except Exception:
            self._failed_in = self._failed_in or name
            raise
        finally:
            seconds = self._seconds[name] = time.perf_counter() - start
            _log.info("%s: %s after %.2f s (study %s)", name, ended, seconds, self.study or "unknown")

    @contextmanager
    def kept(self) -> Iterator[None]:
        """A time in which a refusal or failure is kept as that of the study, and goes no further.

        That results were not sent leaves them as they are. `KeyboardInterrupt` and `SystemExit` pass.
        """
        try:
            yield
        except TransferError as error:
            self._not_sent = error
        except Exception as error:
            self.failure = self.failure or error
            _log.debug("the study %s came to its end", self.study, exc_info=True)

    def status(self, *, provenance: Provenance | None = None, files: Sequence[str] = ()) -> StudyStatus:
        """The status of the study as it is now, made with a release (None while there is none)."""
        report = self.report
        status = StudyStatus(
            Outcome.OK,
            study=self.study,
            seconds_per_stage=tuple((dict(report.seconds_per_stage if report else ()) | self._seconds).items()),
            files=tuple(sorted(files)),
        )
        if provenance is not None:
            status = replace(
                status,
                release=f"{provenance.release_name} {provenance.release_version}",
                release_digest=provenance.release_digest,
                device=provenance.device,
            )
        if self.failure is not None or report is None:
            code, reason, exit_code = self._why(self.failure)
            outcome = Outcome.FAILED if code in _NOT_OF_THE_STUDY else Outcome.REFUSED
            return replace(status, outcome=outcome, code=code, reason=self._told(reason), exit_code=exit_code)
        code, reason, exit_code = self._why(self._not_sent) if self._not_sent else ("", "", 0)
        kidneys, masses = len(report.findings.kidneys), len(report.findings.masses)
        return replace(
            status,
            outcome=Outcome.OK if kidneys or masses else Outcome.NO_KIDNEY,
            code=code,
            reason=self._told(reason),
            exit_code=exit_code,
            kidneys=kidneys,
            masses=masses,
            notices=tuple(map(self._told, report.notices)),
        )

    def _why(self, error: Exception | None) -> tuple[str, str, int]:
        if isinstance(error, RenalctError):
            return error.code, self._without_path(str(error)), error.exit_code
        if isinstance(error, MemoryError):
            return ErrorCode.NO_MEMORY, "the computer has too little memory for this study; use a larger one", 1
        if isinstance(error, OSError) and is_out_of_space(error):
            reason = "no space is left to write the results; free some, or choose another place"
            return ErrorCode.NO_SPACE, reason, OutputError.exit_code
        kind = f"{type(error).__module__}.{type(error).__name__}" if error else "no report was made"
        where = f" in the step {self._failed_in}" if self._failed_in else ""
        return ErrorCode.BUG, f"a bug in renalct ({kind}{where}); report it with the version of renalct", 1

    def _told(self, sentence: str) -> str:
        """A sentence as the log and the status may repeat it."""
        return without_uids(self._without_path(sentence), salt=self.salt)

    def _without_path(self, sentence: str) -> str:
        for words in self._hidden:
            sentence = re.sub(rf"(?<!\w){re.escape(words)}(?!\w)", "the input", sentence)
        return sentence
