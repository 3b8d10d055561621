"""Nothing of a patient leaves the DICOM results: sentinels in every tag and name, and a search of what is written."""

import logging
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from dicom_corpus import made_scout, made_screenshot, made_slices, save, save_one
from planted_identity import TRACES, plant, plant_files, traces_below, traces_in
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.uid import MRImageStorage
from renalct.formats.dicom.rules import Rules
from renalct.formats.quiet import quietly
from renalct.runs.analysis import analyse_study
from renalct.runs.status import Outcome, StudyStatus, read_status
from scripted_runs import SETTINGS, kidney_study, scripted_cascade, study_with_a_gap

ROOT = Path(__file__).parents[1]
ENDS_WITHIN_S = 300


def planted_input(folder: Path, *studies) -> Path:
    """Studies below a folder with sentinels everywhere, among files that are no images, named after the patient too."""
    for number, make in enumerate(studies):
        make(folder / str(number))
    plant_files(folder)
    save_one(plant(made_scout()), folder / "Sentinel scout.dcm")
    save_one(plant(made_screenshot()), folder / "Sentinel screen.dcm")
    (folder / "Sentinel letter.txt").write_text("Dear Sentinel")
    (folder / "Sentinel damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"Sentinel" * 9)
    return folder


def ended(*command, cwd, environment) -> subprocess.CompletedProcess:
    words = [sys.executable, *map(str, command)]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False, env=environment, cwd=cwd
    )


def test_the_planted_data_hold_what_is_searched_for(tmp_path):
    planted_input(tmp_path, kidney_study)
    (path, *_) = tmp_path.rglob("Sentinel_John_0001.dcm")
    with quietly():
        text = str(pydicom.dcmread(path)).lower()
    assert {trace for trace in TRACES if trace in text} >= {"sentinel", "19010203", "040506", "087y", "31415"}
    assert text.count("sentinel") > 500, "hundreds of attributes"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log").write_text("all is well\nread Sentinel^Pn\n")
    assert traces_below(tmp_path / "out") == ["log: read Sentinel^Pn"]


def test_the_graph_tells_nobody_who_the_patient_is(tmp_path, activated):
    planted_input(tmp_path / "input", kidney_study, study_with_a_gap)
    for name in ("output", "models"):
        (tmp_path / name).mkdir()
    variables = activated | {"RENALCT_REFUSAL_REPORT": "1", "RENALCT_DEVICE": "cpu", "HOLOSCAN_LOG_LEVEL": "DEBUG"}
    answer = ended(
        ROOT / "deploy", "-i", tmp_path / "input", "-o", tmp_path / "output", "-m", tmp_path / "models", "-l", "DEBUG",
        cwd=tmp_path, environment=variables,
    )  # fmt: skip
    found = {read_status(folder).outcome: folder for folder in (tmp_path / "output").iterdir()}
    assert set(found) == {Outcome.OK, Outcome.REFUSED} or set(found) == {Outcome.NO_KIDNEY, Outcome.REFUSED}
    assert traces_in(answer.stdout + answer.stderr) == []
    assert traces_below(tmp_path / "output") == []
    with quietly():
        sr = pydicom.dcmread(next(path for path in (tmp_path / "output").rglob("sr.dcm")))
    assert str(sr.PatientName).startswith("Sentinel"), "the DICOM results are of the patient"


def test_the_command_line_tells_nobody_who_the_patient_is(tmp_path, activated):
    planted_input(tmp_path / "input", kidney_study)
    answer = ended(
        "-m", "renalct", "predict", tmp_path / "input", "-o", tmp_path / "output", cwd=tmp_path, environment=activated
    )
    assert answer.returncode == 0, answer.stderr
    assert traces_in(answer.stdout + answer.stderr) == []
    assert traces_below(tmp_path / "output") == []


def changed(slices, folder, **values):
    for dataset in slices:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    save(slices, folder, prefix="Sentinel")


REFUSED = {
    "missing-slices": lambda s, f: save([*s[:2], *s[4:]], f, prefix="Sentinel"),
    "single-slice": lambda s, f: save(s[:1], f, prefix="Sentinel"),
    "not-ct-numbers": lambda s, f: save(s, f, prefix="Sentinel"),
    "not-ct": lambda s, f: changed(s, f, SOPClassUID=MRImageStorage, Modality="MR"),
    "lossy": lambda s, f: changed(s, f, LossyImageCompression="01"),
    "bad-pixel-format": lambda s, f: changed(s, f, PhotometricInterpretation="SENTINEL"),
    "unmet-rules": lambda s, f: save(s, f, prefix="Sentinel"),
    "damaged-pixels": lambda s, f: changed(s, f, PixelData=b"Sentinel"),
}


@pytest.fixture(scope="module")
def cascade():
    return scripted_cascade()


def heard(folder, caplog, capfd, *, cascade, settings) -> StudyStatus:
    """The status of the study in a folder, after all that was said and written was searched."""
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        source = next((folder / "in").iterdir())
        status = analyse_study(source, folder / "out", cascade=cascade, settings=settings)
    told = [*(record.getMessage() for record in caplog.records), *(str(w.message) for w in warned), *capfd.readouterr()]
    assert traces_in("\n".join(told)) == []
    assert traces_below(folder / "out") == []
    return status


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_tells_nobody_who_the_patient_is(code, cascade, tmp_path, caplog, capfd):
    slices = [plant(dataset) for dataset in made_slices()]
    with quietly():
        REFUSED[code](slices, tmp_path / "in" / "SENTINEL^JOHN")
    settings = replace(SETTINGS, refusal_report=True)
    if code == "unmet-rules":
        rules = Rules.from_json('{"selections": [{"conditions": {"SeriesDescription": "angiography"}}]}')
        settings = replace(settings, rules=rules)
    status = heard(tmp_path, caplog, capfd, cascade=cascade, settings=settings)
    assert (status.outcome, status.code) == (Outcome.REFUSED, code)
    assert "not_analysed.dcm" in status.files


BENT = {
    "PatientBirthDate": "SENTINEL", "PatientAge": "Sentinel is old", "PatientSex": "SENTINEL", "StudyTime": "Sentinel",
    "PatientName": "Sentinel" * 12, "PatientID": "Sentinel\\Sentinel", "AccessionNumber": "Sentinel " * 4,
    "PatientWeight": "Sentinel", "StudyID": "Sentinel" * 4, "SeriesNumber": "Sentinel", "AcquisitionTime": "Sentinel",
    "OtherPatientIDs": "Sentinel\\2", "DeidentificationMethod": "Sentinel" * 12, "IrradiationEventUID": "Sentinel",
}  # fmt: skip


def test_values_that_bend_the_standard_are_not_repeated_in_a_warning(cascade, tmp_path, caplog, capfd):
    kidney_study(tmp_path / "in" / "SENTINEL^JOHN")
    for path in (tmp_path / "in").rglob("*.dcm"):
        with quietly():
            dataset = pydicom.dcmread(path)
            for keyword, value in BENT.items():
                tag = pydicom.datadict.tag_for_keyword(keyword)
                text = value.encode() + b" " * (len(value) % 2)
                dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(text), text, 0, False, True)
            dataset.save_as(path)
    status = heard(tmp_path, caplog, capfd, cascade=cascade, settings=SETTINGS)
    assert status.outcome is Outcome.OK, status.reason
