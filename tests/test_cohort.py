"""Cohorts without an engine: the manifest, the worker, the folder that is gone on with, and the tables."""

import json
import threading

import pyarrow.parquet as pq
import pytest
import scripted_networks
from cohort_studies import made_studies, manifest_of
from dicom_corpus import made_slices, save
from pydicom import dcmread
from renalct.__main__ import main
from renalct.cohort.engine import EngineSettings
from renalct.cohort.home import CohortFolder, CohortSettings, Kept
from renalct.cohort.manifest import ManifestRow, read_manifest
from renalct.cohort.tables import COLUMNS, write_tables
from renalct.cohort.worker import StudyWorker
from renalct.core.errors import InputError, OutputError
from renalct.core.report import Provenance
from renalct.formats.dicom.deidentify_values import Deidentification
from renalct.runs.status import Outcome, StudyStatus
from renalct.runs.study_run import StudyRun

SENTINEL = "SENTINELSURNAME"
DESCRIPTION = CohortSettings().describe("ab" * 32)


class StandIn:
    """A cascade that answers by a rule, with the provenance of a release."""

    def __init__(self, failing=0):
        self._cascade, self.failing, self.runs = scripted_networks.scripted(), failing, 0
        self.provenance = Provenance("0", "scripted", "0", "5c" * 32, "Nothing was trained.", "none", "scripted")
        self._cascade.__dict__["provenance"] = self.provenance
        object.__setattr__(self._cascade.release, "card", scripted_card())

    def run(self, volume, **others):
        self.runs += 1
        if self.runs <= self.failing:
            raise ZeroDivisionError("a bug")
        return self._cascade.run(volume, **others)


def scripted_card():
    from renalct.models.release import Card

    return Card("scripted", "0", "Nothing was trained.", "none")


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    return made_studies(tmp_path_factory.mktemp("studies"), 2)


@pytest.fixture
def home(tmp_path):
    folder = CohortFolder(tmp_path / "cohort")
    with folder.opened(DESCRIPTION):
        yield folder


def worker(home, cascade=None, **settings):
    return StudyWorker(home.path, CohortSettings(**settings), cascade or StandIn())


# The manifest


