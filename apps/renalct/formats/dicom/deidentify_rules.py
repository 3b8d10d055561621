"""What becomes of each attribute in research data: the basic confidentiality profile of DICOM, and two of its options.

The table is PS3.15 2026c, Table E.1-1, read from `confidentiality_profile.csv`: the action of the basic profile, and
where the options "Retain Longitudinal Temporal Information with Modified Dates" and "Clean Descriptors" say C.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from pydicom.datadict import dictionary_has_tag
from pydicom.tag import BaseTag

EDITION = "2026c"
_TABLE = Path(__file__).with_name("confidentiality_profile.csv")
_KEPT_UIDS = frozenset({0x0008010C})
"""UIDs that name something public although they need not begin like DICOM's own: CodingSchemeUID."""
_DATES = frozenset({"DA", "DT", "TM"})


class Action(Enum):
    """What is done with an attribute, as Table E.1-1 names it."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    KEEP = "K"


@dataclass(frozen=True)
class Row:
    """A row of the table: the action of the basic profile, and whether an option replaces it by C."""

    basic: str
    modified_dates: bool
    clean_descriptors: bool


@cache
def profile() -> dict[int, Row]:
    """The rows by tag; those of repeating groups (50xx, 60xx) are in `repeating_row`."""
    return {int(tag, 16): row for tag, row in _rows() if "x" not in tag}


def row_of(tag: BaseTag) -> Row | None:
    """The row for a tag, None for an attribute that the table does not name."""
    return profile().get(int(tag)) or _repeating_row(tag)


def basic_action(tag: BaseTag, vr: str, *, is_enhanced: bool) -> Action:
    """The action of the basic profile on an attribute of a CT image.

    Where the table leaves it to the object whether an attribute must be there, an enhanced image keeps a dummy or an
    empty value, and a classic one, which requires none of these attributes to have a value, an empty one or none.
    What the table does not name is kept, if it is an attribute of the standard; but names of people are emptied, dates
    and times removed, and UIDs replaced, that the table may not know yet.
    """
    if tag.is_private or not _is_standard(tag):
        return Action.REMOVE
    row = row_of(tag)
    if row is None:
        if vr in _DATES:
            return Action.REMOVE
        return {"PN": Action.EMPTY, "UI": Action.UID}.get(vr, Action.KEEP) if tag not in _KEPT_UIDS else Action.KEEP
    codes = row.basic.split("/")
    if "U*" in codes:
        return Action.UID  # a sequence of references stays, with its UIDs replaced
    order = "DZXU" if is_enhanced else "UZXD"
    return Action(min(codes, key=order.index))


def _is_standard(tag: BaseTag) -> bool:
    return (
        dictionary_has_tag(tag) or tag.element == 0 or _repeating_row(tag) is not None or 0x6000 <= tag.group < 0x6100
    )


def _repeating_row(tag: BaseTag) -> Row | None:
    patterns = _repeating()
    if 0x5000 <= tag.group < 0x5100:
        return patterns["50xxxxxx"]
    return patterns.get(f"60xx{tag.element:04x}") if 0x6000 <= tag.group < 0x6100 else None


@cache
def _repeating() -> dict[str, Row]:
    return {tag: row for tag, row in _rows() if "x" in tag}


@cache
def _rows() -> tuple[tuple[str, Row], ...]:
    with _TABLE.open(newline="", encoding="ascii") as file:
        return tuple(
            (row["tag"], Row(row["basic_profile"], bool(row["modified_dates"]), bool(row["clean_descriptors"])))
            for row in csv.DictReader(file)
        )
