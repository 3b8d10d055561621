"""Which attributes the objects hold, whether they have a value and where it comes from: two specimens compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from pydicom import Dataset
from pydicom.datadict import dictionary_description, keyword_for_tag
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from renalct.delivery.conformance.specimens import Specimens

_CONTENT = "ContentSequence"
_CODE = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_LONGEST_SHOWN = 80
_SOME = "items"

TagPath = tuple[BaseTag, ...]
"""The tags of the sequences that an attribute stands in, and its own."""


class Presence(Enum):
    """Whether an attribute is there and has a value (PS3.2, the words of its tables of attributes)."""

    ALWAYS = "ALWAYS"
    MAY_BE_EMPTY = "VNAP"
    MAY_BE_ABSENT = "ANAP"
    EMPTY = "EMPTY"


class Origin(Enum):
    """Where a value comes from (PS3.2)."""

    COPY = "COPY"  # from the source images
    FIXED = "FIXED"  # the same in every object
    AUTO = "AUTO"  # made by the analysis


@dataclass(frozen=True)
class Attribute:
    """An attribute of a kind of object: `depth` sequences around it, `value` only where it is fixed and short."""

    tag: BaseTag
    name: str
    vr: str
    depth: int
    presence: Presence
    origin: Origin
    value: str = ""


@dataclass(eq=False)
class _Found:
    """What one specimen holds at a path: every value, over all items, and in how many of the items it is."""

    vr: str
    values: list[str] = field(default_factory=list)
    items: int = 0
    of: int = 0


def attributes_of(kind: str, specimens: Sequence[Specimens]) -> tuple[Attribute, ...]:
    """The attributes of a kind of object in order of their tags, those of sequence items after their sequence.

    The content tree of documents is left out: templates describe it.
    """
    found = [_found(each.objects[kind]) for each in specimens]
    paths = sorted({path for each in found for path in each})
    return tuple(_attribute(path, found, [each.source for each in specimens]) for path in paths)


def _found(dataset: Dataset) -> dict[TagPath, _Found]:
    found: dict[TagPath, _Found] = {}
    for parent, items in _groups((), [dataset]):
        for item in items:
            for element in item:
                if "CodeValue" in item and element.keyword in _CODE:
                    continue  # said beside the sequence that it is an item of
                path = (*parent, element.tag)
                entry = found.setdefault(path, _Found(element.VR))
                entry.items += 1
                entry.of = len(items)
                entry.values.append(_items(element.value) if element.VR == "SQ" else _text(element.value))
    return found


def _groups(parent: TagPath, items: list[Dataset]) -> Iterator[tuple[TagPath, list[Dataset]]]:
    """Every place in the tree with all items that stand there, whichever item of a sequence they are in."""
    yield parent, items
    tags = sorted({element.tag for item in items for element in item if element.VR == "SQ"})
    for tag in tags:
        if keyword_for_tag(tag) != _CONTENT:
            children = [child for item in items if tag in item for child in item[tag].value]
            if children:
                yield from _groups((*parent, tag), children)


def _attribute(path: TagPath, found: Sequence[dict[TagPath, _Found]], sources: Sequence[Dataset]) -> Attribute:
    there = [each[path] for each in found if path in each]
    vr = there[0].vr
    origin = _origin(path, found, sources)
    shown = set(there[0].values) - {_SOME} if origin is Origin.FIXED and not vr.startswith("O") else set()
    value = " or ".join(sorted(shown))
    return Attribute(
        path[-1],
        str(dictionary_description(path[-1])),
        vr,
        len(path) - 1,
        _presence(path, found),
        origin,
        value if len(value) <= _LONGEST_SHOWN else "",
    )


def _presence(path: TagPath, found: Sequence[dict[TagPath, _Found]]) -> Presence:
    """How far the specimens that hold the sequence around an attribute hold it, too."""
    around = [each for each in found if len(path) == 1 or path[:-1] in each]
    if any(path not in each or each[path].items < each[path].of for each in around):
        return Presence.MAY_BE_ABSENT
    empty = [value == "" for each in around for value in each[path].values]
    if all(empty):
        return Presence.EMPTY
    return Presence.MAY_BE_EMPTY if any(empty) else Presence.ALWAYS


def _origin(path: TagPath, found: Sequence[dict[TagPath, _Found]], sources: Sequence[Dataset]) -> Origin:
    keyword = keyword_for_tag(path[-1])
    for each, source in zip(found, sources, strict=True):
        value = _text(source[keyword].value) if len(path) == 1 and keyword in source else ""
        if value and path in each and value in each[path].values:
            return Origin.COPY
    values = [set(each[path].values) if path in each else None for each in found]
    return Origin.FIXED if all(each == values[0] for each in values) else Origin.AUTO


def _items(items: Sequence[Dataset]) -> str:
    """The codes of a code sequence; else that there are items."""
    codes = [f'({i.CodeValue}, {i.CodingSchemeDesignator}, "{i.CodeMeaning}")' for i in items if "CodeValue" in i]
    return "; ".join(codes) or (_SOME if items else "")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "\\".join(str(each) for each in value) if isinstance(value, (MultiValue, list, tuple)) else str(value)