def test_a_manifest_is_read_as_csv_and_as_json_lines_alike(tmp_path, studies):
    (tmp_path / "m.csv").write_text(f"study,id,series\n{studies[0]},a,1.2.3\n{studies[1]},,\n")
    lines = [{"study": str(studies[0]), "id": "a", "series": "1.2.3"}, {"study": str(studies[1])}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = read_manifest(tmp_path / "m.csv")
    assert rows == read_manifest(tmp_path / "m.jsonl")
    assert rows[0] == ManifestRow(studies[0], "a", "1.2.3")
    assert rows[1].name.startswith("study-") and studies[1].name not in rows[1].name


def test_a_relative_path_begins_at_the_manifest(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "m.csv").write_text("study\nhere\n")
    assert read_manifest(tmp_path / "m.csv")[0].study == tmp_path / "here"


def test_every_wrong_row_is_told_at_once(tmp_path, studies):
    (tmp_path / "m.csv").write_text(
        f"study,id,series\n{studies[0]},a,\nnowhere,b,\n{studies[1]},a,\n{studies[0]},c,\n,d,\n"
        f"{studies[1]},../e,\n{studies[1]},f,abc\n"
    )
    with pytest.raises(InputError) as told:
        read_manifest(tmp_path / "m.csv")
    for words in (
        "6 rows", "line 3 names a study that is not there", "line 4 has the same id as line 2",
        "line 5 has the same study as line 2", "line 6 names no study", "line 7 has an id that cannot name a folder",
        "line 8 names a series that is no UID",
    ):  # fmt: skip
        assert words in str(told.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.csv", "path\nx\n", "no column 'study'"),
        ("m.csv", "study,serie\n.,x\n", "did you mean 'series'"),
        ("m.csv", "study\n", "lists no study"),
        ("m.csv", "study,id\n.,a,b\n", "not known"),
        ("m.csv", "study\n" + "x" * 200_000 + "\n", "no CSV behind line 1"),
        ("m.csv", "study\n" + "x" * 5000 + "\n", "line 2 names a study that cannot be looked at"),
        ("m.csv", "study\nx\0y\n", "line 2 names a study that cannot be looked at"),
        ("m.jsonl", "[" * 100_000 + "\n", "no JSON object"),
        ("m.jsonl", "[1]\n", "line 1"),
        ("m.jsonl", "{\n", "no JSON object"),
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=words):
        read_manifest(tmp_path / name)


def test_one_study_may_be_listed_for_two_series(tmp_path, studies):
    (tmp_path / "m.csv").write_text(f"study,series\n{studies[0]},1.2\n{studies[0]},1.3\n")
    assert len({row.name for row in read_manifest(tmp_path / "m.csv")}) == 2


# The worker


def test_a_study_gets_a_folder_with_all_results(home, studies):
    assert worker(home).run(ManifestRow(studies[0], "a")).outcome is Outcome.OK
    assert {"status.json", "report.json", "seg.dcm", "sr.dcm"} <= {p.name for p in home.study("a").iterdir()}
    assert home.status("a").outcome is Outcome.OK and home.names() == ["a"]


def test_only_the_report_is_kept_on_request(home, studies):
    worker(home, kept=Kept.REPORT).run(ManifestRow(studies[0], "a"))
    assert {p.name for p in home.study("a").iterdir()} == {"status.json", "report.json"}


def test_a_study_that_is_done_is_left_alone(home, studies):
    cascade = StandIn()
    for _ in range(2):
        worker(home, cascade).run(ManifestRow(studies[0], "a"))
    assert cascade.runs == 1


def test_a_study_that_is_refused_is_done(home, tmp_path):
    (tmp_path / "empty").mkdir()
    status = worker(home).run(ManifestRow(tmp_path / "empty", "a"))
    assert (status.outcome, status.code) == (Outcome.REFUSED, "no-input")
    assert [p.name for p in home.study("a").iterdir()] == ["status.json"]


@pytest.mark.parametrize(("failing", "outcome", "runs"), [(1, Outcome.OK, 2), (2, Outcome.FAILED, 2)])
def test_a_study_that_fails_is_tried_once_more(home, studies, failing, outcome, runs):
    cascade = StandIn(failing)
    assert worker(home, cascade).run(ManifestRow(studies[0], "a")).outcome is outcome
    assert cascade.runs == runs and home.status("a").outcome is outcome


def test_a_study_in_which_two_workers_were_lost_is_given_up(home, studies):
    for _ in range(2):
        home.begin("a")  # and then they were killed
    cascade = StandIn()
    status = worker(home, cascade).run(ManifestRow(studies[0], "a"))
    assert status.outcome is Outcome.FAILED and "lost 2 times" in status.reason and cascade.runs == 0


def test_a_study_in_which_one_worker_was_lost_is_analysed(home, studies):
    home.begin("a")
    assert worker(home).run(ManifestRow(studies[0], "a")).outcome is Outcome.OK


def test_a_worker_ends_itself_when_a_study_takes_too_long(home, studies, monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr("renalct.cohort.worker.os._exit", lambda code: ended.set())

    class Hanging(StandIn):
        def run(self, volume, **others):
            assert ended.wait(30)
            return super().run(volume, **others)

    worker(home, Hanging(), minutes=0.001).run(ManifestRow(studies[0], "a"))
    assert ended.is_set()


def test_another_series_can_be_asked_for(home, studies):
    status = worker(home).run(ManifestRow(studies[0], "a", "1.2.3"))
    assert (status.outcome, status.code) == (Outcome.REFUSED, "unmet-rules")
    uid = str(dcmread(min(studies[0].iterdir())).SeriesInstanceUID)
    assert worker(home).run(ManifestRow(studies[0], "b", uid)).outcome is Outcome.OK


# De-identified


def test_results_of_de_identified_studies_refer_to_each_other_and_to_nobody(home, studies, tmp_path):
    images = [dcmread(path) for path in sorted(studies[0].iterdir())]
    for number, image in enumerate(images):
        image.PatientName, image.PatientID = f"{SENTINEL}^A", f"{SENTINEL}1"
        image.InstitutionName = image.StudyDescription = SENTINEL
        (tmp_path / SENTINEL).mkdir(exist_ok=True)
        image.save_as(tmp_path / SENTINEL / f"{SENTINEL}{number}.dcm")
    how = Deidentification(bytes(32))
    status = worker(home, deidentification=how).run(ManifestRow(tmp_path / SENTINEL, "a"))
    assert status.outcome is Outcome.OK
    for path in home.path.rglob("*"):
        assert SENTINEL not in path.name
        assert path.is_dir() or SENTINEL.encode() not in path.read_bytes(), path
        assert path.is_dir() or str(images[0].StudyInstanceUID).encode() not in path.read_bytes(), path
    seg, sr = (dcmread(home.study("a") / name) for name in ("seg.dcm", "sr.dcm"))
    assert seg.PatientID == sr.PatientID == how.pseudonym(f"{SENTINEL}1")
    assert seg.StudyInstanceUID == sr.StudyInstanceUID == how.uid(str(images[0].StudyInstanceUID))
    named = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named <= {str(how.uid(str(image.SOPInstanceUID))) for image in images}
    assert seg.SOPInstanceUID in {
        item.ReferencedSOPInstanceUID
        for series in sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert seg.PatientIdentityRemoved == sr.PatientIdentityRemoved == "YES"


def test_a_series_is_found_under_its_new_uid(home, studies):
    uid = str(dcmread(min(studies[0].iterdir())).SeriesInstanceUID)
    done = worker(home, deidentification=Deidentification(bytes(32))).run(ManifestRow(studies[0], "a", uid))
    assert done.outcome is Outcome.OK


def test_a_study_that_cannot_be_de_identified_is_refused(home, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text(SENTINEL)
    status = worker(home, deidentification=Deidentification(bytes(32))).run(ManifestRow(tmp_path / "in", "a"))
    assert (status.outcome, status.code) == (Outcome.REFUSED, "not-ct")
    assert SENTINEL not in status.reason


# The folder


def test_a_folder_is_gone_on_with_only_in_the_same_way(tmp_path):
    folder = CohortFolder(tmp_path / "cohort")
    with folder.opened(DESCRIPTION):
        pass
    with folder.opened(DESCRIPTION):
        pass
    with (
        pytest.raises(InputError, match="another kept, release digest"),
        folder.opened(CohortSettings(kept=Kept.REPORT).describe("cd" * 32)),
    ):
        pass


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / "photos.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"), CohortFolder(tmp_path).opened(DESCRIPTION):
        pass


def test_two_processes_cannot_work_in_one_folder(tmp_path):
    first, second = CohortFolder(tmp_path / "c"), CohortFolder(tmp_path / "c")
    refused = pytest.raises(OutputError, match="another process")
    with first.opened(DESCRIPTION), refused, second.opened(DESCRIPTION):
        pass


def test_what_a_killed_process_left_unfinished_is_removed(tmp_path):
    folder = CohortFolder(tmp_path / "c")
    with folder.opened(DESCRIPTION):
        (folder.scratch("a") / "seg.dcm").write_bytes(b"half")
        folder.begin("a")
        left = list((folder.path / ".work").iterdir())
    folder.scratch("b")  # as if killed
    with folder.opened(DESCRIPTION):
        assert left and not (folder.path / ".work").exists() and folder.begin("a") == 0


def test_failures_are_forgotten_on_request_and_nothing_else(home):
    for name, outcome, code, exit_code in (("a", "failed", "bug", 1), ("b", "refused", "geometry", 2)):
        home.give_up(name, StudyStatus(Outcome(outcome), code=code, reason="x", exit_code=exit_code))
    assert home.forget_failures(["a", "b", "c"]) == 1
    assert home.names() == ["b"]


def test_workers_need_a_thread_each():
    with pytest.raises(InputError, match="0 workers"):
        EngineSettings(workers=0)


# The tables


@pytest.fixture(scope="module")
def filled(studies, tmp_path_factory):
    """A cohort of two studies with results and one that was refused, and its tables."""
    folder = CohortFolder(tmp_path_factory.mktemp("tables") / "cohort")
    with folder.opened(DESCRIPTION):
        for name, study in (("b", studies[1]), ("a", studies[0]), ("c", studies[0].parent / "none")):
            worker(folder, kept=Kept.REPORT).run(ManifestRow(study, name))
        write_tables(folder)
    return folder


def table(folder, name):
    return pq.read_table(folder.path / f"{name}.parquet").to_pylist()


def test_there_is_a_row_for_each_study_kidney_and_mass(filled):
    assert [(row["study_id"], row["outcome"], row["kidneys"], row["masses"]) for row in table(filled, "studies")] == [
        ("a", "ok", 2, 2), ("b", "ok", 2, 2), ("c", "refused", 0, 0),
    ]  # fmt: skip
    assert [(row["study_id"], row["side"]) for row in table(filled, "kidneys")] == [
        (name, side) for name in "ab" for side in ("right", "left")
    ]
    masses = [row for row in table(filled, "masses") if row["study_id"] == "a"]
    assert [row["number"] for row in masses] == [1, 2]
    # 6 x 6 x 4 and 4 x 4 x 2 voxels of 2 x 2 x 4 mm
    assert [row["volume_ml"] for row in masses] == pytest.approx([144 * 0.016, 32 * 0.016])
    assert masses[0]["hu_mean"] == pytest.approx(80) and masses[0]["class"] == "unknown"


def test_every_value_of_a_report_has_a_column(filled):
    report = json.loads((filled.study("a") / "report.json").read_text())
    nested = {"hu", "centroid_mm", "class_probabilities"}
    for name in ("kidneys", "masses"):
        assert set(report[name][0]) - nested <= {column for column, _, _ in COLUMNS[name]}


def test_columns_say_what_they_hold(filled):
    for name in COLUMNS:
        for field in pq.read_schema(filled.path / f"{name}.parquet"):
            assert field.metadata[b"description"]


def test_the_same_studies_give_the_same_tables_in_any_order(filled):
    before = {name: (filled.path / f"{name}.parquet").read_bytes() for name in COLUMNS}
    for name in ("c", "a", "b"):
        moved = filled.study(name).rename(filled.study(f"x{name}"))
        moved.rename(filled.study(name))
    write_tables(filled)
    assert before == {name: (filled.path / f"{name}.parquet").read_bytes() for name in COLUMNS}


def test_a_cohort_without_results_has_tables_without_rows(tmp_path):
    folder = CohortFolder(tmp_path / "c")
    with folder.opened(DESCRIPTION):
        write_tables(folder)
    assert table(folder, "masses") == [] and table(folder, "studies") == []


def test_a_damaged_report_is_told(home):
    home.give_up("a", StudyStatus(Outcome.OK))
    with pytest.raises(InputError, match="start the cohort again"):
        write_tables(home)


# The command


def test_options_that_do_not_fit_are_refused_before_anything_starts(tmp_path, capsys, studies):
    manifest = str(manifest_of(studies, tmp_path / "m.csv"))
    for words, told in (
        (["--deidentify"], "needs --key"),
        (["--shift-dates"], "add --deidentify"),
        (["--address", "auto"], "needs --workers"),
        (["--workers", "0"], "0 workers"),
        (["--minutes", "0"], "more than 0"),
        (["--minutes", "1e9"], "10080 at most"),
        (["--deidentify", "--key", str(tmp_path / "out" / "k")], "among the results"),
    ):
        assert main(["cohort", manifest, "-o", str(tmp_path / "out"), *words]) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_status_of_a_run_tells_no_path(tmp_path):
    save(made_slices(1), tmp_path / SENTINEL)
    run = StudyRun(source=tmp_path / SENTINEL)
    with run.kept():
        raise InputError(f"{tmp_path / SENTINEL} is wrong")
    assert SENTINEL not in run.status().reason
