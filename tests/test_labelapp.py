"""The MONAI Label app from outside: a real server process, asked over HTTP as 3D Slicer and OHIF ask it."""

import ast
import email
import json
import shutil
import subprocess
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest
from label_server import label_server
from renalct.formats.nifti import read_label_map, read_volume

ROOT = Path(__file__).parents[1]
LABELS = {"kidney": 1, "tumor": 2, "cyst": 3, "angiomyolipoma": 4}
SMALL_AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])


@pytest.fixture(scope="module")
def studies(tmp_path_factory, made_study) -> Path:
    """Two images: one to analyse, and one of 4 x 1 x 1 voxels to annotate."""
    folder = tmp_path_factory.mktemp("studies")
    shutil.copy(made_study.nifti, folder / "case.nii.gz")
    nib.save(nib.Nifti1Image(np.full((4, 1, 1), -100, np.int16), SMALL_AFFINE), folder / "small.nii.gz")
    return folder


@pytest.fixture(scope="module")
def server(studies, tmp_path_factory, activated):
    with label_server(tmp_path_factory.mktemp("app"), studies, activated) as client:
        yield client


@pytest.fixture(scope="module")
def inferred(server) -> dict[str, tuple[str, bytes]]:
    """The parts of the answer to an inference as 3D Slicer asks for it: name to file name and content."""
    params = {"result_extension": ".nrrd", "result_dtype": "uint8"}
    answer = server.post("/infer/renalct", params={"image": "case"}, data={"params": json.dumps(params)})
    assert answer.status_code == httpx.codes.OK, answer.text
    whole = email.message_from_bytes(
        b"Content-Type: " + answer.headers["content-type"].encode() + b"\n\n" + answer.content
    )
    name, filename = ({"header": "content-disposition", "param": key} for key in ("name", "filename"))
    return {
        part.get_param(**name): (part.get_param(**filename), part.get_payload(decode=True))
        for part in whole.get_payload()
    }


def save(server, values, label_info, *, affine=SMALL_AFFINE, tag="final", filename="label.nii.gz", image="small"):
    """The answer to a label that a viewer saves."""
    label = nib.Nifti1Image(np.array(values, np.uint8).reshape(-1, 1, 1), affine).to_bytes()
    if filename.endswith(".gz"):
        import gzip

        label = gzip.compress(label)
    return server.put(
        "/datastore/label",
        params={"image": image, "tag": tag},
        data={"params": json.dumps({"label_info": label_info, "client_id": "test"})},
        files={"label": (filename, label)},
    )


def test_it_serves_one_segmentation_model_with_our_labels(server):
    info = server.get("/info/").json()
    assert info["name"] == "renalct"
    assert info["labels"] == list(LABELS)
    assert "config" not in info, "3D Slicer refuses a server that sends it"
    assert list(info["models"]) == ["renalct"]
    model = info["models"]["renalct"]
    assert (model["type"], model["dimension"]) == ("segmentation", 3)
    assert list(model["labels"].items()) == list(LABELS.items())
    assert "Not for clinical use" in model["description"]


def test_it_offers_no_training_that_it_does_not_do(server):
    info = server.get("/info/").json()
    assert info["trainers"] == {} and info["scoring"] == {}


def test_it_hands_out_the_next_image_to_annotate(server, studies):
    sample = server.post("/activelearning/random", json={"client_id": "test"}).json()
    assert sample["id"] in ("case", "small")
    assert Path(sample["path"]) == studies / f"{sample['id']}.nii.gz"


def test_an_inference_answers_with_names_and_a_report(inferred):
    params = json.loads(inferred["params"][1])
    assert list(params["label_names"].items()) == list(LABELS.items())
    assert {"localize", "segment", "classify"} <= set(params["latencies"])
    assert params["report"]["schema_version"] == 1
    assert params["report"]["warning"].startswith("Not for clinical use")


def test_the_segmentation_lies_raw_on_the_images_own_voxels(inferred, made_study, tmp_path):
    import SimpleITK as sitk

    name, content = inferred["image"]
    assert name.endswith(".nrrd")
    header, body = content.split(b"\n\n", 1)
    assert b"encoding: raw" in header and b"type: uint8" in header
    image = read_volume(made_study.nifti)
    assert len(body) == np.prod(image.grid.shape)
    (tmp_path / "label.nrrd").write_bytes(content)
    label, ct = (sitk.ReadImage(str(path)) for path in (tmp_path / "label.nrrd", made_study.nifti))
    assert label.GetSize() == ct.GetSize()
    assert label.TransformIndexToPhysicalPoint((5, 6, 7)) == pytest.approx(ct.TransformIndexToPhysicalPoint((5, 6, 7)))


