"""A training run from the command line: folder, continuation, export and the card."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from renalct.__main__ import main
from renalct.commands import weights
from renalct.core.errors import RecipeError
from renalct.learning import class_calibration
from renalct.models import recipes, training
from renalct.models.cases import Origin, phantom_files
from renalct.models.lineage import RunSettings
from renalct.models.recipes import recipe_named
from renalct.models.release import Card, Metric, load_release, random_release, save_release
from renalct.models.run_folder import RunRecord, read_run
from renalct.models.run_plan import RunPlan, RunWatch
from renalct.models.splits import Split
from renalct.models.trained import KITS_LICENCE, trained_on, trained_release
from renalct.models.training import train
from tiny_recipes import tiny

TINY = replace(tiny(recipe_named("starter"), patch=16), name="tiny")
PLAN = RunPlan(RunSettings(phantoms=2), steps=2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train") / "run"
    coarse = tuple(replace(f, origin=Origin.SLAB) for f in phantom_files(range(5), spacing_mm=(4.0, 4.0, 6.0)))
    train(TINY, coarse, folder, plan=PLAN)
    return folder, coarse


def test_a_run_holds_its_recipe_its_split_and_a_checkpoint_per_network(run):
    folder, _ = run
    record, split = read_run(folder)
    assert record.recipe == TINY and (record.training_patients, record.validation_patients) == (4, 1)
    assert record.split_sha256 == split.sha256
    assert sorted(p.parent.name for p in folder.glob("*/checkpoint.safetensors")) == [
        "classify_0",
        "localize_0",
        "segment_0",
        "segment_too_0",
    ]


def test_a_held_out_patient_is_not_prepared(run):
    folder, _ = run
    _, split = read_run(folder)
    assert not list((folder / "cases").rglob(f"{split.validation[0]}*"))
    assert list((folder / "cases").rglob(f"{split.training[0]}*"))


def test_a_run_goes_on_where_it_was(run):
    folder, coarse = run
    told: list = []
    plan = replace(PLAN, steps=3, stages=("localize",))
    train(TINY, coarse, folder, plan=plan, watch=RunWatch(told.append))
    assert [(t.stage, t.status.step) for t in told if not t.note] == [("localize", 3)]


def test_another_recipe_or_seed_in_the_same_folder_is_refused(run):
    folder, coarse = run
    with pytest.raises(RecipeError, match="another recipe, seed or set of cases"):
        train(TINY, coarse, folder, plan=replace(PLAN, settings=replace(PLAN.settings, seed=1)))


def test_an_unknown_stage_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"no stage 'segmant'; it has localize, segment, segment_too, classify"):
        train(TINY, (), tmp_path, plan=RunPlan(stages=("segmant",)))


def test_a_network_without_checkpoint_is_named(run, tmp_path):
    folder, _ = run
    for name in ("run.json", "split.json"):
        (tmp_path / name).write_text((folder / name).read_text())
    with pytest.raises(RecipeError, match="has no checkpoint yet; train the stage localize first"):
        trained_release(tmp_path, version="1")


def test_a_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="holds no training run"):
        read_run(tmp_path)


def record(patients=129) -> RunRecord:
    return RunRecord(TINY, RunSettings(phantoms=100), patients, 30, "abc", 0, "KiTS19 slices", KITS_LICENCE)


def test_the_first_line_names_patients_phantoms_measurement_and_licence():
    metrics = (Metric("mass Dice", "patients held out", 30, 0.5, 0.4, 0.6), Metric("mass Dice", "phantoms", 9, 1, 1, 1))
    assert trained_on(record(), metrics) == (
        "Trained on KiTS19 slices of 129 patients and on 100 synthetic phantoms; "
        "measured on 30 other patients: mass Dice 0.50 [0.40 to 0.60]; licence CC BY-NC-SA 4.0."
    )
    assert "was not measured" in trained_on(record(), ())


def test_phantoms_alone_promise_nothing():
    line = trained_on(record(patients=0), (Metric("mass Dice", "phantoms", 9, 1, 1, 1),))
    assert line.startswith("Trained on zero patient images") and "no accuracy on patients is known" in line


@pytest.fixture
def tiny_by_name(monkeypatch):
    """The tiny recipe can be asked for by name, and new phantoms are coarse."""
    monkeypatch.setattr(recipes, "RECIPES", (*recipes.RECIPES, TINY))
    monkeypatch.setattr(weights, "phantom_files", partial(phantom_files, spacing_mm=(8.0, 8.0, 10.0)))
    monkeypatch.setattr(
        training, "phantom_files", lambda seeds, spacing_mm: phantom_files(seeds, spacing_mm=(4.0, 4.0, 6.0))
    )


def test_train_then_weights_make_a_release_with_measured_metrics(tmp_path, tiny_by_name, capsys):
    folder, out = str(tmp_path / "run"), str(tmp_path / "release")
    assert main(["train", "tiny", "-o", folder, "--phantoms", "2", "--steps", "1", "--no-release"]) == 0
    assert main(["weights", folder, "-o", out, "--phantoms", "1", "--version", "7"]) == 0
    assert main(["weights", out, "--show", "--json"]) == 0
    release = load_release(tmp_path / "release")
    card = json.loads(capsys.readouterr().out[-4000:].partition("\n{")[2].join(("{", "")))
    assert release.card.version == card["version"] == "7" and card["digest"] == release.digest
    assert release.card.licence.startswith("Apache-2.0")
    assert [n.steps for n in release.card.lineage.networks] == [1, 1, 1, 1]
    assert {m.name for m in release.card.metrics} >= {"kidney and mass Dice", "mass Dice", "tumor Dice"}
    assert all(m.n == 1 and "phantom" in m.data for m in release.card.metrics)


def test_a_release_is_measured_again_with_another_rule_and_the_same_weights(tmp_path, tiny_by_name, capsys):
    split = Split(("a", "b"), ("c",))
    (tmp_path / "split.json").write_text(split.to_text())
    told = "Trained on slices of 2 patients; measured on 1 other patients: old; licence none."
    kept = Metric("class accuracy on reference masses", "patients", 1, 1.0, 1.0, 1.0)
    old = Metric("old", "patients", 1, 1.0, 1.0, 1.0)
    card = Card("tiny", "1", told, "none", cases_sha256=split.sha256, metrics=(kept, old))
    before = save_release(replace(random_release(TINY), card=card), tmp_path / "release")
    words = ["weights", str(tmp_path / "release"), "-o", str(tmp_path / "new"), "--phantoms", "1"]
    assert main([*words, "--split", str(tmp_path / "split.json"), "--least-mass-confidence", "0.7"]) == 0
    new = load_release(tmp_path / "new")
    assert new.recipe == replace(before.recipe, least_mass_confidence=0.7)
    mine, theirs = dict(new.weights)["segment"][0], dict(load_release(tmp_path / "release").weights)["segment"][0]
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    names = [metric.name for metric in new.card.metrics]
    assert "mass Dice" in names and "class accuracy on reference masses" in names and "old" not in names
    assert (
        new.card.trained_on
        == "Trained on slices of 2 patients; accuracy on other patients was not measured; licence none."
    )
    (tmp_path / "split.json").write_text(Split(("a",), ("b", "c")).to_text())
    capsys.readouterr()
    assert main([*words, "--split", str(tmp_path / "split.json")]) == 2
    assert "is not the split that this release was trained with" in capsys.readouterr().err
    assert main(words) == 2
    assert "give the split of its training" in capsys.readouterr().err


def test_weights_calibrates_on_masses_that_no_training_saw(tmp_path, tiny_by_name, monkeypatch, capsys):
    monkeypatch.setattr(class_calibration, "_LEAST_MASSES", 2)
    folder, out = str(tmp_path / "run"), str(tmp_path / "release")
    assert main(["train", "tiny", "-o", folder, "--phantoms", "1", "--steps", "1", "--no-release"]) == 0
    assert main(["weights", folder, "-o", out, "--phantoms", "3", "--calibrate"]) == 0
    assert load_release(tmp_path / "release").recipe.classify.calibration.changes
    capsys.readouterr()


def test_stages_that_a_run_did_not_train_come_from_another_release(tmp_path, tiny_by_name, capsys):
    folder, out, base = tmp_path / "run", tmp_path / "release", tmp_path / "base"
    other = save_release(random_release(TINY, seed=5), base)
    words = ["train", "tiny", "-o", str(folder), "--phantoms", "1", "--steps", "1", "--stage", "segment"]
    assert main([*words, "--no-release"]) == 0
    assert main(["weights", str(folder), "-o", str(out), "--phantoms", "0"]) == 2
    assert main(["weights", str(folder), "-o", str(out), "--phantoms", "0", "--others", str(base)]) == 0
    made, digest = load_release(out), load_release(base).digest
    for name in ("localize", "classify"):
        (mine,), (theirs,) = dict(made.weights)[name], dict(other.weights)[name]
        assert all(torch.equal(mine[key], theirs[key].to(mine[key].dtype)) for key in theirs)
    assert made.card.parent == digest and [n.stage for n in made.card.lineage.networks] == ["segment"]
    capsys.readouterr()


def test_a_run_is_not_overwritten_nor_continued_by_accident(tmp_path, capsys):
    assert main(["train", "starter", "-o", str(tmp_path), "--resume"]) == 2
    assert "holds no run to go on with" in capsys.readouterr().err
    (tmp_path / "run.json").write_text("{}")
    assert main(["train", "starter", "-o", str(tmp_path)]) == 2
    assert "go on with it by --resume" in capsys.readouterr().err


def test_weights_without_folders_says_what_to_give(capsys):
    assert main(["weights"]) == 2
    assert "give the folder of a run" in capsys.readouterr().err


def test_the_card_of_the_starter_is_shown(capsys):
    assert main(["weights", "--show"]) == 0
    shown = capsys.readouterr().out
    assert "Trained on" in shown and "Not for clinical use" in shown and "Licence:" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--phantoms", "-1"], "--phantoms is -1; 0 or more is needed"),
        (["--steps", "0"], "--steps is 0; 1 or more is needed"),
        (["--device", "tpu"], "there is no device 'tpu' here"),
        (["--phantoms", "0"], "no training case has what this stage needs"),
        (["--stacks", "/nowhere"], "there is no folder /nowhere"),
    ],
)
def test_options_that_cannot_work_are_refused_in_a_sentence(tmp_path, capsys, options, message):
    assert main(["train", "starter", "-o", str(tmp_path / "run"), *options]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
