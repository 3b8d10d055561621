"""What a message proposes for a word that is not known: the nearest of those that are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_ALIKE = 0.6
_ALIKE_BESIDE_ALL = 0.5  # a bold guess does no harm where every choice is named as well


def did_you_mean(word: str, known: Iterable[str], form: str = "; did you mean {!r}?") -> str:
    """The part of a message that proposes the nearest known word, in the given form; "" where none is near.

    >>> did_you_mean("kidny", ("kidney", "tumor"))
    "; did you mean 'kidney'?"
    """
    return _proposal(word, known, form, _ALIKE)


def nearest_of(word: str, known: Sequence[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, where there is one, and all that are known.

    >>> nearest_of("kidny", ("kidney", "tumor"))
    "did you mean 'kidney'? (known: kidney, tumor)"
    """
    choices = f"known: {', '.join(known)}"
    proposal = _proposal(word, known, "did you mean {!r}?", _ALIKE_BESIDE_ALL)
    return f"{proposal} ({choices})" if proposal else choices


def _proposal(word: str, known: Iterable[str], form: str, cutoff: float) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return form.format(near[0]) if near else ""
