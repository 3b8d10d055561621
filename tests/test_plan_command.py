"""`renalct plan`: second readings and blind repeats, planned from the command line."""

import pytest
from renalct.__main__ import main
from renalct.learning.store import LabelStore, StoredImage


@pytest.fixture
def store(tmp_path):
    made = LabelStore(tmp_path / "labels")
    made.register(StoredImage(f"case {n}", f"{n}.nii.gz") for n in range(10))
    return made


def planned(store, action):
    return sorted(entry.image_id for entry in store.audit() if entry.action == action)


def test_a_share_of_the_cases_is_read_twice_and_the_same_seed_draws_the_same(store, capsys):
    words = ["plan", str(store.folder), "--reads", "2", "--share", "0.3", "--by", "lead"]
    assert main(words) == 0
    first = capsys.readouterr().out
    chosen = planned(store, "reads planned")
    assert len(chosen) == 3 and all(f"  {image_id}\n" in first for image_id in chosen)
    assert main(words) == 0
    assert capsys.readouterr().out == first
    for client in ("ann", "bob"):
        assert store.lease(client, chosen[:1], seconds=60) is not None
    assert store.lease("cem", chosen[:1], seconds=60) is None, "two readings were planned"


def test_a_named_case_comes_again_after_others(store):
    assert main(["plan", str(store.folder), "--repeat-after", "1", "--case", "case 3"]) == 0
    assert planned(store, "repeat planned") == ["case 3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reads", "2", "--share", "0"], "a share above 0"),
        (["--reads", "0", "--share", "1"], "plan one or more"),
        (["--repeat-after", "0", "--case", "case 1"], "cannot be blind"),
        (["--reads", "2", "--case", "case 77"], "there is no image"),
    ],
)
def test_what_cannot_be_planned_is_refused(words, said, store, capsys):
    assert main(["plan", str(store.folder), *words]) == 2
    assert said in capsys.readouterr().err
    assert not planned(store, "reads planned") and not planned(store, "repeat planned")


def test_a_folder_that_is_not_there_is_not_made(tmp_path, capsys):
    assert main(["plan", str(tmp_path / "none"), "--reads", "2", "--share", "1"]) == 2
    assert "there is no folder" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_who_has_no_name_is_asked_for_one(store, monkeypatch, capsys):
    def nobody():
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert main(["plan", str(store.folder), "--reads", "2", "--share", "1"]) == 2
    assert "--by" in capsys.readouterr().err
