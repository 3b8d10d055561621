"""`renalct train` and `renalct reproduce` on a folder of labelled images: checks, split, candidate and lineage."""

import argparse
import json
import shutil
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest
from renalct.__main__ import main
from renalct.commands.train_options import add_run_options, plan_of
from renalct.formats.nifti import write_volume
from renalct.learning import candidate
from renalct.models import network_training, recipes, training
from renalct.models.cases import Case, CaseFile, LabelledMass, Origin
from renalct.models.recipes import recipe_named
from renalct.models.release import load_release
from renalct.models.run_folder import RUN, read_run
from renalct.models.splits import Split, Stratify
from renalct.models.tracking import read_history
from renalct.models.trained import trained_release
from renalct.models.training_settings import Select
from renalct.synthetic.phantom import make_phantom
from renalct.synthetic.settings import PhantomSettings
from tiny_recipes import tiny

SMALL = PhantomSettings(spacing_mm=(6.0, 6.0, 8.0), field_mm=(240.0, 192.0, 160.0))


def small_phantoms(seeds, *, spacing_mm=None):
    """Phantoms of a few thousand voxels: untrained networks see masses everywhere, and each is measured."""
    return tuple(CaseFile(f"phantom_{n}", f"phantom_{n}", Origin.PHANTOM, partial(_small, n)) for n in seeds[:1])


def _small(seed):
    phantom = make_phantom(SMALL, seed=seed)
    masses = tuple(LabelledMass(m.mask, m.mass_class) for m in phantom.masses)
    name = f"phantom_{seed}"
    return (Case(name, name, Origin.PHANTOM, phantom.volumes[0], phantom.label_map, masses),)


def tiny_recipe():
    recipe = replace(tiny(recipe_named("starter"), patch=16), name="tiny", split_shares=(3.0, 1.0, 1.0))
    return recipe.with_stages(
        lambda _, stage: replace(
            stage, members=1, training=replace(stage.training, batch=2, select=Select.BEST_SCORE, steps=2)
        )
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five patients as KiTS23 publishes them, made from phantoms."""
    folder = tmp_path_factory.mktemp("kits")
    for number in range(5):
        (case,) = _small(number)
        place = folder / f"case_{number:05d}"
        place.mkdir()
        write_volume(case.volume, place / "imaging.nii.gz")
        labels = nib.Nifti1Image(case.label_map.values, case.label_map.grid.affine)
        labels.to_filename(place / "segmentation.nii.gz")
    return folder


@pytest.fixture(scope="module", autouse=True)
def coarse_and_by_name():
    """The tiny recipe can be asked for by name, and phantoms are coarse."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "RECIPES", (*recipes.RECIPES, tiny_recipe()))
        for module in (training, network_training, candidate):
            patch.setattr(module, "phantom_files", small_phantoms)
        yield


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "tiny", "--data", str(data), "-o", str(run), "--loaders", "0", "--validations", "1"]) == 0
    return run


def test_a_run_ends_in_a_release_candidate_with_its_lineage(trained):
    release = load_release(trained / "release")
    lineage = release.card.lineage
    record, split = read_run(trained)
    assert (record.training_patients, record.validation_patients, record.test_patients) == (3, 1, 1)
    assert lineage.split_sha256 == split.sha256 and len(lineage.data_sha256) == len(lineage.recipe_sha256) == 64
    assert [(n.stage, n.steps, n.planned_steps) for n in lineage.networks] == [
        ("localize", 2, 2), ("segment", 2, 2), ("segment_too", 2, 2), ("classify", 2, 2),
    ]  # fmt: skip
    assert any(word.startswith("torch ") for word in lineage.environment) and lineage.code_version
    told = {(m.name, m.data) for m in release.card.metrics}
    assert ("mass surface Dice", "patients held out for the test") in told
    assert all(m.low <= m.value <= m.high and m.n >= 1 for m in release.card.metrics)
    assert release.card.trained_on.startswith("Trained on KiTS volumes of 3 patients; measured on 1 other patients")
    assert "CC BY-NC-SA" in release.card.licence