def test_the_segmentation_holds_the_voxels_that_the_report_counts(inferred):
    report = json.loads(inferred["params"][1])["report"]
    values = np.frombuffer(inferred["image"][1].split(b"\n\n", 1)[1], np.uint8)
    assert np.count_nonzero(values == LABELS["kidney"]) == sum(kidney["voxels"] for kidney in report["kidneys"]) > 0
    assert np.count_nonzero(values > LABELS["kidney"]) == sum(mass["voxels"] for mass in report["masses"]) > 0


def test_an_unknown_image_is_refused_in_a_sentence(server):
    answer = server.post("/infer/renalct", params={"image": "nobody"})
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert "there is no image of that name" in answer.json()["detail"]


def test_an_image_that_is_not_a_ct_is_refused_in_a_sentence(server, studies):
    nib.save(nib.Nifti1Image(np.full((4, 4, 4), 7, np.uint8), SMALL_AFFINE), studies / "picture.nii.gz")
    answer = server.post("/infer/renalct", params={"image": str(studies / "picture.nii.gz")})
    (studies / "picture.nii.gz").unlink()
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert "not CT numbers" in answer.json()["detail"]


def test_a_label_is_saved_by_name_and_not_by_position(server, studies, tmp_path):
    names = [{"name": "angiomyolipoma", "idx": 1}, {"name": "Cyst", "idx": 2}, {"name": "left kidney", "idx": 5}]
    answer = save(server, [1, 2, 5, 0], names, tag="by_name")
    assert answer.status_code == httpx.codes.OK, answer.text
    kept = server.get("/datastore/label", params={"label": "small", "tag": "by_name"})
    (tmp_path / "kept.nii.gz").write_bytes(kept.content)
    assert read_label_map(tmp_path / "kept.nii.gz").values.ravel().tolist() == [4, 3, 1, 0]
    info = server.get("/datastore/label/info", params={"label": "small", "tag": "by_name"}).json()
    assert {entry["name"]: entry["idx"] for entry in info["label_info"]} == LABELS
    assert list(info["params"]["label_names"].items()) == list(LABELS.items())
    assert info["client_id"] == "test"


def test_a_labelled_image_is_counted_and_not_handed_out_again(server):
    assert save(server, [1, 0, 0, 0], [{"name": "kidney", "idx": 1}]).status_code == httpx.codes.OK
    assert server.get("/info/").json()["datastore"]["completed"] == 1
    assert server.post("/activelearning/random", json={}).json()["id"] == "case"
    server.delete("/datastore/label", params={"id": "small", "tag": "final"})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"label_info": [{"name": "kidny", "idx": 1}]}, "did you mean 'kidney'"),
        ({"label_info": [{"name": "tumor", "idx": 1}, {"name": "cyst", "idx": 1}]}, "several meanings"),
        ({"label_info": [{"name": "kidney", "idx": 2}]}, "the value 1 without a name"),
        ({"label_info": [{"name": "kidney"}]}, "send label_info as a list of {name, idx}"),
        ({"values": [1, 0, 0]}, "3 x 1 x 1 voxels and its image 4 x 1 x 1"),
        ({"affine": np.diag([1.0, 1.0, 5.0, 1.0])}, "mm away from its image"),
        ({"filename": "label.py"}, "not a label file"),
        ({"tag": ".."}, "cannot be the tag"),
        ({"tag": "../../stolen"}, "cannot be the tag"),
        ({"image": "nobody"}, "there is no image 'nobody'"),
        ({"image": "../small"}, "there is no image"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_label_that_cannot_be_understood_is_refused_in_a_sentence_and_not_kept(server, studies, changes, sentence):
    before = sorted(path for path in studies.parent.rglob("*") if path.is_file())
    asked = {"values": [1, 0, 0, 0], "label_info": [{"name": "kidney", "idx": 1}], **changes}
    answer = save(server, asked.pop("values"), asked.pop("label_info"), **asked)
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert sentence in answer.json()["detail"]
    assert sorted(path for path in studies.parent.rglob("*") if path.is_file()) == before


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
