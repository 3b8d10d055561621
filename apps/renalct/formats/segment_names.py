"""What the name of a segment means: a structure, a side, or nothing that is a label (scribbles, our own overlays)."""

from __future__ import annotations

from renalct.core.labels import Side, Structure, structure_named

UNCERTAINTY_NAMES = ("uncertainty low", "uncertainty medium", "uncertainty high")
"""The segments of the uncertainty overlay, from value 1 on."""
SUSPECTED_NAMES = ("suspected errors: missed", "suspected errors: too much", "suspected errors: class")
"""The segments of the overlay of suspected errors, from value 1 on."""
_BEGINNINGS = ("uncertainty", "suspected error", "foreground scribble", "background scribble", "scribble")
_NOTHING = ("background", "unlabeled", "unlabelled")
_SIDES = {"left": Side.LEFT, "right": Side.RIGHT}


def is_label(name: str) -> bool:
    """Whether a name can be that of a label: not background, a scribble, or one of our overlays.

    >>> is_label("foreground_scribbles"), is_label("Uncertainty_high"), is_label("kidney")
    (False, False, True)
    """
    words = _words(name)
    return " ".join(words) not in _NOTHING and not " ".join(words).startswith(_BEGINNINGS)


def structure_of_segment(name: str) -> Structure:
    """The structure that a segment's name means; background for what is no label. Raises as `structure_named`."""
    return structure_named(name) if is_label(name) else Structure.BACKGROUND


def side_of_segment(name: str) -> Side:
    """The side that a segment's name says, for example of "left kidney"; undetermined when it says none, or both."""
    found = {_SIDES[word] for word in _words(name) if word in _SIDES}
    return found.pop() if len(found) == 1 else Side.UNDETERMINED


def _words(name: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in name.lower()).split()
