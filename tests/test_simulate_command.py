import json

import pytest
from made_cases import kits_folder
from renalct.__main__ import COMMANDS, main
from renalct.commands import simulate
from renalct.learning.simulation.results import PAGE, RESULTS, VERDICT
from renalct.learning.simulation.settings import SimulationSettings

TINY = ("--seeds", "1", "--rounds", "1", "--per-round", "1", "--start", "2", "--start-steps", "2", "--steps", "1")


def test_strategies_are_compared_in_one_command(tmp_path, capsys):
    folder = kits_folder(tmp_path / "kits", count=6)
    words = ["simulate", "--data", str(folder), "-o", str(tmp_path / "out"), "--strategies", "random,fg_random,entropy"]
    assert main([*words, *TINY]) == 0
    printed = capsys.readouterr().out
    assert "5 cases in the pool, 1 held out to test on" in printed
    for title in ("### Strategies", "### Against fg_random", "### Pairwise penalty matrix", "No claim"):
        assert title in printed
    assert (tmp_path / "out" / RESULTS / PAGE).exists()
    assert json.loads((tmp_path / "out" / RESULTS / VERDICT).read_text())["strategy"] == "fg_random"
    assert main([*words, *TINY]) == 0  # everything is there already
    assert main([*words, *TINY[:-1], "2"]) == 2
    assert "other steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--strategies", "entropie"], "did you mean entropy"),
        (["--strategies", "suspected_error"], "labelled already"),
        (["--rounds", "0"], "rounds is 0"),
        (["--phantoms", "0"], "0 phantoms"),
        (["--workers", "0"], "workers is 0"),
        (["--recipe", "startr"], "did you mean 'starter'"),
        (["--stacks", "no/such/folder"], "no/such/folder"),
    ],
    ids=lambda value: str(value),
)
def test_what_cannot_be_simulated_is_refused_with_a_sentence(words, sentence, tmp_path, capsys):
    assert main(["simulate", "-o", str(tmp_path / "out"), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_is_in_the_table():
    assert "simulate" in COMMANDS


def test_the_usual_phantoms_are_enough_for_the_usual_rounds():
    """One in seven random phantoms shows no kidney; three quarters of the others are the pool."""
    left = simulate._PHANTOMS * 6 / 7 * (1 - SimulationSettings().test_share)
    assert left >= SimulationSettings().most_cases + 2
