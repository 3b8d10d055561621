"""The MONAI Deploy application from outside: a process with folders, as `python deploy` and as a package runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from renalct.formats.dicom.rules import Rules
from renalct.models.release import CARD, STARTER

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
ENDS_WITHIN_S = 300


def run_graph(*arguments, environment, application=DEPLOY, cwd=ROOT) -> subprocess.CompletedProcess:
    """The ended process of ``python deploy`` with these arguments."""
    command = [sys.executable, str(application), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False, env=environment, cwd=cwd
    )


@pytest.fixture(scope="module")
def packaged(made_study, tmp_path_factory, activated) -> tuple[subprocess.CompletedProcess, Path]:
    """A run as inside an application package: folders named by variables, our source and every folder of it first on
    the path (ahead of the standard library), the application under another name, the release in a folder of its own.
    """
    root = tmp_path_factory.mktemp("package")
    application = shutil.copytree(DEPLOY, root / "app", ignore=shutil.ignore_patterns("__pycache__"))
    sources = shutil.copytree(ROOT / "apps", root / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(STARTER, root / "models" / "starter")
    (root / "output").mkdir()
    folders = [str(path) for path in (sources, *sorted(sources.rglob("*"))) if path.is_dir()]
    variables = {
        "HOLOSCAN_INPUT_PATH": str(made_study.dicom),
        "HOLOSCAN_OUTPUT_PATH": str(root / "output"),
        "HOLOSCAN_MODEL_PATH": str(root / "models"),
        "PYTHONPATH": os.pathsep.join(folders),
    }
    return run_graph(environment=activated | variables, application=application, cwd=root), root / "output"


@pytest.fixture(scope="module")
def written(packaged) -> dict[str, Path]:
    """What the run left, by file name."""
    process, output = packaged
    assert process.returncode == 0, process.stderr
    return {path.name: path for path in output.iterdir()}


def test_a_study_becomes_segmentation_structured_report_maps_and_key_images(written):
    masses = [mass["number"] for mass in json.loads(written["report.json"].read_text())["masses"]]
    assert masses, "the made study holds masses"
    pictures = {f"{kind}_{n}.dcm" for kind in ("class_activation", "key_image") for n in masses}
    others = {"seg.dcm", "sr.dcm", "key_objects.dcm", "report.json", "report.html", "series.json"}
    assert set(written) == pictures | others, "and nothing unfinished"


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
    process, _ = packaged
    source = pydicom.dcmread(next(path for path in made_study.dicom.rglob("*.dcm")), stop_before_pixels=True)
    for identifying in (str(source.PatientName), str(source.PatientID)):
        assert identifying not in process.stdout + process.stderr


@pytest.mark.parametrize(
    ("kind", "exit_code", "sentence"),
    [("no images", 2, "renalct: no CT slices were found among 1 file"), ("release", 3, "renalct: ")],
)
def test_what_is_refused_ends_with_one_clear_sentence_and_writes_nothing(
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
    assert list((tmp_path / "output").iterdir()) == []


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
    assert [entry["modality"] for entry in outputs] == ["SEG", "SR"]
