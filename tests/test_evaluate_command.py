"""`renalct evaluate` from outside: what it writes, what it refuses, and that it goes on where it stopped."""

import csv
import json

import numpy as np
import pytest
from made_evaluation import FAR_MASS, LEFT_MASS, RIGHT_MASS, label_map
from renalct.core.grid import Box
from renalct.core.volume import CTVolume
from renalct.formats.nifti import write_label_map, write_volume
from renalct.models.recipes.starter import STARTER
from renalct.models.release import random_release, save_release
from renalct.models.splits import Split
from renalct.synthetic.phantom import make_phantom
from renalct.synthetic.settings import PhantomSettings
from test_command_line import process, refused, renalct
from tiny_recipes import tiny

BOTH = label_map((RIGHT_MASS, 2), (LEFT_MASS, 3))


@pytest.fixture
def folders(tmp_path):
    """Predictions of two cases: one exact, one that misses a mass and sees a false one."""
    for name, maps in (
        ("p", {"a": BOTH, "b": label_map((RIGHT_MASS, 2), (FAR_MASS, 3))}),
        ("r", {"a": BOTH, "b": label_map((RIGHT_MASS, 2), (LEFT_MASS, 2)), "c": BOTH}),
    ):
        (tmp_path / name).mkdir()
        for case, each in maps.items():
            write_label_map(each, tmp_path / name / f"{case}.nii.gz")
    return tmp_path / "p", tmp_path / "r"


def evaluate(*words):
    return renalct("evaluate", *words, "--quiet")


def test_a_process_writes_everything_and_prints_the_headline(folders, tmp_path):
    predictions, references = folders
    out = tmp_path / "out"
    result = process("evaluate", "--predictions", predictions, "--reference", references, "-o", out, "--name", "made")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "p on made: 2 patients" in result.stdout
    assert "References without a prediction, not scored: 1 (c)." in result.stdout
    assert {path.name for path in out.iterdir()} == {
        "evaluation.html", "scores.json", "cases.csv", "masses.csv", "decisions.csv", "tables", "figures",
    }  # fmt: skip
    tables, figures = ({path.name for path in (out / name).iterdir()} for name in ("tables", "figures"))
    assert {f"zhao_table_2{suffix}" for suffix in (".md", ".csv", ".tex", ".json")} <= tables
    assert {"dice_by_region.png", "dice_by_region.svg", "confusion.png", "worst_cases.svg"} <= figures
    scores = json.loads((out / "scores.json").read_text())
    assert next(iter(scores)) == "schema_version" and scores["patients"] == 2
    assert [case["case"] for case in scores["cases"]] == ["a", "b"]
    assert scores["cases"][0]["regions"]["mass"]["dice"] == 1.0
    with (out / "masses.csv").open() as file:
        masses = list(csv.DictReader(file))
    assert len([m for m in masses if m["what"] == "reference"]) == 4
    assert [m["dice"] for m in masses if m["case"] == "b" and m["what"] == "reference" and m["side"] == "left"] == [
        "0.0"
    ]
    with (out / "cases.csv").open() as file:
        cases = list(csv.DictReader(file))
    assert [(c["masses"], c["masses_found"], c["masses_false"]) for c in cases] == [("2", "2", "0"), ("2", "1", "1")]
    html = (out / "evaluation.html").read_text()
    assert "Not for clinical use" in html and "Zhao 2023, test set" in html


def test_the_renal_sinus_of_references_is_filled_when_asked(tmp_path):
    """A hole of 4 x 4 x 2 voxels in a kidney of 10 x 12 x 8, which the prediction fills."""
    hole = Box((47, 8, 4), (51, 12, 6))
    for name, each in (("p", label_map()), ("r", label_map((hole, 0)))):
        (tmp_path / name).mkdir()
        write_label_map(each, tmp_path / name / "a.nii.gz")
    dice = []
    for words in ((), ("--fill-sinus",)):
        out = tmp_path / f"out{len(words)}"
        found = evaluate("--predictions", tmp_path / "p", "--reference", tmp_path / "r", "-o", out, *words)
        assert found.returncode == 0, found.stderr
        dice.append(json.loads((out / "scores.json").read_text())["cases"][0]["regions"]["kidney_and_mass"]["dice"])
    assert dice[0] == pytest.approx(2 * (2 * 960 - 32) / (4 * 960 - 32)) and dice[1] == 1.0


def test_two_systems_are_compared(folders, tmp_path):
    predictions, references = folders
    words = ("--predictions", references, "--compare", predictions, "--reference", references, "-o", tmp_path / "out")
    assert evaluate(*words, "--system", "two stages").returncode == 0
    table = json.loads((tmp_path / "out" / "tables" / "comparison.json").read_text())
    assert table["columns"][1:3] == ["two stages", "p"]
    assert table["rows"][4]["cells"][0] == "Dice, mass" and table["rows"][4]["n"] == "2 patients"


def test_a_finished_evaluation_is_replaced_only_when_told_to(folders, tmp_path):
    predictions, references = folders
    words = ("--predictions", predictions, "--reference", references, "-o", tmp_path / "out")
    assert evaluate(*words, "--case", "a").returncode == 0
    refused(evaluate(*words), 2, "finished evaluation", "--force")
    assert evaluate(*words, "--force").returncode == 0
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["patients"] == 2
    (tmp_path / "out" / "mine.txt").write_text("a user's file")
    refused(evaluate(*words, "--force"), 2, "no evaluation wrote")


