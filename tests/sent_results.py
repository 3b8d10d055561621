"""Results to send: the objects of made findings in a folder as `renalct predict` leaves it; a study for each number."""

import json
from pathlib import Path

import pydicom
from dicom_findings import SETTINGS, made_findings, made_pictures, made_report, made_series
from renalct.formats.dicom.objects import write_objects


def made_results(folder: Path, number: int = 1) -> tuple[Path, ...]:
    """The DICOM files of a results folder, whose UIDs are those of the study with this number."""
    series = made_series()
    for header in series.headers:
        header.StudyInstanceUID, header.SeriesInstanceUID = f"1.2.3.{number}.1", f"1.2.3.{number}.2"
        header.SOPInstanceUID = f"{header.SOPInstanceUID}.{number}"
    report = made_report(made_findings(series.volume.grid))
    folder.mkdir(parents=True, exist_ok=True)
    paths = write_objects(series, report, made_pictures(series, report), folder, settings=SETTINGS)
    (folder / "report.json").write_text(json.dumps(report.to_json()))
    return tuple(paths)


def uids_of(paths) -> list[str]:
    """The SOP Instance UIDs of files, sorted."""
    return sorted(str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in paths)


def copied_results(files, folder: Path, number: int) -> tuple[Path, ...]:
    """The files of a results folder once more, as the objects of the study with this number."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = f"1.2.3.{number}.1"
        dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID[:40]}.{number}"
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID[:40]}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        paths.append(folder / path.name)
        dataset.save_as(paths[-1])
    (folder / "report.json").write_text("{}")
    return tuple(paths)
