"""DICOM on both sides of an evaluation: series with segmentations as references, segmentations as predictions."""

import json
import shutil

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from renalct.core.errors import InputError
from renalct.core.labels import Region, Structure
from renalct.core.volume import LabelMap
from renalct.formats.dicom.seg_reading import read_segmentation
from renalct.formats.dicom.series import load_series
from renalct.formats.labelled import find_labelled
from renalct.formats.nifti import write_label_map
from renalct.learning.evaluation import pair_by_name, score, score_all
from renalct.learning.evaluation_files import find_label_files
from renalct.learning.evaluation_references import find_references
from renalct.metrics.scores import ScoreSettings
from test_labelled import dicom_study

SERIES = "1.2.3.4"  # of `dicom_study`


@pytest.fixture
def study(tmp_path):
    """A reference: a CT series, and the segmentation of a kidney and a cyst of 4 x 6 x 5 voxels on it."""
    dicom_study(tmp_path / "r")
    return tmp_path / "r"


def record_of(predictions, references):
    pairing = pair_by_name(find_references(references), find_label_files(predictions), settings=ScoreSettings())
    (task,) = pairing.tasks
    (record,) = score(task)
    return record


def dice(record):
    return [record.scores.region(region).dice for region in Region]


def test_a_segmentation_meets_the_reference_of_its_series_whatever_its_folder_is_called(study, tmp_path):
    (tmp_path / "p" / "patient 7").mkdir(parents=True)
    shutil.copy(study / "seg" / "seg.dcm", tmp_path / "p" / "patient 7" / "seg.dcm")
    record = record_of(tmp_path / "p", study)
    assert record.case == SERIES and record.patient == "1.2.3" and dice(record) == [1.0, 1.0, 1.0]
    (cyst,) = record.scores.references
    assert cyst.structure is Structure.CYST and cyst.touched


def test_segmentations_lie_in_one_folder_too(study, tmp_path):
    (tmp_path / "p").mkdir()
    shutil.copy(study / "seg" / "seg.dcm", tmp_path / "p" / "somebody.dcm")
    assert dice(record_of(tmp_path / "p", study)) == [1.0, 1.0, 1.0]


def by_another_program(study, path, values):
    """A BINARY segmentation by highdicom, with the codes of other programs, of the labels of a volume (columns, rows,
    slices)."""
    images = sorted((pydicom.dcmread(p) for p in (study / "ct").iterdir()), key=lambda d: d.ImagePositionPatient[2])
    for image in images:  # what highdicom wants to copy, and our made slices lack
        for keyword in ("PatientBirthDate", "PatientSex", "PatientName", "StudyID", "AccessionNumber", "StudyDate",
                        "StudyTime", "ReferringPhysicianName"):  # fmt: skip
            image.setdefault(keyword, "")
    kinds = ((1, "Kidney", codes.SCT.Kidney), (2, "Tumor", codes.SCT.Neoplasm))
    described = [
        hd.seg.SegmentDescription(
            number, name, codes.SCT.Organ if number == 1 else codes.SCT.MorphologicallyAbnormalStructure, kind,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL, anatomic_regions=None if number == 1 else [codes.SCT.Kidney],
        )
        for number, name, kind in kinds
    ]  # fmt: skip
    pixels = np.stack([(values == number).transpose(2, 1, 0) for number, _, _ in kinds], axis=-1).astype(np.uint8)
    found = hd.seg.Segmentation(
        images, pixels, hd.seg.SegmentationTypeValues.BINARY, described, hd.UID(), 1, hd.UID(), 1, "Other", "Program",
        "1", "0",
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save_as(path)


def test_a_segmentation_of_another_program_is_scored(study, tmp_path):
    values = np.zeros((40, 32, 20), np.uint8)
    values[8:18, 8:15, 4:16], values[20:24, 8:14, 2:7] = 1, 2
    values[20:22, 8:14, 2:7] = 0  # half of the mass
    by_another_program(study, tmp_path / "p" / "x" / "result 1.dcm", values)
    record = record_of(tmp_path / "p", study)
    expected = 2 * 60 / (120 + 60)  # of the 4 x 6 x 5 voxels of the cyst, half
    assert record.scores.region(Region.MASS).dice == pytest.approx(expected)
    assert record.found[0].predicted.value == "solid" and record.found[0].reference.value == "cystic"


def test_the_label_map_of_a_predicted_study_lies_on_the_voxels_of_its_series(study, tmp_path):
    """As `renalct predict` writes it: label_map.nii.gz, and the series in report.json."""
    (pair,) = find_labelled(study).pairs
    grid = load_series(pair.series).volume.grid
    folder = tmp_path / "p" / "any name"
    folder.mkdir(parents=True)
    write_label_map(LabelMap(read_segmentation(pair.labels, grid).values, grid), folder / "label_map.nii.gz")
    report = {"schema_version": 1, "masses": [], "source": {"series_instance_uid": SERIES}}
    (folder / "report.json").write_text(json.dumps(report))
    assert dice(record_of(tmp_path / "p", study)) == [1.0, 1.0, 1.0]


def test_two_predictions_of_one_series_are_refused(study, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "p" / name).mkdir(parents=True)
        shutil.copy(study / "seg" / "seg.dcm", tmp_path / "p" / name / "seg.dcm")
    with pytest.raises(InputError, match="a, b are predictions of one series; keep one"):
        record_of(tmp_path / "p", study)


def test_a_folder_with_two_segmentations_is_refused_unless_one_has_the_usual_name(study, tmp_path):
    case = tmp_path / "p" / "a"
    case.mkdir(parents=True)
    for name in ("x.dcm", "y.dcm"):
        shutil.copy(study / "seg" / "seg.dcm", case / name)
    with pytest.raises(InputError, match="holds 2 DICOM segmentations"):
        find_label_files(tmp_path / "p")
    (case / "x.dcm").rename(case / "seg.dcm")
    assert find_label_files(tmp_path / "p")["a"].path.name == "seg.dcm"


def test_a_segmentation_of_another_series_is_no_prediction_of_this_one(study, tmp_path):
    dicom_study(tmp_path / "other", study="1.2.2", series="1.2.2.4")
    (tmp_path / "p" / "a").mkdir(parents=True)
    shutil.copy(tmp_path / "other" / "seg" / "seg.dcm", tmp_path / "p" / "a" / "seg.dcm")
    with pytest.raises(InputError, match="no prediction has the name of a reference"):
        record_of(tmp_path / "p", study)


def test_a_segmentation_on_other_slices_is_a_fault_of_its_case(study, tmp_path):
    values = np.zeros((40, 32, 20), np.uint8)
    values[8:18, 8:15, 4:16] = 1
    by_another_program(study, tmp_path / "p" / SERIES / "seg.dcm", values)
    path = tmp_path / "p" / SERIES / "seg.dcm"
    moved = pydicom.dcmread(path)
    for frame in moved.PerFrameFunctionalGroupsSequence:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 1.0
    moved.save_as(path)
    pairing = pair_by_name(find_references(study), find_label_files(tmp_path / "p"), settings=ScoreSettings())
    with pytest.raises(InputError, match="does not lie on the voxels of the image"):
        score_all(pairing.tasks, processes=1, tell=lambda *_: None)
