"""Frozen dataclasses as JSON and back, for the results of one case on disk; nan is null, an enum its name."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


def as_json(value: Any) -> Any:
    """The value as JSON: dataclasses as objects, enums by their lower-case name, nan and infinity as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, (tuple, list)):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def from_json(kind: type[T], data: Any) -> T:
    """The value of that type that `as_json` wrote. Raises `ValueError`, `KeyError` or `TypeError` for anything else.

    A null is nan where a number is due; an infinite number comes back as nan.
    """
    read: T = _read(kind, data)
    return read


def _read(kind: Any, data: Any) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if data is None else _read(next(k for k in inner if k is not type(None)), data)
    if origin is tuple:
        kinds = (inner[0],) * len(data) if inner[-1] is Ellipsis else inner
        return tuple(_read(k, item) for k, item in zip(kinds, data, strict=True))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind[data.upper()]
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{field.name: _read(hints[field.name], data[field.name]) for field in fields(kind) if field.init})
    if kind is float:
        return math.nan if data is None else float(data)
    if isinstance(kind, type) and isinstance(data, kind):
        return data
    raise TypeError(f"{data!r} is no {kind}")
