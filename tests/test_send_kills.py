"""A sender that is killed with SIGKILL at random moments: a real archive has each acknowledged object once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dicom_corpus import made_slices, save
from orthanc import running_orthanc

WORKER = Path(__file__).with_name("send_worker.py")
STUDIES, KILLS = 6, 5


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def test_over_both_protocols_nothing_is_lost_or_doubled_however_often_the_sender_is_killed(orthanc, tmp_path):
    result = tmp_path / "result"
    result.mkdir()
    save(made_slices()[:3], result)
    for path in result.iterdir():
        path.rename(path.with_suffix(".dcm"))
    (result / "report.json").write_text("{}")
    destinations = tmp_path / "destinations.json"
    node = {"name": "node", "kind": "dimse", "host": "127.0.0.1", "port": orthanc.dicom_port, "ae_title": "RENALCT"}
    archive = {"name": "archive", "kind": "dicomweb", "url": orthanc.url}
    destinations.write_text(json.dumps({"schema_version": 1, "destinations": [node, archive]}))
    command = [sys.executable, str(WORKER), "kills", str(tmp_path / "queue"), str(result), "--rounds", str(KILLS)]
    command += ["--destinations", str(destinations), "--studies", str(STUDIES), "--longest-life", "0.3"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["acknowledged"] == list(range(STUDIES)) and 1 <= found["kills"] <= KILLS  # a quick one ends sooner
    assert (found["delivered"], found["undelivered"], found["dead"]) == (3 * STUDIES, 0, 0)
    assert found["integrity"] == "ok"
    with orthanc.rest as client:
        held = client.get("/instances", params={"expand": ""}).json()
    uids = [each["MainDicomTags"]["SOPInstanceUID"] for each in held]
    assert len(uids) == len(set(uids)) == 3 * STUDIES
