"""Frozen dataclasses to and from strict JSON: every key known, every type right, or a `RecipeError` that says so."""

from __future__ import annotations

import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from renalct.core.errors import RecipeError
from renalct.core.nearest import nearest_of

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """The value as JSON: dataclasses as objects, enums by their value, tuples as lists, paths as texts."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def from_json(kind: type[T], data: Any, *, where: str = "") -> T:
    """The dataclass `kind` that `data` (as made by `to_json`) describes; keys with a default may be missing.

    Raises `RecipeError` for an unknown key (with the nearest known one), a missing key or a value of another type.
    """
    read: T = _read(kind, data, where or kind.__name__.lower())
    return read


def _read(kind: Any, data: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return _read_optional(kind, data, where)
    if origin is tuple:
        return _read_tuple(kind, data, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _read_choice(kind, data, where)
    if is_dataclass(kind):
        return _read_dataclass(kind, data, where)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if kind is Path and isinstance(data, str):
        return Path(data)
    if isinstance(kind, type) and type(data) is kind:
        return data
    raise RecipeError(f"{where} is {data!r}; {_words(kind)} is needed")


def _read_optional(kind: Any, data: Any, where: str) -> Any:
    if data is None and type(None) in typing.get_args(kind):
        return None
    others = [k for k in typing.get_args(kind) if k is not type(None)]
    return _read(others[0], data, where)


def _read_tuple(kind: Any, data: Any, where: str) -> tuple[Any, ...]:
    inner = typing.get_args(kind)
    if not isinstance(data, list):
        raise RecipeError(f"{where} is {data!r}; a list is needed")
    if inner[-1] is Ellipsis:
        inner = (inner[0],) * len(data)
    if len(inner) != len(data):
        raise RecipeError(f"{where} has {len(data)} values; {len(inner)} are needed")
    return tuple(_read(k, item, f"{where}[{n}]") for n, (k, item) in enumerate(zip(inner, data, strict=True)))


def _read_choice(kind: type[Enum], data: Any, where: str) -> Enum:
    for member in kind:
        if member.value == data and type(member.value) is type(data):
            return member
    known = [str(member.value) for member in kind]
    raise RecipeError(f"{where} is {data!r}; {nearest_of(str(data), known)}")


def _read_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise RecipeError(f"{where} is {data!r}; an object with the keys of {kind.__name__} is needed")
    hints = typing.get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    for key in data:
        if key not in known:
            raise RecipeError(f"{where} has the unknown key {key!r}; {nearest_of(str(key), known)}")
    for f in fields(kind):
        if f.name not in data and f.default is MISSING and f.default_factory is MISSING:
            raise RecipeError(f"{where} lacks the key {f.name!r}")
    return kind(**{key: _read(hints[key], item, f"{where}.{key}") for key, item in data.items()})


def _words(kind: Any) -> str:
    return {float: "a number", int: "a whole number", str: "a text", bool: "true or false", Path: "a path"}.get(
        kind, str(kind)
    )
