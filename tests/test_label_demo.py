"""The demonstration of the label server, smaller: Orthanc, the real server, three annotators at once, two loops."""

import html
import json
import subprocess
import sys
from pathlib import Path

import pytest
from orthanc import skip_without_orthanc

ROOT = Path(__file__).parents[1]
STUDIES, QUOTAS = 7, (5, 2)

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def shown(tmp_path_factory, activated):
    """The folder that a small demonstration wrote, and what it said."""
    skip_without_orthanc()
    folder = tmp_path_factory.mktemp("label-demo") / "out"
    sizes = ["--studies", str(STUDIES), "--quota", *map(str, QUOTAS), "--steps", "60", "--test-patients", "2"]
    run = subprocess.run(
        [sys.executable, ROOT / "labelapp" / "demo", "-o", folder, *sizes],
        env=activated | {"MONAI_LABEL_AUTO_UPDATE_SCORING": "false"},
        cwd=folder.parent, capture_output=True, text=True, timeout=800,
    )  # fmt: skip
    assert run.returncode == 0, f"{run.stderr[-3000:]}\n{server_log(folder)}"
    return folder, run.stderr


@pytest.fixture(scope="module")
def record(shown):
    """What happened, as `rehearsal.json` tells it."""
    return json.loads((shown[0] / "rehearsal.json").read_text())


def server_log(folder):
    log = folder / "server" / "server.log"
    return log.read_text()[-3000:] if log.exists() else "the server was never started"


def test_every_study_is_labelled_once_and_no_label_is_lost(record):
    assert record["lost"] == []
    assert record["duplicates"] == 0
    assert len({served["image_id"] for served in record["served"]}) == STUDIES == sum(QUOTAS)


def test_every_annotator_has_labelled_something(record):
    assert {handed["annotator"] for handed in record["handed"]} == {"anna", "ben", "carla"}


def test_every_acknowledged_label_is_a_segmentation_in_the_pacs(record):
    versions = {(handed["image_id"], handed["version"]) for handed in record["handed"]}
    assert record["segmentations"] == len(versions) >= STUDIES


def test_labels_that_came_with_other_names_and_numbers_mean_what_was_drawn(record):
    assert min(handed["dice"] for handed in record["handed"]) > 0.8


def test_what_the_checks_point_at_is_mended_by_who_takes_care(record):
    careful = [handed for handed in record["handed"] if handed["annotator"] != "ben"]
    first = {handed["image_id"]: handed for handed in reversed(careful)}
    last = {handed["image_id"]: handed for handed in careful}
    pointed = [image_id for image_id, handed in first.items() if handed["checks"]]
    assert {last[image_id]["dice"] for image_id in pointed} <= {1.0}
    assert all(last[image_id]["version"] == 2 for image_id in pointed)


def test_both_loops_train_and_are_judged(record):
    assert [trained["labels"] for trained in record["trained"]] == [QUOTAS[0], STUDIES]
    assert {trained["state"] for trained in record["trained"]} <= {"published", "kept unpublished"}
    assert all(trained["reason"] for trained in record["trained"])


def test_a_release_that_was_made_worse_is_refused_with_its_reason(record):
    planted = record["planted"]
    assert not planted["accepted"] and not planted["published"]
    assert planted["text"].strip()


def test_the_report_says_the_same_as_text_and_as_a_page(shown, record):
    folder, said = shown
    text, page = ((folder / name).read_text() for name in ("report.md", "report.html"))
    assert text.strip() in said
    for content in (text, html.unescape(page)):
        assert "of these served twice" in content
        assert all(trained["reason"] in content for trained in record["trained"])


def test_no_log_names_a_patient(shown):
    logs = [path.read_text(errors="replace") for path in shown[0].rglob("*.log")]
    assert logs and not any("REHEARSAL-0" in log or "Synthetic^Phantom" in log for log in logs)


def test_a_folder_of_something_else_is_left_alone(tmp_path, activated):
    skip_without_orthanc()
    (tmp_path / "thesis.txt").write_text("mine")
    run = subprocess.run(
        [sys.executable, ROOT / "labelapp" / "demo", "-o", tmp_path], env=activated, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert "holds files of something else" in run.stderr
    assert (tmp_path / "thesis.txt").exists()
