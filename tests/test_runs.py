"""One study, one outcome: its results or a reason, and a status that programs can act on."""

import errno
import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from renalct.core.errors import ErrorCode, InputError, OutputError, ReleaseError, TransferError
from renalct.formats.dicom.rules import Rules
from renalct.runs import analysis
from renalct.runs.analysis import analyse_study
from renalct.runs.finishing import send_results
from renalct.runs.status import (
    Outcome,
    StudyStatus,
    exit_code_of,
    read_status,
    study_hash,
    without_uids,
    write_status,
)
from renalct.runs.studies import analyse_studies, failed_before
from renalct.runs.study_run import StudyRun
from scripted_networks import two_kidneys
from scripted_runs import SETTINGS, body_without_kidneys, kidney_study, scripted_cascade, study_with_a_gap

STUDIES = {"kidneys": kidney_study, "body": body_without_kidneys, "gap": study_with_a_gap}


@pytest.fixture(scope="module")
def cascade():
    return scripted_cascade()


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    return {name: make(folder / name) for name, make in STUDIES.items()}


def uid_of(folder):
    return str(pydicom.dcmread(next(folder.rglob("*.dcm")), stop_before_pixels=True).StudyInstanceUID)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_study_with_kidneys_is_ok_and_its_results_are_listed(cascade, studies, tmp_path):
    status = analyse_study(studies["kidneys"], tmp_path / "out", cascade=cascade, settings=SETTINGS)
    assert (status.outcome, status.code, status.reason, status.exit_code) == (Outcome.OK, "", "", 0)
    assert (status.kidneys, status.masses) == (2, 2)
    assert {"seg.dcm", "sr.dcm", "report.json", "label_map.nii.gz"} < set(status.files)
    assert names(tmp_path / "out") == {*status.files, "status.json"}
    assert status.study == study_hash(uid_of(studies["kidneys"]))
    assert {"read", "analyse", "write", "localize", "segment"} <= dict(status.seconds_per_stage).keys()
    assert (status.release, status.device) == ("scripted 1", "cpu")


def test_the_status_on_disk_is_the_one_that_was_returned(cascade, studies, tmp_path):
    status = analyse_study(studies["body"], tmp_path / "out", cascade=cascade, settings=SETTINGS)
    kept = read_status(tmp_path / "out")
    assert replace(kept, seconds_per_stage=()) == replace(status, seconds_per_stage=())
    assert json.loads((tmp_path / "out" / "status.json").read_text())["schema_version"] == 1


def test_a_study_without_kidneys_is_no_failure(cascade, studies, tmp_path):
    status = analyse_study(studies["body"], tmp_path / "out", cascade=cascade, settings=SETTINGS)
    assert (status.outcome, status.exit_code, status.kidneys) == (Outcome.NO_KIDNEY, 0, 0)
    assert "sr.dcm" in status.files


def test_a_refused_study_has_a_code_and_a_reason_and_nothing_else(cascade, studies, tmp_path):
    status = analyse_study(studies["gap"], tmp_path / "out", cascade=cascade, settings=SETTINGS)
    assert (status.outcome, status.code, status.exit_code) == (Outcome.REFUSED, "missing-slices", 2)
    assert "2 of 24 slice positions are missing" in status.reason and "export the complete series" in status.reason
    assert status.study == study_hash(uid_of(studies["gap"]))
    assert names(tmp_path / "out") == {"status.json"}


def test_a_refusal_is_told_to_the_archive_when_that_is_asked_for(cascade, studies, tmp_path):
    settings = replace(SETTINGS, refusal_report=True)
    status = analyse_study(studies["gap"], tmp_path / "out", cascade=cascade, settings=settings)
    assert (status.outcome, status.files) == (Outcome.REFUSED, ("not_analysed.dcm",))
    path = tmp_path / "out" / "not_analysed.dcm"
    assert pydicom.dcmread(path).StudyInstanceUID == uid_of(studies["gap"])
    assert b"series 2.25." in path.read_bytes(), "beside the images the series is named by its UID"


