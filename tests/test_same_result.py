"""One cascade: the command line, the label server and the operator graph give the same voxels and the same findings."""

import email
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from label_server import label_server
from renalct.core.labels import Structure
from renalct.formats.dicom.seg_reading import read_segmentation
from renalct.formats.nifti import read_label_map
from renalct.formats.nrrd_labels import read_labels

ROOT = Path(__file__).parents[1]
ENDS_WITHIN_S = 300


@dataclass(frozen=True)
class Answer:
    """What one host says of the study: label values, and the report without its times."""

    values: np.ndarray
    report: dict


def run(*command, environment) -> None:
    words = [sys.executable, *map(str, command)]
    answer = subprocess.run(
        words, capture_output=True, text=True, timeout=ENDS_WITHIN_S, check=False, env=environment, cwd=ROOT
    )
    assert answer.returncode == 0, answer.stderr


def timeless(report: dict) -> dict:
    assert report.pop("seconds_per_stage")
    return report


@pytest.fixture(scope="module")
def predicted(made_study, tmp_path_factory, activated) -> Path:
    """The folder that the command line wrote."""
    output = tmp_path_factory.mktemp("command") / "result"
    run("-m", "renalct", "predict", made_study.dicom, "-o", output, environment=activated)
    return output


@pytest.fixture(scope="module")
def command_line(predicted) -> Answer:
    report = json.loads((predicted / "report.json").read_text())
    return Answer(read_label_map(predicted / "label_map.nii.gz").values, timeless(report))


@pytest.fixture(scope="module")
def graph_output(made_study, tmp_path_factory, activated) -> Path:
    """The folder that the operator graph wrote."""
    folder = tmp_path_factory.mktemp("graph")
    (folder / "models").mkdir()
    run("deploy", "-i", made_study.dicom, "-o", folder, "-m", folder / "models", environment=activated)
    return folder


@pytest.fixture(scope="module")
def server(made_study, command_line, tmp_path_factory, activated) -> Answer:
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(made_study.dicom, folder / "studies" / "study")
    uid = command_line.report["source"]["series_instance_uid"]
    with label_server(folder, folder / "studies", activated) as client:
        answer = client.post("/infer/renalct", params={"image": uid})
    assert answer.is_success, answer.text
    kind = answer.headers["content-type"].encode()
    params, image = email.message_from_bytes(b"Content-Type: " + kind + b"\n\n" + answer.content).get_payload()
    (folder / "label.nrrd").write_bytes(image.get_payload(decode=True))
    report = json.loads(params.get_payload(decode=True))["report"]
    return Answer(read_labels(folder / "label.nrrd").values, timeless(report))


def test_the_study_has_something_to_find(command_line):
    assert set(np.unique(command_line.values)) > {0, 1}
    assert command_line.report["masses"]


def test_the_server_gives_the_voxels_of_the_command_line(command_line, server):
    assert server.values.shape == command_line.values.shape
    assert np.count_nonzero(server.values != command_line.values) == 0


def test_the_server_gives_the_findings_and_notices_of_the_command_line(command_line, server):
    assert server.report == command_line.report


def test_the_graph_gives_the_voxels_of_the_command_line(predicted, command_line, graph_output):
    grid = read_label_map(predicted / "label_map.nii.gz").grid
    by_graph, by_command = (read_segmentation(folder / "seg.dcm", grid).values for folder in (graph_output, predicted))
    assert np.count_nonzero(by_graph != by_command) == 0
    # The label map may know more of a mass without a class than its code, which is "mass", can say.
    kidney, mass = int(Structure.KIDNEY), int(Structure.TUMOR)
    assert np.array_equal(by_graph == kidney, command_line.values == kidney)
    assert np.array_equal(by_graph >= mass, command_line.values >= mass)


def test_the_graph_gives_the_findings_and_notices_of_the_command_line(command_line, graph_output):
    assert timeless(json.loads((graph_output / "report.json").read_text())) == command_line.report


def test_the_graph_writes_the_dicom_objects_of_the_command_line(predicted, graph_output):
    made = {path.name for path in graph_output.glob("*.dcm")}
    assert made == {path.name for path in predicted.glob("*.dcm")}
    for name in sorted(made):
        graphs, commands = (pydicom.dcmread(folder / name) for folder in (graph_output, predicted))
        assert differences(graphs, commands) == set(), name


def differences(one: pydicom.Dataset, other: pydicom.Dataset) -> set[str]:
    """The attributes in which two objects differ, anywhere, but for dates and times."""
    if set(one.keys()) != set(other.keys()):
        return {str(tag) for tag in set(one.keys()) ^ set(other.keys())}
    found: set[str] = set()
    for element in one:
        twin = other[element.tag]
        if element.VR == "SQ" and len(element.value) == len(twin.value):
            found = found.union(*(differences(a, b) for a, b in zip(element.value, twin.value, strict=True)))
        elif element.VR not in ("DA", "TM", "DT") and element.value != twin.value:
            found.add(element.keyword)
    return found
