"""Rules that say which series may be chosen, in the JSON syntax of the MONAI Deploy App SDK's series selector."""

from __future__ import annotations

import json
import math
import numbers
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue

from renalct.core.errors import ErrorCode, InputError
from renalct.core.nearest import did_you_mean
from renalct.formats.dicom.headers import SeriesHeaders

Wanted = str | float | tuple[str | float, ...]

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "!=": operator.ne,
}  # fmt: skip
_ORIENTATIONS = ("sagittal", "coronal", "axial")
_COMMON_KEYWORDS = (
    "StudyDescription", "Modality", "SeriesDescription", "ImageType", "SliceThickness", "ImageOrientationPatient",
    "ConvolutionKernel", "BodyPartExamined", "Manufacturer", "ProtocolName", "SeriesNumber", "PatientPosition",
)  # fmt: skip


@dataclass(frozen=True)
class Condition:
    """What an attribute must be.

    A text is equal or a regular expression found in the value, ignoring case; for an attribute of several values it is
    contained in them, and must not be when it begins with ``!``. A list of texts must all hold. For a number: an equal
    number, an expression that matches all of it, [lowest, highest], or [number, ">"] with any comparison.
    ImageOrientationPatient is compared with Axial, Coronal or Sagittal.
    """

    keyword: str
    wanted: Wanted

    def __post_init__(self) -> None:
        if tag_for_keyword(self.keyword) is None:
            hint = did_you_mean(self.keyword, _COMMON_KEYWORDS)
            raise _wrong(f"the rule names {self.keyword!r}, which is not a DICOM keyword{hint}")
        if self.keyword == "ImageOrientationPatient" and str(self.wanted).strip().lower() not in _ORIENTATIONS:
            raise _wrong(f"the rule for {self.keyword} is {self.wanted!r}; use Axial, Coronal or Sagittal")
        for text in self.wanted if isinstance(self.wanted, tuple) else (self.wanted,):
            try:
                re.compile(text if isinstance(text, str) and text not in _COMPARISONS else "")
            except re.error as error:
                raise _wrong(f"the rule for {self.keyword} has an expression that is wrong: {error}") from error

    def holds(self, series: SeriesHeaders) -> bool:
        """Whether a series meets this condition; an attribute that is absent meets none."""
        if self.keyword == "ImageOrientationPatient":
            name = _ORIENTATIONS[int(np.argmax(np.abs(series.slices[0].normal)))]
            return str(self.wanted).strip().lower() == name
        value = _value(series, self.keyword)
        if value is None:
            return False
        if isinstance(value, numbers.Real):
            return self._holds_number(float(value))
        if isinstance(value, MultiValue | list | tuple):
            return self._holds_values("\\".join(str(v) for v in value).lower())
        return self._holds_text(str(value))

    def _holds_number(self, value: float) -> bool:
        wanted = self.wanted
        if isinstance(wanted, str):
            return any(re.fullmatch(wanted, text) for text in (str(value), f"{value:g}"))
        if not isinstance(wanted, tuple):
            return math.isclose(value, wanted)
        if len(wanted) == 2 and isinstance(wanted[1], str) and wanted[1] in _COMPARISONS:
            return _COMPARISONS[wanted[1]](value, float(wanted[0]))
        if len(wanted) == 2 and not any(isinstance(v, str) for v in wanted):
            return float(wanted[0]) <= value <= float(wanted[1])
        raise _wrong(
            f"the rule for {self.keyword} is {list(wanted)}; for a number give a number, [lowest, highest], "
            'or [number, ">"]'
        )

    def _holds_values(self, values: str) -> bool:
        for wanted in self.wanted if isinstance(self.wanted, tuple) else (self.wanted,):
            text = str(wanted).lower()
            if (text[1:] in values) if text.startswith("!") else (text not in values):
                return False
        return True

    def _holds_text(self, value: str) -> bool:
        texts = self.wanted if isinstance(self.wanted, tuple) else (self.wanted,)
        return all(
            str(text).casefold() == value.casefold() or re.search(str(text), value, re.IGNORECASE) for text in texts
        )


@dataclass(frozen=True)
class Selection:
    """Conditions that a series must all meet, under a name."""

    name: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Rules:
    """Selections in order of preference: the first that any usable series meets decides. None accepts every CT."""

    selections: tuple[Selection, ...] = ()

    @classmethod
    def from_json(cls, text: str) -> Rules:
        """The rules of a text ``{"selections": [{"name": ..., "conditions": {keyword: value}}]}``.

        Raises `InputError` for anything else, unknown keys and DICOM keywords included.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise _wrong(f"the series rules are not JSON: {error}") from error
        _check_keys(content, "the series rules", ("selections",))
        if not isinstance(content.get("selections"), list):
            raise _wrong('the series rules need a list "selections"')
        return cls(tuple(_selection(item, n) for n, item in enumerate(content["selections"], start=1)))

    @classmethod
    def read(cls, path: Path) -> Rules:
        """The rules of a JSON file; raises `InputError` when it cannot be read."""
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise _wrong(f"the series rules {path.name!r} cannot be read ({type(error).__name__})") from error


def _wrong(sentence: str) -> InputError:
    return InputError(sentence, code=ErrorCode.RULES)


def _selection(item: Any, number: int) -> Selection:
    _check_keys(item, f"selection {number}", ("name", "conditions"))
    conditions = item.get("conditions") or {}
    if not isinstance(conditions, dict):
        raise _wrong(f'the "conditions" of selection {number} must be an object of DICOM keywords')
    return Selection(
        str(item.get("name") or f"selection {number}"),
        tuple(Condition(keyword, _wanted(keyword, value)) for keyword, value in conditions.items()),
    )


def _wanted(keyword: str, value: Any) -> Wanted:
    if isinstance(value, list) and all(isinstance(v, str | int | float) for v in value):
        return tuple(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    raise _wrong(f"the rule for {keyword} must be a text, a number, or a list of them")


def _check_keys(content: Any, what: str, known: tuple[str, ...]) -> None:
    if not isinstance(content, dict):
        raise _wrong(f"{what} must be a JSON object with {' and '.join(known)}")
    for key in content:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"; it takes {' and '.join(known)}"
            raise _wrong(f"{what} has an unknown key {key!r}{hint}")


def _value(series: SeriesHeaders, keyword: str) -> Any:
    try:
        value = series.example.get(keyword)
    except Exception:  # a damaged value meets no condition
        return None
    if keyword == "SliceThickness" and value is None:
        return series.slices[0].acquisition.thickness_mm
    if keyword == "ImageType" and value is None:
        return list(series.slices[0].acquisition.image_type)
    return value
