"""Numbers on a command line: finite ones."""

import pytest
from renalct.__main__ import main
from renalct.commands.finite_numbers import number


def test_a_number_is_read_as_it_is_written():
    assert [number(text) for text in ("0", "-1.5", " 2e3 ")] == [0.0, -1.5, 2000.0]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "NaN", "1e999", "ten", ""])
def test_what_is_no_finite_number_is_none(text):
    with pytest.raises(ValueError):
        number(text)


@pytest.mark.parametrize(
    "words",
    [
        ("send", "--wait"), ("send", "--give-up-after"), ("serve", "--max-gb"), ("serve", "--quiet-time"),
        ("serve", "--keep-images"), ("serve", "--longest-analysis"), ("cohort", "--minutes"), ("cohort", "--gpus"),
    ],
    ids="".join,
)  # fmt: skip
def test_an_option_that_is_a_number_takes_no_nan(words, capsys):
    with pytest.raises(SystemExit) as left:
        main([words[0], words[1], "nan"])
    assert left.value.code == 2
    assert f"argument {words[1]}: invalid" in capsys.readouterr().err
