"""Every object that we write, stored in a real archive by C-STORE and by STOW-RS, comes back as it was."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_corpus import made_slices, save
from dicom_findings import NOW, SETTINGS, made_findings, made_pictures, made_report, made_series
from dicom_peers import output_of, program
from made_report import provenance
from orthanc import Orthanc, running_orthanc
from renalct.core.errors import ErrorCode
from renalct.core.findings import Findings
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation
from renalct.formats.dicom.objects import SegmentationEncoding, write_objects
from renalct.formats.dicom.refusal_report import write_refusal_report
from renalct.formats.dicom.refused_study import find_refused_study
from renalct.formats.dicom.web import DicomWeb, WebSettings

RESULTS = (
    "seg.dcm", "sr.dcm", "sr_diameters.dcm", "class_activation_1.dcm", "key_image_1.dcm", "key_image_2.dcm",
    "key_image_3.dcm", "key_objects.dcm",
)  # fmt: skip
OTHERS = ("nothing/sr.dcm", "label.dcm", "not_analysed.dcm")
LABEL_MAP_SEG = "labelmap/seg.dcm"


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[str, Path]:
    """The file of every kind of object, by its name."""
    folder = tmp_path_factory.mktemp("written")
    series = made_series()
    report = made_report(made_findings(series.volume.grid))
    write_objects(series, report, made_pictures(series, report), folder, settings=SETTINGS)
    for name, images, found, settings in (
        ("nothing", made_series(SeriesInstanceUID="1.2.3.77"), Findings(), SETTINGS),
        ("labelmap", series, report.findings, replace(SETTINGS, encoding=SegmentationEncoding.LABELMAP)),
    ):
        (folder / name).mkdir()
        write_objects(images, made_report(found), {}, folder / name, settings=settings)
    values = np.zeros(series.volume.grid.shape, np.uint8)
    values[4:9, 4:9, 4:9] = Structure.KIDNEY
    label = label_segmentation(series, LabelMap(values, series.volume.grid), LabelOrigin("anna", 1, NOW))
    label.save_as(folder / "label.dcm", enforce_file_format=True)
    save(made_slices()[:2], folder / "refused")
    refused = find_refused_study(folder / "refused")
    write_refusal_report(refused, ErrorCode.MISSING_SLICES, "two", folder, provenance=provenance(), now=NOW)
    return {name: folder / name for name in (*RESULTS, *OTHERS, LABEL_MAP_SEG)}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("archive")) as orthanc:
        yield orthanc


def stored(archive: Orthanc) -> dict[str, bytes]:
    """The files of the archive by their SOP Instance UID."""
    with archive.rest as client:
        found = {}
        for instance in client.get("/instances", params={"expand": ""}).json():
            content = client.get(f"/instances/{instance['ID']}/file").content
            found[instance["MainDicomTags"]["SOPInstanceUID"]] = content
        return found


def same(files, archive: Orthanc, folder: Path) -> None:
    """Assert that the archive holds these objects and no others, value by value, and gives them over DICOMweb."""
    held = stored(archive)
    originals = {path: pydicom.dcmread(path) for path in files}
    assert set(held) == {str(original.SOPInstanceUID) for original in originals.values()}
    web = DicomWeb(WebSettings(archive.url))
    for number, (path, original) in enumerate(originals.items()):
        copy = folder / f"{number}.dcm"
        copy.write_bytes(held[str(original.SOPInstanceUID)])
        assert pydicom.dcmread(copy) == original, f"{path.name} was changed"
        (folder / f"web{number}").mkdir()
        fetched = [
            pydicom.dcmread(each)
            for each in web.fetch(original.StudyInstanceUID, original.SeriesInstanceUID, folder / f"web{number}")
        ]
        assert original in fetched, f"{path.name} was changed on its way over DICOMweb"


def test_every_object_stored_by_c_store_comes_back_equal(written, archive, tmp_path):
    archive.clear()
    files = [written[name] for name in (*RESULTS, *OTHERS)]
    storescu = program("storescu", "apt-get install dcmtk")
    said = output_of(storescu, "-R", "-v", "127.0.0.1", archive.dicom_port, *files)
    assert said.count("Received Store Response (Success)") == len(files), said
    same(files, archive, tmp_path)


def test_every_object_stored_by_stow_rs_comes_back_equal(written, archive, tmp_path):
    archive.clear()
    outcomes = DicomWeb(WebSettings(archive.url)).store(written.values())
    assert [outcome.reason for outcome in outcomes] == [""] * len(written)
    same(list(written.values()), archive, tmp_path)


def test_objects_sent_over_both_ways_are_held_once(written, archive):
    archive.clear()
    files = [written[name] for name in RESULTS]
    output_of(program("storescu", "apt-get install dcmtk"), "-R", "127.0.0.1", archive.dicom_port, *files)
    assert all(outcome.is_stored for outcome in DicomWeb(WebSettings(archive.url)).store(files))
    assert len(stored(archive)) == len(RESULTS)
