"""`renalct retrain`, `renalct registry` and `renalct reproduce --store`, as somebody types them."""

import json

import numpy as np
import pytest
from made_loop import add_case, commit, damaged, good_release, made_ct, made_registry, made_store
from renalct.__main__ import main
from renalct.learning.loop.frozen import read_frozen
from renalct.learning.loop.registry import Registry
from renalct.models.release import load_release, save_release


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A store of eight patients, their images, and a registry, after one `renalct retrain` of one step."""
    folder = tmp_path_factory.mktemp("loop")
    made_store(folder, 8)
    made_registry(folder, good_release())
    assert main([*words(folder), "--steps", "1", "--by", "rita"]) == 0
    return folder


def words(folder, command="retrain"):
    options = ["--images", str(folder / "images"), "--registry", str(folder / "registry")]
    return [command, str(folder / "store"), *options, "--loaders", "0"]


def test_a_retraining_says_how_it_ended_class_by_class(places, capsys):
    assert main([*words(places), "--steps", "1", "--keep"]) == 0
    said = capsys.readouterr().out
    assert ("v0003: " in said and "  tumor: " in said and "kept unpublished" in said) or "not published" in said
    assert "r0002 training, 1 of 1 steps" in said


def test_versions_are_listed_and_shown_with_their_reason(places, capsys):
    assert main(["registry", "list", str(places / "registry")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "v0001" and lines[1].split()[0] == "v0002"
    assert main(["registry", "list", str(places / "registry"), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema_version"] == 1 and data["history"][0]["version"] == "v0001"
    assert main(["registry", "show", str(places / "registry"), "v0002"]) == 0
    shown = capsys.readouterr().out
    assert "versions/v0002/release" in shown and "| tumor |" in shown and "Reason: " in shown
    assert main(["registry", "show", str(places / "registry"), "v0002", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["decision"]["comparisons"]


def test_the_status_is_told(places, capsys):
    assert main(["registry", "status", str(places / "registry")]) == 0
    assert "tumor Dice: 0." in capsys.readouterr().out
    assert main(["registry", "status", str(places / "registry"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total_epochs"] == 1


def test_a_version_is_trained_again_to_identical_weights_even_after_labels_changed(places, tmp_path, capsys):
    from renalct.learning.store import LabelStore

    commit(LabelStore(places / "store"), "ct 007", made_ct(7)[1][:, ::-1].copy())
    version = places / "registry" / "versions" / "v0002"
    options = ["--store", str(places / "store"), "--images", str(places / "images"), "--loaders", "0"]
    assert main(["reproduce", str(version), "-o", str(tmp_path / "again"), *options]) == 0
    said = capsys.readouterr().out
    assert "data: the same" in said and "weights: identical" in said
    assert main(["reproduce", str(version), "-o", str(tmp_path / "b")]) == 2
    assert "give it by --store" in capsys.readouterr().err
    assert main(["reproduce", str(places / "store"), "-o", str(tmp_path / "c"), *options]) == 3


def test_a_release_from_elsewhere_is_judged_published_and_rolled_back(tmp_path, capsys):
    made_store(tmp_path, 8)
    registry = made_registry(tmp_path, damaged(good_release()))
    save_release(good_release(), tmp_path / "better")
    place = str(tmp_path / "registry")
    options = ["--store", str(tmp_path / "store"), "--images", str(tmp_path / "images")]
    assert main(["registry", "judge", place, str(tmp_path / "better"), *options]) == 0
    assert "v0002 is kept unpublished" in capsys.readouterr().out
    assert main(["registry", "publish", place, "v0002", "--by", "rita"]) == 0
    assert load_release(registry.folder).digest == registry.version("v0002").digest
    assert main(["registry", "rollback", place, "--reason", "misses cysts", "--by", "rita"]) == 0
    assert Registry(tmp_path / "registry").current().version == "v0001"
    assert [each.by for each in registry.history()] == ["test", "rita", "rita"]
    save_release(damaged(good_release()), tmp_path / "worse")
    assert main(["registry", "judge", place, str(tmp_path / "worse"), *options, "--publish"]) == 0
    assert "v0003 is kept unpublished" in capsys.readouterr().out
    assert main(["registry", "publish", place, "v0003"]) == 2
    assert "the gate refused v0003: it is not better in any class" in capsys.readouterr().err


def test_the_frozen_set_is_chosen_grown_and_renewed_by_a_command(tmp_path, capsys):
    store = made_store(tmp_path, 8)
    made_registry(tmp_path, good_release())
    place = tmp_path / "registry"
    freeze = [
        "registry",
        "freeze",
        str(place),
        "--store",
        str(tmp_path / "store"),
        "--images",
        str(tmp_path / "images"),
    ]
    assert main(freeze) == 0
    first = read_frozen(place)
    assert f"3 cases of 3 patients are frozen, sha256 {first.sha256}" in capsys.readouterr().out
    assert main(freeze) == 0 and read_frozen(place) == first
    assert main([*freeze, "--renew"]) == 2
    assert "no label of the frozen validation set has changed" in capsys.readouterr().err
    image = first.cases[0].image_id
    commit(store, image, np.roll(made_ct(int(image[3:]))[1], 1, axis=2))
    from renalct.learning.store import CaseState

    store.set_state(image, CaseState.APPROVED, by="rita")
    assert main([*freeze, "--renew"]) == 0
    second = read_frozen(place)
    assert second.grown_from == first.sha256 and second.patients == first.patients
    for seed in (50, 51):
        add_case(store, tmp_path, seed)
    assert main([*freeze, "--grow"]) == 0
    assert len(read_frozen(place).patients) == 4


def test_training_by_itself_says_why_not(places, capsys):
    assert main([*words(places), "--if-due"]) == 0
    assert "not due: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--floor", "kidney"], "--floor kidney states no floor"),
        (["--floor", "spleen=0.5"], "spleen=0.5 is no floor"),
        (["--level", "1.5"], "the level of the gate is 1.5"),
        (["--replay-share", "1"], "the replay share is 1.0"),
        (["--steps", "0"], "0 steps train nothing"),
        (["--frozen-share", "0"], "the share of frozen patients is 0.0"),
        (["--recipe", "by_brigtness"], "there is no recipe 'by_brigtness'"),
        (["--replay", "/nowhere"], "there is no folder /nowhere"),
        (["--new-labels", "0", "--if-due"], "an automatic training needs 1 new label"),
        (["--watch", "1", "--anew"], "leave --anew out"),
        (["--device", "tpu"], "there is no device 'tpu' here"),
    ],
)
def test_options_that_cannot_work_are_refused_in_a_sentence(places, capsys, options, message):
    assert main([*words(places), *options]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said


def test_a_store_and_a_registry_that_are_not_there_are_named_and_not_made(tmp_path, capsys):
    assert main(words(tmp_path)) == 2
    assert "there is no label store in" in capsys.readouterr().err
    for action in (["list"], ["show"], ["status"], ["publish", "v0001"]):
        assert main(["registry", action[0], str(tmp_path / "none"), *action[1:]]) == 2
        assert "there is no registry in" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
