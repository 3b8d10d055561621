"""The MONAI Label app from outside: a real server process, asked over HTTP as 3D Slicer and OHIF ask it."""

import ast
import gzip
import json
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from label_replay import FOLDER, replay
from label_server import label_server
from renalct.core.grid import Grid
from renalct.core.volume import LabelMap
from renalct.formats.dicom.scan import scan_study
from renalct.formats.nifti import read_label_map, read_volume, write_label_map
from renalct.formats.nrrd_labels import read_labels
from renalct.formats.nrrd_labels import write_label_map as write_nrrd

ROOT = Path(__file__).parents[1]
LABELS = {"kidney": 1, "tumor": 2, "cyst": 3, "angiomyolipoma": 4}
ALL = [{"name": name, "idx": value} for name, value in LABELS.items()]
AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
CASE = "case 1.5"

pytestmark = pytest.mark.filterwarnings("ignore:'cgi' is deprecated", "ignore::ResourceWarning")  # MONAI Label's client


def nifti(values, affine=AFFINE, dtype=np.uint8) -> bytes:
    """A compressed NIfTI file of a row of voxels."""
    return gzip.compress(nib.Nifti1Image(np.array(values, dtype).reshape(-1, 1, 1), affine).to_bytes())


@pytest.fixture(scope="module")
def studies(tmp_path_factory, made_study) -> Path:
    """An image to analyse, one of 4 x 1 x 1 voxels to annotate, and a study of two DICOM series."""
    folder = tmp_path_factory.mktemp("studies")
    shutil.copy(made_study.nifti, folder / f"{CASE}.nii.gz")
    (folder / "small.nii.gz").write_bytes(nifti([-100] * 4, dtype=np.int16))
    shutil.copytree(made_study.dicom, folder / "a study")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory, made_study) -> dict[str, bytes]:
    """What viewers attach to their requests."""
    nrrd = tmp_path_factory.mktemp("files") / "label.nrrd"
    four = np.array([1, 2, 3, 4], np.uint8).reshape(-1, 1, 1)
    write_nrrd(LabelMap(four, Grid((4, 1, 1), AFFINE)), nrrd)
    return {
        "four_labels": nifti([1, 2, 3, 4]),
        "four_labels_nrrd": nrrd.read_bytes(),
        "tiny_image": nifti([-100] * 4, dtype=np.int16),
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def server(studies, place, activated):
    with label_server(place, studies, activated) as client:
        yield client


@pytest.fixture(scope="module")
def answered(server, tmp_path_factory):
    """The model's answer to the case, as 3D Slicer gets it: label values and what comes with them."""
    file, told = ask(server, "renalct", {}, tmp_path_factory.mktemp("answered"))
    return read_labels(file).values, told


def ask(server, model, params, folder, *, image=CASE, label=None):
    """The file and the JSON of an answer, by MONAI Label's own client, which 3D Slicer's module uses."""
    from monailabel.client.client import MONAILabelClient

    client = MONAILabelClient(str(server.base_url), str(folder), "slicer")
    params = {"result_extension": ".nrrd", "result_dtype": "uint8", **params}
    file, told = client.infer(model, image, params, label_in=label)
    return Path(file), told


def save(server, content, label_info=ALL, *, tag="final", filename="label.nii.gz", image="small", client="ann", **more):
    """The answer to a label that a viewer saves."""
    params = {"label_info": label_info, "client_id": client, **more}
    where = {"image": image, "tag": tag}
    return server.put(
        "/datastore/label", params=where, data={"params": json.dumps(params)}, files={"label": (filename, content)}
    )


def kept(server, tmp_path, *, image="small", tag="final") -> list[int]:
    answer = server.get("/datastore/label", params={"label": image, "tag": tag})
    assert answer.status_code == httpx.codes.OK, answer.text
    (tmp_path / "kept.nii.gz").write_bytes(answer.content)
    return read_label_map(tmp_path / "kept.nii.gz").values.ravel().tolist()


def test_3d_slicer_is_answered_as_its_module_expects(server, files):
    replay("slicer", server, files)


def test_the_reviewer_is_answered_as_its_module_expects(server, files):
    replay("reviewer", server, files)


def test_ohif_is_answered_as_its_plugin_expects(server, files, studies, answered, tmp_path):
    conversation = (FOLDER / "ohif.json").read_text()
    voxels = np.prod(read_volume(studies / f"{CASE}.nii.gz").grid.shape)
    assert conversation.count('"VOXELS"') == 4
    replay("ohif", server, files, words={'"VOXELS"': str(voxels)})


def test_an_answer_lies_on_the_images_own_voxels_with_names_and_the_whole_report(answered, studies):
    values, told = answered
    assert list(told["label_names"].items()) == list(LABELS.items())
    assert {"localize", "segment", "classify"} <= set(told["latencies"])
    assert told["report"]["warning"].startswith("Not for clinical use")
    assert values.shape == read_volume(studies / f"{CASE}.nii.gz").grid.shape
    assert np.count_nonzero(values == 1) == sum(kidney["voxels"] for kidney in told["report"]["kidneys"]) > 0
    assert np.count_nonzero(values > 1) == sum(mass["voxels"] for mass in told["report"]["masses"]) > 0


def test_a_click_changes_what_is_under_it_and_nothing_of_other_segments(server, answered, tmp_path):
    before = answered[0]
    voxel = tuple(int(v) for v in np.argwhere(before == LABELS["kidney"])[0])
    file, told = ask(server, "renalct_edit", {"cyst": [list(voxel)], "label": "cyst"}, tmp_path)
    after = read_labels(file).values
    assert after[voxel] == LABELS["cyst"]
    changed = before != after
    assert told["changed_voxels"] == np.count_nonzero(changed)
    assert set(np.unique(before[changed])) <= {0, LABELS["kidney"]}
    assert set(np.unique(after[changed])) == {LABELS["cyst"]}


def test_a_click_on_one_label_answers_with_its_mask(server, answered, tmp_path):
    voxel = [int(v) for v in np.argwhere(answered[0] == LABELS["kidney"])[0]]
    file, told = ask(server, "renalct_click", {"label": "tumor", "foreground": [voxel], "background": []}, tmp_path)
    mask = read_labels(file).values
    assert told["label_names"] == {"tumor": 1}
    assert set(np.unique(mask)) == {0, 1} and mask[tuple(voxel)] == 1
    assert (mask[answered[0] == LABELS["tumor"]] == 1).all()


def test_scribbles_answer_with_the_mask_of_their_label(server, answered, studies, tmp_path):
    labels = answered[0].copy()
    grid = read_volume(studies / f"{CASE}.nii.gz").grid
    inside = np.argwhere(labels == LABELS["kidney"])[:3]
    drawn = np.array(labels)
    drawn[tuple(inside.T)] = 6
    nib.save(nib.Nifti1Image(drawn, grid.affine), tmp_path / "scribbles.nii.gz")
    info = [{"name": name, "id": value} for name, value in LABELS.items()]
    info += [{"name": "background_scribbles", "id": 5}, {"name": "foreground_scribbles", "id": 6}]
    params = {"label_info": info, "selected_label_name": "cyst", "roi": []}
    file, told = ask(server, "renalct_scribbles", params, tmp_path, label=str(tmp_path / "scribbles.nii.gz"))
    mask = read_labels(file).values
    assert told["label_names"] == {"cyst": 1}
    assert (mask[tuple(inside.T)] == 1).all()
    assert (mask[labels == LABELS["tumor"]] == 0).all()


def test_a_dicom_series_is_called_by_its_uid_and_sent_as_one_file(server, made_study, tmp_path):
    series = scan_study(made_study.dicom).series[0]
    uid = series.series_instance_uid
    info = server.get("/datastore/image/info", params={"image": uid}).json()
    assert (info["Modality"], info["SeriesInstanceUID"]) == ("CT", uid)
    assert info["StudyInstanceUID"] == series.study_instance_uid
    assert "PatientID" not in info and "PatientName" not in info
    answer = server.get("/datastore/image", params={"image": uid})
    (tmp_path / "image.nii.gz").write_bytes(answer.content)
    assert read_volume(tmp_path / "image.nii.gz").grid.shape == read_volume(made_study.nifti).grid.shape


@pytest.mark.parametrize(
    ("segments", "drawn", "expected"),
    [
        (["angiomyolipoma", "Cyst", "left kidney", "tumour"], [1, 2, 3, 0], [4, 3, 1, 0]),
        (["kidney", "cyst"], [2, 1, 0, 0], [3, 1, 0, 0]),
        (["kidney", "uncertainty high", "cyst"], [1, 2, 3, 0], [1, 0, 3, 0]),
        (["right kidney", "left kidney", "kidney tumor"], [1, 2, 3, 3], [1, 1, 2, 2]),
    ],
)
def test_labels_are_understood_by_name_whatever_their_order(server, tmp_path, segments, drawn, expected):
    info = [{"name": name, "idx": number} for number, name in enumerate(segments, start=1)]
    assert save(server, nifti(drawn), info, tag="by_name").status_code == httpx.codes.OK
    assert kept(server, tmp_path, tag="by_name") == expected


def test_the_findings_of_the_checks_are_told_in_words_after_a_save(server):
    told = save(server, nifti([1, 1, 0, 0]), tag="checked").json()
    assert any("tumor" in line and "absent" in line for line in told["checks"])
    told = save(server, nifti([1, 1, 0, 0]), tag="checked", presence={"tumor": "absent", "cyst": "absent"}).json()
    assert not any("it is not stated whether there is one" in line for line in told["checks"])


def test_every_save_is_a_version_of_its_author(server, tmp_path):
    before = server.get("/datastore/label/info", params={"label": "small", "tag": "final"}).json()["version"]
    numbers = [save(server, nifti([n, 0, 0, 0]), client=f"reader {n}").json()["version"] for n in (1, 2)]
    assert numbers == [before + 1, before + 2]
    info = server.get("/datastore/label/info", params={"label": "small", "tag": "final"}).json()
    assert info["client_id"] == "reader 2"
    assert kept(server, tmp_path, tag=f"version_{before + 1}") == [1, 0, 0, 0]
    assert kept(server, tmp_path) == [2, 0, 0, 0]


def test_a_deleted_label_returns_the_case_to_the_pool_and_stays_in_the_store(server, tmp_path):
    number = save(server, nifti([3, 0, 0, 0])).json()["version"]
    labelled = server.get("/info/").json()["datastore"]["completed"]
    assert server.delete("/datastore/label", params={"id": "small", "tag": "final"}).status_code == httpx.codes.OK
    assert server.get("/datastore/label", params={"label": "small", "tag": "final"}).status_code == 404
    assert server.get("/info/").json()["datastore"]["completed"] == labelled - 1
    assert kept(server, tmp_path, tag=f"version_{number}") == [3, 0, 0, 0]


def test_clients_that_ask_at_once_never_get_the_same_case(server):
    def ask(client: int) -> str:
        return server.post("/activelearning/true_random", json={"client_id": f"client {client}"}).json().get("id", "")

    with ThreadPoolExecutor(8) as pool:
        given = [image_id for image_id in pool.map(ask, range(8)) if image_id]
    assert len(given) == len(set(given)) >= 2
    assert server.post("/activelearning/random", json={"client_id": "too late"}).json() == {}


def test_several_servers_on_one_folder_see_each_others_labels_at_once(server, studies, tmp_path):
    from renalct.learning.store import LabelStore, VersionNote

    store = LabelStore(studies / "renalct" / "labels")
    path = tmp_path / "other.nii.gz"
    write_label_map(LabelMap(np.array([4, 4, 0, 0], np.uint8).reshape(-1, 1, 1), Grid((4, 1, 1), AFFINE)), path)
    store.commit("small", path, suffix=".nii.gz", note=VersionNote(author="another server"))
    assert kept(server, tmp_path) == [4, 4, 0, 0]


def test_images_are_scored_and_a_strategy_tells_why_it_chose(server):
    answer = server.post("/scoring/descriptor", params={"run_sync": True}, json={})
    assert answer.status_code == httpx.codes.OK, answer.text
    assert CASE in answer.json()["scored"]
    assert server.post("/scoring/descriptor", params={"run_sync": True}, json={}).json()["scored"] == []


def test_answers_for_many_become_pre_labels_on_a_machine_without_a_gpu(server, answered, tmp_path):
    before = server.get("/info/").json()["datastore"]["completed"]
    body = {
        "device": "cuda",
        "multi_gpu": True,
        "gpus": "all",
        "save_label": True,
        "label_tag": "original",
        "images": [CASE],
    }
    answer = server.post("/batch/infer/renalct", params={"run_sync": True}, json=body)
    assert answer.status_code == httpx.codes.OK, answer.text
    found = server.get("/datastore/", params={"output": "all"}).json()["objects"][CASE]["labels"]["original"]
    assert list(found["info"]["params"]["label_names"].items()) == list(LABELS.items()), "3D Slicer reads the keys"
    assert kept(server, tmp_path, image=CASE, tag="original") == answered[0].ravel().tolist()
    assert server.get("/info/").json()["datastore"]["completed"] == before, "a model's answer is no label"


def test_answers_for_many_are_made_in_the_background_and_what_is_there_or_cannot_be_is_told(server, answered):
    body = {"save_label": True, "label_tag": "original", "images": [CASE]}
    assert server.post("/batch/infer/renalct", params={"run_sync": True}, json=body).is_success
    begun = server.post("/batch/infer/renalct")  # all images, with all that the stock server fills in
    assert begun.is_success and begun.json()["status"] in ("SUBMITTED", "RUNNING"), begun.text
    running = time.monotonic() + 60  # the stock server starts the process in a thread
    while server.get("/batch/infer", params={"check_if_running": True}).status_code != httpx.codes.OK:
        assert time.monotonic() < running
        time.sleep(0.05)
    assert server.post("/batch/infer/renalct").status_code == httpx.codes.TOO_MANY_REQUESTS
    assert server.delete("/batch/infer").json()["status"] == "STOPPED"
    task = server.post("/batch/infer/renalct", json={"images": ["small", CASE], "label_tag": "original"})
    assert task.is_success, task.text
    deadline = time.monotonic() + 300
    while server.get("/batch/infer").json()["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    ended = server.get("/batch/infer").json()
    assert ended["status"] == "DONE", ended
    lines = "\n".join(ended["details"])
    assert f"1/2 {CASE}: there already" in lines
    assert "2/2 small: " in lines and "not the CT numbers of a body" in lines
    assert server.get("/batch/infer", params={"check_if_running": True}).status_code == httpx.codes.NOT_FOUND


def test_an_image_that_is_sent_is_called_by_its_name_with_all_of_its_dots(tmp_path, place, studies, server):
    content = nifti([-100, 40, 40, -100], dtype=np.int16)
    told = server.put("/datastore/", files={"file": ("scan 1.2.5.nii.gz", content)})
    assert told.json() == {"image": "scan 1.2.5"}, told.text
    (studies / "scan 1.2.5.nii.gz").unlink()


def test_a_download_of_everything_leaves_nothing_on_the_server(server):
    save(server, nifti([1, 0, 0, 0]))
    before = set(Path(tempfile.gettempdir()).glob("tmp*.zip"))
    answer = server.get("/datastore/dataset")
    assert answer.content[:2] == b"PK"
    removed = time.monotonic() + 30
    while set(Path(tempfile.gettempdir()).glob("tmp*.zip")) - before:
        assert time.monotonic() < removed
        time.sleep(0.05)


def test_a_training_tells_why_it_cannot_be_and_runs_once_at_a_time(server):
    task = server.post("/train/renalct", json={"client_id": "ann", "start": "warm", "steps": "1"}).json()
    assert {"id", "status", "start_ts"} <= set(task)
    begun = time.monotonic() + 60  # the stock server starts the process in a thread
    while server.get("/train/", params={"check_if_running": True}).status_code != httpx.codes.OK:
        assert time.monotonic() < begun
        time.sleep(0.05)
    again = server.post("/train/renalct", json={})
    told = server.get("/train/", params={"check_if_running": True})
    assert (again.status_code, told.status_code) == (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.OK)
    assert told.json()["status"] == "RUNNING", "OHIF looks for the word"
    deadline = time.monotonic() + 120
    while server.get("/train/", params={"check_if_running": True}).status_code == httpx.codes.OK:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    ended = server.get("/train/").json()
    assert ended["status"] == "ERROR"
    assert "too few to freeze" in ended["details"][-1], ended["details"]
    assert not any("Traceback" in line for line in ended["details"])
    stats = server.get("/info/").json()["train_stats"]["renalct"]
    assert stats["best_metric"] == 0.0 and stats["total_epochs"] >= 1


COLORS = nifti([(1, 1, 1)] * 4, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_SAVES = [
    ({"label_info": [{"name": "kidny", "idx": 1}]}, "did you mean 'kidney'"),
    ({"label_info": [{"name": "tumor", "idx": 1}, {"name": "cyst", "idx": 1}]}, "several meanings"),
    ({"label_info": [{"name": "kidney", "idx": 2}]}, "the value 1 without a name"),
    ({"label_info": [{"name": "kidney"}]}, "send label_info as a list of {name, idx}"),
    ({"label_info": "kidney"}, "send label_info as a list of {name, idx}"),
    ({"content": nifti([1, 0, 0])}, "3 x 1 x 1"),
    ({"content": nifti([1, 0, 0, 0], np.diag([1.0, 1.0, 5.0, 1.0]))}, "mm away from its image"),
    ({"content": b"not an image"}, "label.nii.gz cannot be read as NIfTI"),
    (
        {"content": b"no", "filename": "C:\\Ann's kidney v1.2.nii.gz"},
        "Ann's kidney v1.2.nii.gz cannot be read as NIfTI",
    ),
    ({"content": b"no", "filename": "名前.seg.nrrd"}, "名前.seg.nrrd cannot be read as NRRD"),
    ({"filename": "..", "content": b"no"}, "the name of the uploaded file"),
    ({"content": COLORS}, "holds colors or complex numbers"),
    ({"comment": "\ud800"}, "characters that are no text"),
    ({"flags": 7}, "flags is 7"),
    ({"slices": [1.5, 1]}, "cannot be read"),
    ({"content": gzip.compress(b"PK\3\4" + bytes(500))}, "cannot be read as NIfTI"),
    ({"filename": "label.py"}, "not a label file"),
    ({"filename": "l" * 200 + ".nii.gz"}, "the name of the uploaded file"),
    ({"tag": ".."}, "cannot be the tag"),
    ({"tag": "../../stolen"}, "cannot be the tag"),
    ({"image": "nobody"}, "there is no image"),
    ({"image": "../small"}, "there is no image"),
    ({"client": "\x1b[2J"}, "author"),
    ({"presence": {"tumor": "perhaps"}}, "perhaps"),
]


@pytest.mark.parametrize(
    ("changes", "sentence"), BAD_SAVES, ids=lambda value: value if isinstance(value, str) else None
)
def test_a_label_that_cannot_be_kept_is_refused_in_a_sentence_and_leaves_nothing(server, studies, changes, sentence):
    before = server.get("/datastore/", params={"output": "all"}).json()
    blobs = sorted(studies.rglob("blobs/*/*"))
    asked = {"content": nifti([1, 0, 0, 0]), "label_info": [{"name": "kidney", "idx": 1}], **changes}
    answer = save(server, asked.pop("content"), asked.pop("label_info"), **asked)
    assert answer.status_code == httpx.codes.BAD_REQUEST, answer.text
    assert sentence in answer.json()["detail"]
    assert server.get("/datastore/", params={"output": "all"}).json() == before
    assert sorted(studies.rglob("blobs/*/*")) == blobs


BAD_REQUESTS = [
    ("POST", "/activelearning/nosuch", {"json": {}}, 400, "there is no strategy 'nosuch'"),
    ("POST", "/activelearning/case:nobody", {"json": {}}, 400, "there is no image"),
    ("POST", "/activelearning/random", {"json": [1]}, 422, "dictionary"),
    ("POST", "/infer/nosuch?image=small", {}, 404, "there is no model 'nosuch'"),
    ("POST", "/infer/renalct", {}, 400, "no image is named"),
    ("POST", "/infer/renalct?image=nobody", {}, 400, "there is no image"),
    ("POST", "/infer/renalct?image=/etc/passwd", {}, 400, "there is no image"),
    ("POST", "/infer/renalct?image=small", {"data": {"params": "{"}}, 400, "params is no JSON"),
    ("POST", "/infer/renalct?image=small", {"data": {"params": "[]"}}, 400, "no JSON object"),
    ("POST", "/infer/renalct?image=small", {"data": {"params": '{"image": "/etc"}'}}, 400, "cannot be set in params"),
    ("POST", "/infer/renalct?image=small&session_id=gone", {}, 400, "there is no session"),
    ("POST", "/infer/renalct?image=small&output=dicom_seg", {}, 400, "dicom_seg"),
    ("POST", "/infer/renalct?image=small&output=nosuch", {}, 422, "output"),
    ("POST", "/infer/renalct?image=small", {}, 400, "not the CT numbers of a body"),
    ("POST", "/infer/wsi/renalct?image=small", {"json": {}}, 400, "whole-slide"),
    ("POST", "/infer/renalct_click?image=small", {"data": {"params": '{"foreground": [[0, 0, 0]]}'}}, 400, "no label"),
    ("POST", "/infer/renalct_scribbles?image=small", {}, 400, "no scribbles"),
    ("POST", "/batch/infer/nosuch", {"json": {}}, 404, "there is no model"),
    ("POST", "/batch/infer/renalct_errors", {"json": {}}, 400, "are no labels and are not kept; ask renalct"),
    ("POST", "/batch/infer/renalct", {"json": {"label_tag": "final"}}, 400, "a model's answer is no 'final' label"),
    ("POST", "/batch/infer/renalct", {"json": {"images": ["nobody"]}}, 400, "there is no image"),
    ("POST", "/batch/infer/renalct", {"json": {"max_batch_size": "many"}}, 400, "a whole number"),
    ("POST", "/infer/renalct_scribbles?image=small", {"files": {"label": ("a.bin", b"no")}}, 400, "without a header"),
    ("POST", "/infer/renalct", {"files": {"file": ("my ct.nii.gz", b"no")}}, 400, "my ct.nii.gz cannot be read"),
    ("PUT", "/session/?uncompress=true", {"files": {"files": ("a.tar", b"no")}}, 400, "not unpacked"),
    ("POST", "/train/renalct?run_sync=true", {"json": {"start": "cold"}}, 400, "it is one of warm, scratch"),
    ("GET", f"/datastore/label?label=small&tag=version_{'9' * 20}", {}, 404, ""),
    ("GET", "/datastore/label?label=small&tag=version_²", {}, 404, ""),
    ("GET", "/datastore/dataset?limit_cases=-1", {}, 400, "limit_cases is -1"),
    ("POST", "/train/nosuch", {"json": {}}, 404, "there is no trainer"),
    ("POST", "/scoring/nosuch", {"json": {}}, 404, "there is no scoring method"),
    ("GET", "/datastore/image?image=nobody", {}, 404, ""),
    ("GET", "/datastore/image?image=../small.nii.gz", {}, 404, ""),
    ("GET", "/datastore/image/info?image=nobody", {}, 400, "there is no image"),
    ("GET", "/datastore/label?label=small&tag=nosuch", {}, 404, ""),
    ("GET", "/datastore/label?label=../small&tag=final", {}, 404, ""),
    ("GET", "/datastore/label/info?label=small&tag=nosuch", {}, 400, "has no label 'nosuch'"),
    ("PUT", "/datastore/label/info?label=small&tag=final", {"data": {"info": "{}"}}, 400, "segmentationMeta"),
    ("DELETE", "/datastore/image?id=small", {}, 400, "images are not removed"),
    ("DELETE", "/datastore/label?id=small&tag=nosuch", {}, 400, "has no label"),
    ("PUT", "/datastore/?image=x", {"files": {"file": ("a.txt", b"text")}}, 400, "send NIfTI"),
    ("PUT", "/datastore/?image=../x", {"files": {"file": ("a.nii.gz", b"text")}}, 400, "cannot be the name"),
    ("PUT", "/datastore/?image=small", {"files": {"file": ("a.nii.gz", b"text")}}, 400, "already"),
    ("PUT", "/datastore/?image=new", {"files": {"file": ("a.nii.gz", b"text")}}, 400, "cannot be read"),
    ("GET", "/session/nosuch", {}, 404, ""),
    ("PUT", "/model/renalct", {"files": {"file": ("a.pt", b"weights")}}, 400, "weights"),
]


@pytest.mark.parametrize(("method", "path", "sent", "status", "words"), BAD_REQUESTS, ids=lambda value: str(value)[:40])
def test_a_request_that_cannot_be_answered_gets_a_sentence_and_never_a_500(
    server, studies, method, path, sent, status, words
):
    before = sorted(path for path in studies.rglob("*") if path.is_file() and "sqlite3" not in path.name)
    answer = server.request(method, path, **sent)
    assert answer.status_code == status, answer.text
    assert words in answer.text
    assert sorted(path for path in studies.rglob("*") if path.is_file() and "sqlite3" not in path.name) == before


def test_the_server_finds_exactly_one_app():
    tree = ast.parse((ROOT / "labelapp" / "main.py").read_text())
    bases = [ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
    assert bases == ["MONAILabelApp"]


def test_what_the_server_writes_into_the_app_is_ignored_by_git():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout: apt-get install git")
    made = [f"labelapp/{folder}/x" for folder in ("model", "logs", "bin")]
    answer = subprocess.run(["git", "check-ignore", *made], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.stdout.split() == made