def test_wrong_input_is_refused_in_one_sentence_and_leaves_nothing(folders, tmp_path):
    predictions, references = folders
    out = tmp_path / "out"
    base = ("--predictions", predictions, "--reference", references, "-o", out)
    refused(evaluate("--predictions", tmp_path / "x", "--reference", references, "-o", out), 2, "no folder")
    refused(evaluate("--predictions", predictions, "--reference", tmp_path / "x", "-o", out), 2, "no folder")
    refused(evaluate(*base, "--case", "z"), 2, "no reference of the case z")
    refused(evaluate(*base, "--min-mass", "-1"), 2, "--min-mass")
    refused(evaluate(*base, "--processes", "0"), 2, "--processes")
    refused(evaluate(*base, "--run", tmp_path), 2, "no training history")
    refused(evaluate("--reference", references, "-o", out), 2, "--predictions")
    refused(evaluate("--release", "starter", "--reference", references, "-o", out), 2, "without images")
    write_label_map(label_map(), predictions / "a.nii.gz")
    (predictions / "b.nii.gz").write_bytes(b"broken")
    refused(evaluate(*base), 2, "b: b.nii.gz", "--skip-bad")
    assert not out.exists()
    result = evaluate(*base, "--skip-bad")
    assert result.returncode == 0 and "cannot be scored" in result.stdout


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Two small phantoms as NIfTI pairs."""
    folder = tmp_path_factory.mktemp("images")
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for seed, case in ((4, "one"), (5, "two")):
        settings = PhantomSettings(spacing_mm=(6.0, 6.0, 8.0), field_mm=(240.0, 192.0, 160.0))
        phantom = make_phantom(settings, seed=seed)
        write_volume(phantom.volumes[0], folder / "images" / f"{case}.nii.gz")
        write_label_map(phantom.label_map, folder / "labels" / f"{case}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    save_release(random_release(tiny(STARTER)), folder)
    return folder


def test_a_release_predicts_first_and_goes_on_where_it_stopped(images, release, tmp_path):
    words = ("--release", release, "--data", images, "-o", tmp_path / "out")
    assert evaluate(*words, "--case", "one").returncode == 0
    saved = tmp_path / "out" / "predictions"
    names = {path.name for path in (saved / "one").iterdir()}
    assert {"label_map.nii.gz", "report.json", "report.html", "reference_masses.json"} <= names
    before = (saved / "one" / "label_map.nii.gz").stat().st_mtime_ns
    (tmp_path / "out" / "scores.json").unlink()  # as if it had been stopped
    result = evaluate(*words)
    assert result.returncode == 0, result.stderr
    assert (saved / "one" / "label_map.nii.gz").stat().st_mtime_ns == before and (saved / "two").is_dir()
    assert "No split was given" in result.stdout
    given = json.loads((saved / "one" / "reference_masses.json").read_text())
    assert given["schema_version"] == 1 and all(abs(sum(m["probabilities"]) - 1) < 1e-3 for m in given["masses"])
    html = (tmp_path / "out" / "evaluation.html").read_text()
    assert "Untrained random weights" in html
    found = [json.loads((saved / case / "report.json").read_text())["masses"] for case in ("one", "two")]
    assert all(0 <= mass["confidence"] <= 1 for masses in found for mass in masses)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    sure = [domain["confidence"] for case in scores["cases"] for domain in case["predictions"]]
    assert sure and set(sure) <= {mass["confidence"] for masses in found for mass in masses}
    assert list(saved.rglob("class_activation_*"))


def test_a_split_leaves_only_the_patients_that_it_held_out(images, release, tmp_path):
    (tmp_path / "split.json").write_text(Split(("one",), ("two",)).to_text())
    words = ("--release", release, "--data", images, "--split", tmp_path / "split.json")
    result = evaluate(*words, "-o", tmp_path / "out", "--no-maps")
    assert result.returncode == 0 and "No split was given" not in result.stdout
    assert not list((tmp_path / "out").rglob("class_activation_*"))
    assert [path.name for path in (tmp_path / "out" / "predictions").iterdir()] == ["two"]
    (tmp_path / "other.json").write_text(Split(("one",), ("three",)).to_text())
    refused(evaluate(*words[:-1], tmp_path / "other.json", "-o", tmp_path / "o2"), 2, "holds none of the 1 patients")


def test_loss_curves_of_a_run_are_shown(folders, tmp_path):
    predictions, references = folders
    stage = tmp_path / "run" / "segment_0"
    stage.mkdir(parents=True)
    lines = [{"step": 1, "loss": 0.9}, {"step": 2, "loss": 0.5, "validation loss": 0.7}, {"step": 3, "loss": None}]
    (stage / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = ("--predictions", predictions, "--reference", references, "-o", tmp_path / "out", "--run", tmp_path / "run")
    assert evaluate(*words).returncode == 0
    assert (tmp_path / "out" / "figures" / "loss_segment_0.svg").is_file()


def test_an_image_that_is_no_ct_is_named(tmp_path, release):
    folder = tmp_path / "data"
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    write_label_map(BOTH, folder / "labels" / "a.nii.gz")
    positive = CTVolume(np.ones(BOTH.grid.shape, np.int16), BOTH.grid)
    write_volume(positive, folder / "images" / "a.nii.gz")
    refused(evaluate("--release", release, "--data", folder, "-o", tmp_path / "out"), 2, "not CT numbers")
