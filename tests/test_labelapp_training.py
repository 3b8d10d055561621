"""The server retrains by itself: the real server process, a folder of made studies, and a kill -9 in between."""

import gzip
import json
import os
import shutil
import signal
import time

import nibabel as nib
import pytest
from label_server import label_server
from made_loop import AFFINE, good_release, made_ct, made_registry
from renalct.learning.loop.loop_status import LoopState, read_status
from renalct.learning.loop.registry import DECISION_TEXT, Registry
from renalct.learning.loop.retrain import unfinished
from renalct.learning.loop.run_inputs import read_inputs
from renalct.learning.server_settings import LABELS, MODELS
from renalct.learning.store import CaseState, LabelStore

pytestmark = pytest.mark.timeout(900)

CASES = 5
NAMES = [{"name": name, "idx": value} for value, name in enumerate(("kidney", "tumor", "cyst"), start=1)]
WITHIN_S = 300


@pytest.fixture
def studies(tmp_path):
    """Made CTs without a label, beside a registry in which a network is published that knows them."""
    folder = tmp_path / "studies"
    folder.mkdir()
    for seed in range(CASES):
        nib.Nifti1Image(made_ct(seed)[0], AFFINE).to_filename(folder / f"ct {seed:03d}.nii")
    registry = made_registry(tmp_path, good_release())
    shutil.copytree(registry.folder, folder / "renalct" / MODELS)
    return folder


def save(server, seed) -> str:
    """The sha256 of a label that was acknowledged."""
    content = gzip.compress(nib.Nifti1Image(made_ct(seed)[1], AFFINE).to_bytes())
    told = {"label_info": NAMES, "client_id": "ann", "presence": {"angiomyolipoma": "absent"}}
    answer = server.put(
        "/datastore/label",
        params={"image": f"ct {seed:03d}", "tag": "final"},
        data={"params": json.dumps(told)},
        files={"label": ("label.nii.gz", content)},
    )
    assert answer.is_success, answer.text
    return answer.json()["sha256"]


def status_when(folder, *states):
    """The status of the loop as soon as it is in one of these states."""
    deadline = time.monotonic() + WITHIN_S
    while (status := read_status(folder)).state not in states:
        assert time.monotonic() < deadline, f"still {status.state.value} after {WITHIN_S} s: {status.message}"
        time.sleep(0.02)
    return status


def test_a_training_begins_by_itself_and_survives_the_death_of_the_server(studies, tmp_path, activated):
    models, by_itself = studies / "renalct" / MODELS, {"auto_update": CASES, "auto_quiet_minutes": 0.01}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with label_server(tmp_path / "one", studies, activated, by_itself) as server:
        saved = {save(server, seed) for seed in range(CASES)}
        store = LabelStore(studies / "renalct" / LABELS)
        for image in store.images():
            assert read_status(models).state is LoopState.IDLE, "nobody has reviewed enough to freeze a set"
            store.set_state(image.image_id, CaseState.APPROVED, by="rita")
        training = status_when(models, LoopState.TRAINING)
        os.killpg(os.getpgid(training.process), signal.SIGKILL)  # the server, and the training in its process
    registry = Registry(models)
    begun = unfinished(registry)
    assert begun.name == "r0001" and len(registry.versions()) == 1
    with label_server(tmp_path / "two", studies, activated, by_itself) as server:
        ended = status_when(models, LoopState.PUBLISHED, LoopState.KEPT)
        told = server.get("/info/").json()["train_stats"]["renalct"]
        assert (told["version"], told["message"], told["state"]) == ("v0002", ended.message, ended.state.value)
    version = registry.version("v0002")
    assert version.run == "r0001" and unfinished(registry) is None
    assert version.accepted == (ended.state is LoopState.PUBLISHED) == (registry.current().version == "v0002")
    assert "kidney" in (registry.place("v0002") / DECISION_TEXT).read_text()
    trained = {case.sha256 for case in read_inputs(registry.place("v0002")).cases}
    assert len(trained) == CASES - 3 and trained < saved, "three patients are frozen"
