"""The MONAI Deploy application from outside: a process with folders, as `python deploy` and as a package runs it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest
from faulty_scp import FaultyNode
from renalct.formats.dicom.rules import Rules
from renalct.models.release import CARD, STARTER
from renalct.runs.status import Outcome, StudyStatus, read_status
from scripted_runs import study_with_a_gap

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
ENDS_WITHIN_S = 300


def run_graph(*arguments, environment, application=DEPLOY, cwd=ROOT) -> subprocess.CompletedProcess:
    """The ended process of ``python deploy`` with these arguments."""
    command = [sys.executable, str(application), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False, env=environment, cwd=cwd
    )


@dataclass(frozen=True)
class Packaged:
    """A run as inside an application package: the ended process, its output folder, and the archive it sent to."""

    process: subprocess.CompletedProcess
    output: Path
    archive: FaultyNode


@pytest.fixture(scope="module")
def packaged(made_study, tmp_path_factory, activated) -> Packaged:
    """A run on two studies, one with a gap, as inside an application package: folders and settings named by variables,
    our source and every folder of it first on the path (ahead of the standard library), the application under another
    name, the release in a folder of its own.
    """
    root = tmp_path_factory.mktemp("package")
    application = shutil.copytree(DEPLOY, root / "app", ignore=shutil.ignore_patterns("__pycache__", "renalct"))
    sources = shutil.copytree(ROOT / "apps", root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(STARTER, root / "models" / "starter")
    for folder in ("input", "output"):
        (root / folder).mkdir()
    (root / "input" / "good").symlink_to(made_study.dicom)
    study_with_a_gap(root / "input" / "broken")
    folders = [str(path) for path in (sources, *sorted(sources.rglob("*"))) if path.is_dir()]
    archive = FaultyNode()
    with archive.running():
        variables = {
            "HOLOSCAN_INPUT_PATH": str(root / "input"),
            "HOLOSCAN_OUTPUT_PATH": str(root / "output"),
            "HOLOSCAN_MODEL_PATH": str(root / "models"),
            "PYTHONPATH": os.pathsep.join(folders),
            "RENALCT_DESTINATIONS": f"NODE@127.0.0.1:{archive.port}",
            "RENALCT_REFUSAL_REPORT": "1",
            "RENALCT_DEVICE": "cpu",
        }
        process = run_graph(environment=activated | variables, application=application, cwd=root)
    return Packaged(process, root / "output", archive)


@pytest.fixture(scope="module")
def statuses(packaged) -> dict[Outcome, StudyStatus]:
    """The status of each study, by its outcome."""
    assert packaged.process.returncode == 2, packaged.process.stderr
    found = [read_status(folder) for folder in packaged.output.iterdir()]
    assert sorted(folder.name for folder in packaged.output.iterdir()) == sorted(status.study for status in found)
    return {status.outcome: status for status in found}


@pytest.fixture(scope="module")
def written(packaged, statuses) -> dict[str, Path]:
    """What the run left of the study that is sound, by file name."""
    return {path.name: path for path in (packaged.output / statuses[Outcome.OK].study).iterdir()}


def test_a_study_becomes_segmentation_structured_report_maps_and_key_images(written, statuses):
    masses = [mass["number"] for mass in json.loads(written["report.json"].read_text())["masses"]]
    assert masses, "the made study holds masses"
    pictures = {f"{kind}_{n}.dcm" for kind in ("class_activation", "key_image") for n in masses}
    reports = {"sr.dcm", "sr_diameters.dcm", "report.json", "report.html"}
    assert set(written) == pictures | reports | {"seg.dcm", "key_objects.dcm", "series.json", "status.json"}
    assert set(statuses[Outcome.OK].files) == set(written) - {"status.json"}, "and nothing unfinished"


def test_a_study_that_is_refused_loses_nothing_of_the_others(packaged, statuses):
    refused = statuses[Outcome.REFUSED]
    assert (refused.code, refused.files, refused.exit_code) == ("missing-slices", ("not_analysed.dcm",), 2)
    assert statuses[Outcome.OK].exit_code == 0
    assert f"renalct: {refused.reason}" in packaged.process.stderr.splitlines()


def test_every_step_of_every_study_is_in_the_log_with_its_seconds(packaged, statuses):
    told = re.findall(r"- (\w+): (start|end|stopped)(?: after [\d.]+ s)? \(study (\w+)\)", packaged.process.stderr)
    good, broken = ([(step, word) for step, word, study in told if study == statuses[outcome].study]
                    for outcome in (Outcome.OK, Outcome.REFUSED))  # fmt: skip
    steps = ["load", "choose_series", "read_series", "segment_kidneys", "segment_masses", "classify", "explain"]
    writers = {"write_seg", "write_sr", "write_activation_maps", "write_key_images", "write_report"}
    assert good[: 2 * len(steps)] == [(step, word) for step in steps for word in ("start", "end")]
    assert {step for step, _ in good[2 * len(steps) : -2]} == writers
    assert good[-2:] == [("send", "start"), ("send", "end")]
    assert [pair for pair in broken if pair[0] != "write_refusal"] == [
        ("load", "start"), ("load", "end"), ("choose_series", "start"), ("choose_series", "stopped"),
    ]  # fmt: skip
    assert set(dict(statuses[Outcome.OK].seconds_per_stage)) >= {*steps, *writers, "send"}


def test_every_object_reached_the_archive_once(packaged, statuses, written):
    objects = [path for path in written.values() if path.suffix == ".dcm"]
    objects.append(packaged.output / statuses[Outcome.REFUSED].study / "not_analysed.dcm")
    uids = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in objects}
    assert dict(packaged.archive.received) == dict.fromkeys(uids, 1)
    assert set(packaged.archive.stored) == uids


def test_the_objects_belong_to_the_study_and_refer_to_each_other(written, made_study):
    seg, sr = pydicom.dcmread(written["seg.dcm"]), pydicom.dcmread(written["sr.dcm"])
    source = pydicom.dcmread(next(path for path in made_study.dicom.rglob("*.dcm")), stop_before_pixels=True)
    assert (seg.Modality, sr.Modality) == ("SEG", "SR")
    assert {seg.StudyInstanceUID, sr.StudyInstanceUID} == {source.StudyInstanceUID}
    evidence = sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert seg.SOPInstanceUID in [item.ReferencedSOPInstanceUID for s in evidence for item in s.ReferencedSOPSequence]


def test_the_enhanced_series_is_chosen_and_the_other_one_kept_as_a_phase(written):
    decisions = json.loads(written["series.json"].read_text())
    assert decisions["chosen"]["phase"] == "nephrographic"
    assert [series["phase"] for series in decisions["other_phases"]] == ["non-contrast"]


def test_no_patient_text_is_logged(packaged, made_study):
    process = packaged.process
    source = pydicom.dcmread(next(path for path in made_study.dicom.rglob("*.dcm")), stop_before_pixels=True)
    for identifying in (str(source.PatientName), str(source.PatientID)):
        assert identifying not in process.stdout + process.stderr


@pytest.mark.parametrize(
    ("kind", "exit_code", "sentence"),
    [("no images", 2, "renalct: no CT slices were found among 1 file"), ("release", 3, "renalct: ")],
)
def test_what_is_refused_ends_with_one_clear_sentence_and_writes_a_status_alone(
    tmp_path, made_study, activated, kind, exit_code, sentence
):
    for folder in ("input", "models", "output"):
        (tmp_path / folder).mkdir()
    (tmp_path / "input" / "letter.txt").write_text("Dear colleague")
    if kind == "release":
        (tmp_path / "models" / CARD).write_text('{"format": 99}')
    answer = run_graph(
        "-i", tmp_path / "input", "-o", tmp_path / "output", "-m", tmp_path / "models", environment=activated
    )
    assert answer.returncode == exit_code
    assert answer.stderr.splitlines()[-1].startswith(sentence)
    assert "Traceback" not in answer.stderr
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["status.json"]
    status = read_status(tmp_path / "output")
    assert (status.exit_code, status.code) == (exit_code, {2: "not-ct", 3: "release"}[exit_code])


def test_the_series_rules_are_rules():
    rules = Rules.read(DEPLOY / "series_rules.json")
    assert [(c.keyword, c.wanted) for s in rules.selections for c in s.conditions] == [("Modality", "CT")]


def test_the_packager_accepts_the_description_of_the_package():
    code = f"""
import json
from pathlib import Path
from types import SimpleNamespace
from holoscan_cli.packager.config_reader import ApplicationConfiguration
configuration = ApplicationConfiguration()
configuration.read(Path({str(ROOT / "app.yaml")!r}))
class Anything(SimpleNamespace):
    version = None
    def __getattr__(self, name):
        return name
manifest = configuration.populate_app_manifest(Anything()).data
print(json.dumps([configuration.title(), manifest["version"], manifest["input"]["formats"],
                  manifest["output"]["formats"], configuration.pip_packages()]))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    title, version, inputs, outputs, packages = json.loads(answer.stdout.splitlines()[-1])
    assert (title, packages) == ("renalct", None)
    from renalct import __version__

    assert version == __version__
    assert [entry["modality"] for entry in inputs] == ["CT"]
    assert [entry["modality"] for entry in outputs] == ["SEG", "SR", "OT", "KO"]
