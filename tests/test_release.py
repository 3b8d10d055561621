"""Releases: written, read, and refused when anything about them is not as the card says."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from renalct.core.errors import ReleaseError
from renalct.models.networks import state_of
from renalct.models.recipes import recipe_named
from renalct.models.release import STARTER, describe, load_release, random_release, save_release
from tiny_recipes import tiny

RECIPE = tiny(recipe_named("starter"))


@pytest.fixture
def folder(tmp_path):
    save_release(random_release(RECIPE, seed=3), tmp_path / "release")
    return tmp_path / "release"


def change_card(folder, **values):
    path = folder / "release.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_release_comes_back_as_it_was_but_for_half_precision(folder):
    original, loaded = random_release(RECIPE, seed=3), load_release(folder)
    assert loaded.recipe == original.recipe and loaded.card == original.card
    for name, _ in RECIPE.stages:
        one, other = (state_of(r.networks(name)[0]) for r in (original, loaded))
        for key in one:
            assert np.allclose(one[key], other[key], atol=1e-3), key
            assert other[key].dtype == one[key].dtype


def test_saving_twice_gives_the_same_bytes_and_digest(folder, tmp_path):
    again = save_release(random_release(RECIPE, seed=3), tmp_path / "again")
    assert again.digest == load_release(folder).digest
    for path in sorted(folder.iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_weights_are_half_precision_safetensors(folder):
    from safetensors.torch import load_file

    tensors = load_file(folder / "segment_0.safetensors")
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}


def test_a_changed_byte_is_found_before_anything_is_loaded(folder):
    path = folder / "segment_0.safetensors"
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    with pytest.raises(ReleaseError, match=r"segment_0.safetensors has the sha256 .* was changed"):
        load_release(folder)


def test_a_missing_weight_file_is_named(folder):
    (folder / "classify_0.safetensors").unlink()
    with pytest.raises(ReleaseError, match=r"classify_0\.safetensors cannot be read"):
        load_release(folder)


def test_a_folder_without_a_card_is_no_release(tmp_path):
    with pytest.raises(ReleaseError, match="no release is in"):
        load_release(tmp_path)


def test_a_card_that_is_not_json_is_refused(folder):
    (folder / "release.json").write_text("{")
    with pytest.raises(ReleaseError, match="is not JSON"):
        load_release(folder)


def test_another_format_is_refused(folder):
    change_card(folder, format=99)
    with pytest.raises(ReleaseError, match="format 99; this version of renalct reads format 1"):
        load_release(folder)


def test_an_unknown_key_is_refused(folder):
    change_card(folder, recipes={})
    with pytest.raises(ReleaseError, match="unknown key 'recipes'; did you mean 'recipe'"):
        load_release(folder)


def test_a_weight_file_outside_the_folder_is_refused(folder):
    files = json.loads((folder / "release.json").read_text())["files"]
    files[0]["name"] = "../elsewhere.safetensors"
    change_card(folder, files=files)
    with pytest.raises(ReleaseError, match="not in its own folder"):
        load_release(folder)


def test_a_file_that_holds_no_tensors_is_refused(folder):
    path = folder / "segment_0.safetensors"
    path.write_bytes(b"these are no tensors")
    files = json.loads((folder / "release.json").read_text())["files"]
    for entry in files:
        entry["sha256"] = hashlib.sha256((folder / entry["name"]).read_bytes()).hexdigest()
    change_card(folder, files=files)
    with pytest.raises(ReleaseError, match="is not a safetensors file"):
        load_release(folder)


def test_a_member_too_few_is_refused(folder):
    files = json.loads((folder / "release.json").read_text())["files"]
    change_card(folder, files=files[1:])
    with pytest.raises(ReleaseError, match="lists 0 weight files for the stage"):
        load_release(folder)


def test_weights_of_another_network_are_refused(tmp_path):
    release = random_release(RECIPE)
    wider = replace(
        RECIPE.segment,
        network=replace(RECIPE.segment.network, channels=tuple(2 * n for n in RECIPE.segment.network.channels)),
    )
    save_release(replace(release, recipe=replace(RECIPE, segment=wider)), tmp_path)
    with pytest.raises(ReleaseError, match="do not fit"):
        load_release(tmp_path).networks("segment")


def test_the_starter_ships_small_and_says_first_what_it_learned_from():
    release = load_release()
    assert release.card.trained_on.startswith("Trained on ")
    assert "licence" in release.card.trained_on and release.card.licence
    assert sum(path.stat().st_size for path in STARTER.iterdir()) < 25e6
    for name, stage in release.recipe.stages:
        assert len(release.networks(name)) == stage.members


def test_every_metric_of_the_starter_has_its_data_n_and_interval():
    card = describe(load_release())
    assert card["metrics"] and "Not for clinical use" in card["intended_use"]
    for metric in card["metrics"]:
        assert metric["data"] and metric["n"] > 0 and metric["low"] <= metric["value"] <= metric["high"]
