"""`renalct rank`: evaluations of several systems in one order."""

import json

import pytest
from renalct.__main__ import main
from renalct.core.labels import Region

SETTINGS = {"mass_tolerance_mm": 1.13}


def evaluation(folder, system, scores, *, settings=SETTINGS):
    """A folder with the scores.json of a system: (Dice, surface Dice, tumor Dice) by case."""
    folder.mkdir()

    def regions(dice, surface, tumor):
        return {
            region.title: {
                "dice": tumor if region is Region.TUMOR else dice, "surface_dice": surface, "hausdorff_mm": None,
                "hausdorff95_mm": None, "assd_mm": None, "prediction_ml": 1.0, "reference_ml": 1.0,
            }
            for region in Region
        }  # fmt: skip

    cases = [{"case": name, "patient": name, "regions": regions(*values)} for name, values in scores.items()]
    record = {"schema_version": 1, "system": system, "data_set": "made", "settings": settings, "cases": cases}
    (folder / "scores.json").write_text(json.dumps(record))
    return str(folder)


def test_the_best_system_comes_first(tmp_path, capsys):
    good = evaluation(tmp_path / "a", "good", {"1": (0.9, 0.8, 0.7), "2": (0.8, 0.9, 0.7)})
    poor = evaluation(tmp_path / "b", "poor", {"2": (0.5, 0.4, 0.3), "1": (0.6, 0.4, 0.3)})
    assert main(["rank", poor, good]) == 0
    _, first, second, _ = capsys.readouterr().out.splitlines()
    assert first.split()[:3] == ["1", "good", "1.0"] and second.split()[:3] == ["2", "poor", "2.0"]
    assert "0.8000" in first, "the mean of kidney and mass 0.85, mass 0.85 and tumor 0.7"
    assert main(["rank", poor, good, "--json"]) == 0
    ranking = json.loads(capsys.readouterr().out)["ranking"]
    assert [(each["name"], each["place"], each["cases"]) for each in ranking] == [("good", 1, 2), ("poor", 2, 2)]


def test_two_evaluations_of_one_system_are_told_apart_by_their_folders(tmp_path, capsys):
    folders = [evaluation(tmp_path / name, "same", {"1": (0.9, 0.8, 0.7)}) for name in "ab"]
    assert main(["rank", *folders]) == 0
    out = capsys.readouterr().out
    assert all(f"same ({folder})" in out for folder in folders)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"scores": {"2": (0.9, 0.8, 0.7)}}, "on the same cases"),
        ({"scores": {"1": (0.9, 0.8, 0.7)}, "settings": {"mass_tolerance_mm": 2.0}}, "by different rules"),
    ],
)
def test_what_cannot_be_ranked_is_refused(other, words, tmp_path, capsys):
    first = evaluation(tmp_path / "a", "a", {"1": (0.9, 0.8, 0.7)})
    second = evaluation(tmp_path / "b", "b", **other)
    assert main(["rank", first, second]) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_scores_or_with_others_is_refused(tmp_path, capsys):
    assert main(["rank", str(tmp_path)]) == 2
    assert "give a folder that renalct evaluate wrote" in capsys.readouterr().err
    (tmp_path / "scores.json").write_text('{"schema_version": 1, "cases": [{}]}')
    assert main(["rank", str(tmp_path)]) == 2
    assert "is no scores.json of renalct evaluate" in capsys.readouterr().err
    one = evaluation(tmp_path / "a", "a", {"1": (0.9, 0.8, 0.7)})
    assert main(["rank", one, one]) == 2
    assert "named twice" in capsys.readouterr().err
