"""The codes and templates that the documents and segments hold, collected from specimens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from pydicom import Dataset
from pydicom.sr.coding import Code

from renalct.core.errors import ErrorCode
from renalct.formats.dicom import codes

TEMPLATES = {
    "1500": "Measurement Report",
    "1410": "Planar ROI Measurements and Qualitative Evaluations",
    "1411": "Volumetric ROI Measurements and Qualitative Evaluations",
    "1501": "Measurement and Qualitative Evaluation Group",
    "1600": "Image Library",
    "2010": "Key Object Selection",
}
"""Names of PS3.16."""


@dataclass(frozen=True, order=True)
class PrivateCode:
    """A concept of our own coding scheme."""

    value: str
    meaning: str


def private_codes() -> tuple[PrivateCode, ...]:
    """Every concept of the private scheme that the code knows, by value; also those of no specimen."""
    found = {code for value in vars(codes).values() for code in _codes(value)}
    found |= {codes.reason_not_analysed(code) for code in ErrorCode}
    return tuple(sorted(PrivateCode(c.value, c.meaning) for c in found if c.scheme_designator == codes.PRIVATE_SCHEME))


def templates_of(document: Dataset) -> tuple[str, ...]:
    """The identifiers of the templates that a document says it was made by, each once, in their order."""
    return tuple(dict.fromkeys(_templates(document)))


def _templates(item: Dataset) -> Iterator[str]:
    for template in item.get("ContentTemplateSequence", []):
        yield str(template.TemplateIdentifier)
    for child in item.get("ContentSequence", []):
        yield from _templates(child)


def _codes(value: object) -> Iterable[Code]:
    """The codes that a constant of the module holds: one, or those of a table."""
    if isinstance(value, Code):
        return [value]
    if isinstance(value, dict):
        return [code for code in value.values() if isinstance(code, Code) and not isinstance(code, Enum)]
    return []