def test_whole_volumes_are_validated_with_dice_surface_dice_sensitivity_and_false_positives(trained):
    (numbers,) = [dict(numbers) for step, numbers in read_history(trained / "segment_0") if len(numbers) > 2]
    assert {"validation_loss", "mass Dice", "mass surface Dice", "cyst Dice", "lesion sensitivity"} <= set(numbers)
    assert numbers["false positives per case"] >= 0 and 0 <= numbers["kidney and mass Dice"] <= 1
    (numbers,) = [dict(numbers) for step, numbers in read_history(trained / "classify_0") if len(numbers) > 2]
    assert {"accuracy", "balanced accuracy"} <= set(numbers)


@pytest.mark.parametrize(
    ("words", "alike"),
    [
        (["--data", "kits"], Stratify.CONTENT),
        (["--data", "kits", "--stratify", "nothing"], Stratify.NOTHING),
        (["--data", "kits", "--stratify", "size"], Stratify.SIZE),
        (["--data", "kits", "--stacks", "stacks"], Stratify.NOTHING),
        (["--phantoms", "4"], Stratify.NOTHING),
    ],
)
def test_whole_volumes_are_split_alike_by_what_is_labelled_in_them_unless_asked_otherwise(words, alike):
    parser = argparse.ArgumentParser()
    add_run_options(parser)
    assert plan_of(parser.parse_args(["starter", "-o", "run", *words])).settings.stratify is alike


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (
            "zhao2023_literal",
            "the window is the printed one (width 30 HU, level 300 HU), which keeps only what lies near 300",
        ),
        ("beheshtifard2023_kidney_only", "tumor outside the kidney mask cannot be found"),
    ],
)
def test_a_recipe_that_is_literal_where_its_paper_is_garbled_says_so_before_anything_else(
    recipe, said, tmp_path, capsys
):
    assert main(["train", recipe, "--data", str(tmp_path / "none"), "-o", str(tmp_path / "run")]) == 2
    assert f"Note on {recipe}: " in (out := capsys.readouterr().out) and said in out


def test_a_card_claims_of_patients_only_what_is_known_of_them(trained, tmp_path):
    of_kits = trained_release(trained, version="1").card.limits
    assert "adults with native kidneys" in of_kits[0] and "angiomyolipomas almost only from phantoms" in of_kits[1]
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    record = json.loads((run / RUN).read_text()) | {"data": "KiTS volumes and CT volumes"}
    (run / RUN).write_text(json.dumps(record))
    (limit,) = trained_release(run, version="1").card.limits
    assert limit.startswith("Who the patients were is not written down: transplanted")


def test_a_release_is_trained_again_to_identical_weights(trained, data, tmp_path, capsys):
    release = str(trained / "release")
    assert main(["reproduce", release, "--data", str(data), "-o", str(tmp_path / "a"), "--loaders", "0"]) == 0
    said = capsys.readouterr().out
    assert "data: the same" in said and "weights: identical" in said
    assert load_release(tmp_path / "a" / "release").digest == load_release(trained / "release").digest


def test_other_data_are_refused_before_anything_is_trained(trained, data, tmp_path, capsys):
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    for place in sorted(data.iterdir())[:4]:
        (fewer / place.name).symlink_to(place)
    assert main(["reproduce", str(trained / "release"), "--data", str(fewer), "-o", str(tmp_path / "b")]) == 2
    assert "the split of these data has the sha256" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_release_without_lineage_cannot_be_trained_again(tmp_path, capsys):
    from renalct.models.release import STARTER, random_release, save_release

    assert STARTER.exists()
    save_release(random_release(tiny_recipe()), tmp_path / "release")
    assert main(["reproduce", str(tmp_path / "release"), "-o", str(tmp_path / "run")]) == 3
    assert "has no lineage" in capsys.readouterr().err


