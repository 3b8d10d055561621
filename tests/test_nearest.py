"""What a message proposes for an unknown word."""

import pytest
from renalct.core.nearest import did_you_mean, nearest_of

KNOWN = ("kidney", "tumor", "cyst")


@pytest.mark.parametrize(
    ("word", "form", "said"),
    [
        ("kidny", "; did you mean {!r}?", "; did you mean 'kidney'?"),
        ("tumour", ", did you mean {}?", ", did you mean tumor?"),
        ("spleen", "; did you mean {!r}?", ""),
        ("", "; did you mean {!r}?", ""),
    ],
)
def test_the_nearest_word_is_proposed_in_the_words_of_the_message(word, form, said):
    assert did_you_mean(word, KNOWN, form) == said


def test_nothing_is_proposed_where_nothing_is_known():
    assert did_you_mean("kidney", ()) == ""


def test_the_choices_are_named_with_the_nearest_of_them_first():
    assert nearest_of("cist", KNOWN) == "did you mean 'cyst'? (known: kidney, tumor, cyst)"
    assert nearest_of("spleen", KNOWN) == "known: kidney, tumor, cyst"


def test_a_bolder_proposal_is_made_where_all_choices_are_named():
    # "abc" and "abd..." share two letters in a row of five and three: a likeness of 2 * 2 / 8 = 0.5
    assert did_you_mean("abc", ("abxyz",)) == ""
    assert nearest_of("abc", ("abxyz",)) == "did you mean 'abxyz'? (known: abxyz)"