def test_what_has_no_header_has_a_status_without_a_study(cascade, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear colleague")
    settings = replace(SETTINGS, refusal_report=True)
    status = analyse_study(tmp_path / "letter.txt", tmp_path / "out", cascade=cascade, settings=settings)
    assert (status.outcome, status.code, status.study) == (Outcome.REFUSED, "not-a-study", "")
    assert names(tmp_path / "out") == {"status.json"}


def test_a_failure_that_nobody_foresaw_is_a_status_too(studies, tmp_path):
    class Broken(type(scripted_cascade())):
        def run(self, volume, **_):
            raise ZeroDivisionError("of Doe^John")

    cascade = scripted_cascade()
    cascade.__class__ = Broken
    status = analyse_study(studies["kidneys"], tmp_path / "out", cascade=cascade, settings=SETTINGS)
    assert (status.outcome, status.code, status.exit_code) == (Outcome.FAILED, "bug", 1)
    assert "builtins.ZeroDivisionError in the step analyse" in status.reason
    assert "Doe" not in status.reason, "the words of a foreign error may hold anything"
    assert names(tmp_path / "out") == {"status.json"}


def test_an_interruption_passes_and_leaves_nothing(studies, tmp_path):
    class Interrupted(type(scripted_cascade())):
        def run(self, volume, **_):
            raise KeyboardInterrupt

    cascade = scripted_cascade()
    cascade.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        analyse_study(studies["kidneys"], tmp_path / "out", cascade=cascade, settings=SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_failure_and_no_refusal(cascade, studies, tmp_path):
    (tmp_path / "out").write_text("a file")
    status = analyse_study(studies["kidneys"], tmp_path / "out", cascade=cascade, settings=SETTINGS)
    assert (status.outcome, status.code, status.exit_code) == (Outcome.FAILED, "output-taken", 2)
    assert (tmp_path / "out").read_text() == "a file"


def test_an_earlier_result_is_replaced_as_a_whole_a_refusal_too(cascade, studies, tmp_path):
    out = tmp_path / "out"
    for name, outcome in (("gap", Outcome.REFUSED), ("kidneys", Outcome.OK), ("gap", Outcome.REFUSED)):
        assert analyse_study(studies[name], out, cascade=cascade, settings=SETTINGS).outcome is outcome
        assert ("seg.dcm" in names(out)) is (outcome is Outcome.OK)
    kept = analyse_study(studies["kidneys"], out, cascade=cascade, settings=replace(SETTINGS, replace_existing=False))
    assert (kept.outcome, kept.code) == (Outcome.FAILED, "output-taken")
    assert read_status(out).outcome is Outcome.REFUSED


def test_the_status_names_study_and_series_by_hashes_that_the_salt_changes(cascade, studies, tmp_path):
    uid = uid_of(studies["gap"])
    plain = analyse_study(studies["gap"], tmp_path / "a", cascade=cascade, settings=SETTINGS)
    salted = analyse_study(studies["gap"], tmp_path / "b", cascade=cascade, settings=replace(SETTINGS, salt="pepper"))
    assert plain.reason.startswith("series [") and uid not in json.dumps(plain.to_json())
    assert plain.reason != salted.reason


def test_a_study_is_hashed_with_the_salt_and_none_has_no_hash():
    assert study_hash("1.2.3") == study_hash("1.2.3") != study_hash("1.2.4")
    assert len(study_hash("1.2.3")) == 16 and study_hash("1.2.3", salt="a") != study_hash("1.2.3", salt="b")
    assert study_hash("") == ""


def test_uids_are_taken_out_of_a_sentence_and_numbers_are_not():
    sentence = "part 2 of series 1.2.840.113619.2.55 has gaps at z = -212.5 mm; see 2.25.318491337102 (0.75 mm)."
    cleaned = without_uids(sentence)
    assert cleaned == (
        f"part 2 of series [{study_hash('1.2.840.113619.2.55')}] has gaps at z = -212.5 mm; "
        f"see [{study_hash('2.25.318491337102')}] (0.75 mm)."
    )


@pytest.mark.parametrize(
    ("codes", "whole"), [((0, 0), 0), ((0, 4), 4), ((4, 2, 0), 2), ((2, 3, 4), 3), ((0, 3, 1, 2), 1), ((), 0)]
)
def test_the_exit_code_of_several_studies_is_that_of_the_worst(codes, whole):
    code_of = {1: "bug", 2: "missing-slices", 3: "release", 4: "transfer"}
    statuses = [
        StudyStatus(Outcome.OK if code in (0, 4) else Outcome.FAILED, code=code_of.get(code, ""), exit_code=code)
        for code in codes
    ]
    assert exit_code_of(statuses) == whole


@pytest.mark.parametrize(
    "wrong",
    [
        {"outcome": Outcome.REFUSED},
        {"outcome": Outcome.OK, "code": "missing-slices", "exit_code": 2},
        {"outcome": Outcome.REFUSED, "code": "strange", "exit_code": 2},
        {"outcome": Outcome.FAILED, "code": "bug"},
    ],
)
def test_a_status_that_contradicts_itself_is_none(wrong):
    with pytest.raises(ValueError):
        StudyStatus(**wrong)


def test_a_damaged_status_and_one_of_another_version_are_told(tmp_path):
    write_status(StudyStatus(Outcome.OK), tmp_path)
    assert read_status(tmp_path).outcome is Outcome.OK
    wrong = {
        "{": "cannot be read as a status",
        '{"schema_version": 2}': "not of schema version 1",
        '{"schema_version": 1, "outcome": "fine"}': "lacks a value or holds a wrong one",
    }
    for text, words in wrong.items():
        (tmp_path / "status.json").write_text(text)
        with pytest.raises(InputError, match=words):
            read_status(tmp_path)


def by_cascade(cascade):
    """The steps of a host, in one."""

    def steps(run, scan, folder):
        volume = two_kidneys()
        with run.step("segment_masses"):
            run.report = cascade.run(volume).report
        (folder / "sr.dcm").write_text("results")

    return steps


def test_every_study_of_an_input_has_a_folder_of_its_own(cascade, studies, tmp_path):
    for name in ("kidneys", "gap"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).symlink_to(studies[name])
    steps = by_cascade(cascade)

    def refusing(run, scan, folder):
        steps(run, scan, folder)
        if scan.series[0].study_instance_uid == uid_of(studies["gap"]):
            raise ReleaseError("the release is gone")

    out = tmp_path / "out"
    statuses = analyse_studies(tmp_path / "in", out, steps=refusing, cascade=cascade, settings=SETTINGS)
    found = {status.study: (status.outcome, names(out / status.study)) for status in statuses}
    assert found == {
        study_hash(uid_of(studies["kidneys"])): (Outcome.OK, {"sr.dcm", "status.json"}),
        study_hash(uid_of(studies["gap"])): (Outcome.FAILED, {"status.json"}),
    }
    assert exit_code_of(statuses) == 3


def test_the_results_of_a_single_study_lie_in_the_output_itself(cascade, studies, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        (status,) = analyse_studies(
            studies["kidneys"], tmp_path, steps=by_cascade(cascade), cascade=cascade, settings=SETTINGS
        )
    assert names(tmp_path) == {"sr.dcm", "status.json"} and status.outcome is Outcome.OK
    told = [record.getMessage() for record in caplog.records]
    assert f"segment_masses: start (study {status.study})" in told
    assert any(words.startswith("segment_masses: end after") for words in told)
    assert uid_of(studies["kidneys"]) not in "\n".join(told)


def test_no_part_of_an_earlier_result_outlives_a_refusal(cascade, studies, tmp_path):
    steps = by_cascade(cascade)
    analyse_studies(studies["kidneys"], tmp_path, steps=steps, cascade=cascade, settings=SETTINGS)
    (tmp_path / "mine.txt").write_text("of somebody else")
    (tmp_path / "empty").mkdir()
    (status,) = analyse_studies(tmp_path / "empty", tmp_path, steps=steps, cascade=cascade, settings=SETTINGS)
    assert status.code == "no-input"
    assert names(tmp_path) == {"status.json", "mine.txt", "empty"}


def test_results_that_were_not_taken_stay_and_the_exit_code_is_4(cascade, studies, tmp_path):
    sent = []

    def refuse(files, study):
        sent.append(([file.name for file in files], study))
        raise TransferError("1 object was not delivered (PACS: is full)")

    def steps(run, scan, folder):
        by_cascade(cascade)(run, scan, folder)
        send_results(folder, refuse, run=run)

    (status,) = analyse_studies(studies["kidneys"], tmp_path, steps=steps, cascade=cascade, settings=SETTINGS)
    assert (status.outcome, status.code, status.exit_code) == (Outcome.OK, ErrorCode.TRANSFER, 4)
    assert names(tmp_path) == {"sr.dcm", "status.json"} and "is full" in status.reason
    assert sent == [(["sr.dcm"], status.study)]


def test_the_report_on_a_refusal_is_sent_too(cascade, studies, tmp_path):
    sent = []

    def steps(run, scan, folder):
        raise ReleaseError("gone")

    (status,) = analyse_studies(
        studies["gap"],
        tmp_path,
        steps=steps,
        cascade=cascade,
        settings=replace(SETTINGS, refusal_report=True),
        send=lambda files, study: sent.append(([file.name for file in files], study)),
    )
    assert sent == [(["not_analysed.dcm"], status.study)] and status.files == ("not_analysed.dcm",)


def test_what_came_before_every_study_is_a_status_too(tmp_path):
    status = failed_before(ReleaseError("no release is in models"), tmp_path / "out")
    assert (status.outcome, status.code, status.exit_code) == (Outcome.FAILED, "release", 3)
    assert read_status(tmp_path / "out") == status


def test_a_run_hides_the_path_of_what_was_given_but_no_word_of_the_trade():
    cases = {
        "/data/doe_john.nii": "cannot read the input, nor the input, in a series",
        "/data/in": "cannot read /data/doe_john.nii, nor doe_john.nii, in a series",
        "/data/series.zip": "cannot read /data/doe_john.nii, nor doe_john.nii, in a series",
    }
    for source, told in cases.items():
        run = StudyRun(source=Path(source))
        run.failure = ReleaseError("cannot read /data/doe_john.nii, nor doe_john.nii, in a series")
        assert run.status().reason == told


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_in_the_middle_of_a_study_is_said_as_such(cascade, studies, tmp_path, number, monkeypatch):
    def full(*_, **__):
        try:
            raise OSError(number, os.strerror(number))
        except OSError as error:
            raise OSError("failed to write") from error  # as pydicom does, without the number

    monkeypatch.setattr(analysis, "write_results", full)
    one = analyse_study(studies["kidneys"], tmp_path / "one", cascade=cascade, settings=SETTINGS)
    (other,) = analyse_studies(studies["kidneys"], tmp_path / "other", steps=full, cascade=cascade, settings=SETTINGS)
    for status in (one, other):
        assert (status.outcome, status.code, status.exit_code) == (Outcome.FAILED, ErrorCode.NO_SPACE, 2)
        assert "no space is left" in status.reason and status.files == ()


def test_the_input_is_never_the_place_of_the_results(cascade, studies, tmp_path):
    (tmp_path / "in").symlink_to(studies["kidneys"])
    for place in (studies["kidneys"], tmp_path / "in"):
        with pytest.raises(OutputError, match="the output folder is the input"):
            analyse_studies(place, studies["kidneys"], steps=by_cascade(cascade), cascade=cascade, settings=SETTINGS)
    assert not (studies["kidneys"] / "status.json").exists()


@pytest.mark.parametrize(
    "name", ["Doe Jane", "Doe\nJane", "Doe'Jane", "Doe\\Jane", "Doe\0Jane", "Doe\udcffJane", "D" * 300]
)
def test_no_sentence_repeats_the_path_of_the_input_however_it_is_written(cascade, tmp_path, name):
    (status,) = analyse_studies(tmp_path / name, tmp_path / "out", steps=None, cascade=cascade, settings=SETTINGS)
    assert (status.code, status.outcome) == (ErrorCode.NO_INPUT, Outcome.REFUSED)
    assert "Jane" not in status.reason and "DDD" not in status.reason and str(tmp_path) not in status.reason
    assert analyse_study(tmp_path / name, tmp_path / "o", cascade=cascade, settings=SETTINGS).code == ErrorCode.NO_INPUT


def test_rules_that_no_series_meets_refuse_the_study(cascade, studies, tmp_path):
    rules = Rules.from_json('{"selections": [{"name": "thin", "conditions": {"SliceThickness": [0, 1]}}]}')
    status = analyse_study(
        studies["kidneys"], tmp_path / "out", cascade=cascade, settings=replace(SETTINGS, rules=rules)
    )
    assert (status.outcome, status.code) == (Outcome.REFUSED, "unmet-rules")