def test_bad_cases_are_listed_before_anything_starts_and_left_out_on_request(data, tmp_path, capsys):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for place in sorted(data.iterdir())[1:]:
        (mixed / place.name).symlink_to(place)
    bad = mixed / "case_00000"
    bad.mkdir()
    (bad / "imaging.nii.gz").symlink_to(data / "case_00000" / "imaging.nii.gz")
    labels = nib.load(data / "case_00000" / "segmentation.nii.gz")
    nib.Nifti1Image(np.asarray(labels.dataobj)[:-1], labels.affine).to_filename(bad / "segmentation.nii.gz")
    words = ["train", "tiny", "--data", str(mixed), "-o", str(tmp_path / "run"), "--shares", "3:1", "--loaders", "0"]
    assert main(words) == 2
    said = capsys.readouterr()
    assert "bad case case_00000" in said.out and "1 of 5 cases cannot be used" in said.err
    assert not (tmp_path / "run").exists()
    few = ["--stage", "localize", "--steps", "1", "--validations", "0"]
    assert main([*words, "--skip-bad", *few]) == 0
    _, split = read_run(tmp_path / "run")
    assert (len(split.training), len(split.validation)) == (3, 1) and "case_00000" not in split.patients


def test_a_given_split_is_used_and_one_of_other_patients_refused(data, tmp_path, capsys):
    names = sorted(place.name for place in data.iterdir())
    split = Split(tuple(names[:4]), (names[4],))
    (tmp_path / "split.json").write_text(split.to_text())
    words = ["train", "tiny", "--data", str(data), "--stage", "localize", "--steps", "1", "--validations", "0"]
    words += ["--loaders", "0", "--split", str(tmp_path / "split.json")]
    assert main([*words, "-o", str(tmp_path / "run")]) == 0
    assert read_run(tmp_path / "run")[1] == split
    (tmp_path / "split.json").write_text(Split(("case_99999",), ()).to_text())
    assert main([*words, "-o", str(tmp_path / "other")]) == 2
    assert "the split names 1 patients that the data do not hold" in capsys.readouterr().err


def test_a_recipe_in_a_file_and_folds(data, tmp_path):
    from renalct.models.values import to_json

    (tmp_path / "mine.json").write_text(json.dumps(to_json(replace(tiny_recipe(), name="mine"))))
    words = ["train", str(tmp_path / "mine.json"), "--data", str(data), "-o", str(tmp_path / "run"), "--members", "3"]
    words += ["--ensemble", "folds", "--stage", "localize", "--steps", "1", "--validations", "1", "--loaders", "0"]
    assert main(words) == 0
    assert read_run(tmp_path / "run")[0].recipe.localize.members == 3
    for member in range(3):  # each is validated on the fold that it did not see
        assert any(len(numbers) > 2 for _, numbers in read_history(tmp_path / "run" / f"localize_{member}"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--accumulate", "3"], "a batch of 2 cannot be divided among 1 processes and 3 parts"),
        (["--precision", "float16"], "float16 is for GPUs"),
        (["--steps", "1", "--epochs", "1"], "give --steps or --epochs, not both"),
        (["--weights", "classify"], "--weights classify names no file"),
        (["--weights", "clasify=x.pth"], "no stage 'clasify'"),
        (["--shares", "8;1;1"], "is no split"),
        (["--patience", "0"], "--patience is 0; 1 or more is needed"),
        (["--members", "0"], "--members is 0"),
        (["--split", "/nowhere.json"], "cannot be read"),
        (["--data", "/nowhere"], "there is no folder"),
    ],
)
def test_options_that_cannot_work_are_refused_in_a_sentence(tmp_path, capsys, options, message):
    words = ["train", "tiny", "-o", str(tmp_path / "run"), "--phantoms", "1", "--loaders", "0", "--validations", "0"]
    assert main([*words, *options]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said
