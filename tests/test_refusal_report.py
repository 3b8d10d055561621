"""The structured report of a study that was not analysed: valid for everybody's readers, and always the same."""

from datetime import datetime

import highdicom
import pydicom
import pytest
from dicom_corpus import made_scout, made_screenshot, made_slices, save, save_one
from dicom_findings import NOW
from dicom_peers import dciodvfy_errors, dcmtk_errors, pixelmed_errors
from made_report import provenance
from pydicom import Dataset
from pydicom.uid import MRImageStorage
from renalct.core.errors import ErrorCode
from renalct.formats.dicom.refusal_report import write_refusal_report
from renalct.formats.dicom.refused_study import find_refused_study

REASON = "series 1.2.3.4 has gaps: 2 of 6 slice positions are missing, at z = -305 mm; export the complete series"
CODE = ErrorCode.MISSING_SLICES


def written(study, folder, *, code=CODE, now=NOW):
    return pydicom.dcmread(write_refusal_report(study, code, REASON, folder, provenance=provenance(), now=now))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of CT slices with a gap and a scout, among things that are no DICOM."""
    place = tmp_path_factory.mktemp("refused")
    slices = made_slices(StudyDate="20260102", StudyID="7", AccessionNumber="A1", ReferringPhysicianName="")
    save([*slices[:2], *slices[4:]], place / "in")
    save_one(made_scout(), place / "in" / "scout.dcm")
    (place / "in" / "letter.txt").write_text("Dear colleague")
    return place


@pytest.fixture(scope="module")
def sr(folder):
    return written(find_refused_study(folder / "in"), folder)


def values(item: Dataset, concept: str):
    """The texts and code values under a concept, anywhere in a document."""
    for child in item.get("ContentSequence", []):
        if child.ConceptNameCodeSequence[0].CodeValue == concept:
            yield child.get("TextValue") or child.ConceptCodeSequence[0].CodeValue
        yield from values(child, concept)


def test_the_report_says_that_nothing_was_analysed_and_why(sr):
    assert list(values(sr, "RESULT")) == ["NOTANALYSED"]
    assert list(values(sr, "WHYNOTANALYSED")) == ["missing-slices"]
    assert f"Not analysed: {REASON}" in list(values(sr, "121106"))
    assert (sr.CompletionFlag, sr.VerificationFlag, sr.PreliminaryFlag) == ("COMPLETE", "UNVERIFIED", "PRELIMINARY")


def test_the_report_is_of_the_study_and_refers_to_its_objects(sr):
    assert (sr.StudyInstanceUID, str(sr.PatientName), sr.AccessionNumber) == ("1.2.3", "Made^Data", "A1")
    evidence = [*sr.get("CurrentRequestedProcedureEvidenceSequence", []), *sr.get("PertinentOtherEvidenceSequence", [])]
    objects = [
        i.ReferencedSOPInstanceUID
        for e in evidence
        for s in e.ReferencedSeriesSequence
        for i in s.ReferencedSOPSequence
    ]
    assert sorted(objects) == ["1.2.3.4.9.1", "1.2.3.4.9.2", "1.2.3.4.9.5", "1.2.3.4.9.6", "1.2.3.5.9.1"]


def test_the_report_has_no_error_for_dciodvfy_dcmtk_and_highdicom(sr, folder):
    path = folder / "not_analysed.dcm"
    assert dciodvfy_errors(path) == []
    assert dcmtk_errors(path) == []
    parsed = highdicom.sr.srread(path)
    assert len(parsed.content.get_image_measurement_groups()) == 1


def test_the_report_keeps_the_template_for_pixelmed(sr, folder):
    assert pixelmed_errors(folder / "not_analysed.dcm") == []


def test_the_same_refusal_gives_the_same_bytes_and_another_one_another_object(sr, folder, tmp_path):
    study = find_refused_study(folder / "in")
    again = written(study, tmp_path)
    assert (tmp_path / "not_analysed.dcm").read_bytes() == (folder / "not_analysed.dcm").read_bytes()
    later = written(study, tmp_path, now=datetime(2027, 1, 1))
    assert later.SOPInstanceUID == again.SOPInstanceUID
    assert written(study, tmp_path, code=ErrorCode.LOSSY).SOPInstanceUID != again.SOPInstanceUID


def test_every_code_can_stand_in_a_report():
    assert max(len(code) for code in ErrorCode) <= 16, "PS3.5 6.2: SH has at most 16 characters"


def test_a_study_without_ct_has_a_report_too(tmp_path):
    (image,) = made_slices(1)
    image.SOPClassUID, image.Modality = MRImageStorage, "MR"
    save_one(image, tmp_path / "in.dcm")
    study = find_refused_study(tmp_path)
    assert written(study, tmp_path, code=ErrorCode.NOT_CT).StudyInstanceUID == "1.2.3"


def test_the_study_that_is_asked_for_is_taken(tmp_path):
    save(made_slices(2), tmp_path / "a")
    save(made_slices(2, study="1.2.9", series="1.2.9.4"), tmp_path / "b")
    assert find_refused_study(tmp_path).header.StudyInstanceUID == "1.2.3"
    assert find_refused_study(tmp_path, study_instance_uid="1.2.9").header.StudyInstanceUID == "1.2.9"
    assert find_refused_study(tmp_path, study_instance_uid="1.2.8") is None


def test_what_has_no_readable_header_has_no_report(tmp_path):
    assert find_refused_study(tmp_path) is None
    (tmp_path / "cut.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    screenshot = made_screenshot()
    screenshot.StudyInstanceUID = ""
    save_one(screenshot, tmp_path / "bad.dcm")
    assert find_refused_study(tmp_path) is None
