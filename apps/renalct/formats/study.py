"""A study from disk: the series chosen for reading, a phase before contrast if there is one, and what was left out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from renalct.core.errors import ErrorCode, InputError
from renalct.core.phase import Phase
from renalct.core.volume import CTVolume
from renalct.formats.dicom.choose import DEFAULT, Choice, choose_series
from renalct.formats.dicom.contrast import estimate_phase
from renalct.formats.dicom.headers import SeriesHeaders
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.rules import Rules
from renalct.formats.dicom.scan import StudyScan, scan_study
from renalct.formats.dicom.series import load_series
from renalct.formats.nifti import is_nifti, read_volume

SCHEMA_VERSION = 2


@dataclass(frozen=True, eq=False)
class Study:
    """The volume to analyse, its DICOM headers (None for NIfTI), and registered phases of the same study.

    `decisions` is the JSON record of why each series was chosen or refused and which files were passed over, without
    the descriptions that people typed.
    """

    volume: CTVolume
    loaded: LoadedSeries | None = field(default=None, repr=False)
    other_phases: tuple[CTVolume, ...] = ()
    notices: tuple[str, ...] = ()
    decisions: dict[str, Any] = field(default_factory=lambda: {"schema_version": SCHEMA_VERSION}, repr=False)


def open_study(path: Path, *, series_instance_uid: str | None = None, rules: Rules = DEFAULT) -> Study:
    """The study at `path`: a folder of DICOM files, a DICOMDIR, a zip, one DICOM file, or a NIfTI file.

    Raises an `InputError` that says what is wrong when there is no CT in it that can be read correctly.
    """
    path = Path(path)
    if not os.path.exists(path):  # where pathlib's own raises an error: no right to look, a name that is too long
        raise InputError(f"there is no file or folder {path}; check the name, and the rights", code=ErrorCode.NO_INPUT)
    if path.is_file() and is_nifti(path):
        if series_instance_uid:
            raise InputError(
                f"{path.name} is one NIfTI volume and has no series to choose; leave out the series",
                code=ErrorCode.NO_SUCH_SERIES,
            )
        return Study(read_volume(path), notices=("Read from NIfTI: no DICOM objects are written.",))
    scan = scan_study(path)
    return load_choice(scan, choose_series(scan, series_instance_uid=series_instance_uid, rules=rules))


def load_choice(scan: StudyScan, choice: Choice) -> Study:
    """The study of a choice that was made: the chosen series and a phase before contrast, with their pixels."""
    loaded = load_series(choice.chosen)
    others, notices = _before_contrast(loaded.volume, choice.other_phases)
    decisions = {"schema_version": SCHEMA_VERSION, **_decisions(scan, choice)}
    return Study(loaded.volume, loaded, others, (*choice.notices, *_of_lost_files(scan), *notices), decisions)


def _of_lost_files(scan: StudyScan) -> tuple[str, ...]:
    """A notice where images of the study may be among the files that could not be read."""
    lost = sum(file.is_lost for file in scan.skipped)
    are = "file that could not be read is" if lost == 1 else "files or folders that could not be read are"
    return (f"Perhaps incomplete: {lost} {are} passed over; images of this series may be missing.",) if lost else ()


def _before_contrast(
    chosen: CTVolume, candidates: Sequence[SeriesHeaders]
) -> tuple[tuple[CTVolume, ...], tuple[str, ...]]:
    """The first non-contrast series beside an enhanced one; a notice where it cannot be read."""
    if chosen.phase.phase is Phase.NON_CONTRAST:
        return (), ()
    for series in candidates:
        if estimate_phase(series).phase is Phase.NON_CONTRAST:
            try:
                return (load_series(series).volume,), ()
            except InputError as error:
                return (), (f"The phase before contrast was not used: {error}.",)
    return (), ()


def _decisions(scan: StudyScan, choice: Choice) -> dict[str, Any]:
    return {
        "chosen": {**_identity(choice.chosen), "reason": choice.reason},
        "refused": [{**_identity(refusal.series), "reason": refusal.reason} for refusal in choice.refused],
        "other_phases": [_identity(series) for series in choice.other_phases],
        "skipped_files": [{"name": file.name, "reason": file.reason} for file in scan.skipped],
    }


def _identity(series: SeriesHeaders) -> dict[str, Any]:
    phase = estimate_phase(series)
    return {
        "series_instance_uid": series.series_instance_uid,
        "part": series.part,
        "parts": series.parts,
        "series_number": series.source.series_number,
        "slices": len(series.slices),
        "phase": phase.phase.value,
        "phase_probability": round(phase.probability, 3),
    }
