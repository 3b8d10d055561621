"""Uploaded files under their senders' names for them; the stock endpoints keep them under names of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType

_names: ContextVar[Mapping[str, str]] = ContextVar("names", default=MappingProxyType({}))


def came_as(names: Mapping[str, str]) -> None:
    """Remember the names of the files of this request, by the fields of its form."""
    _names.set(names)


@contextmanager
def under_its_own_name(path: Path, field: str) -> Iterator[Path]:
    """Within it, an uploaded file under its sender's name for it, so that messages name a file that the sender knows.

    A file that the stock code has converted since keeps its name.
    """
    name = _names.get().get(field, "")
    if not name or Path(name).suffixes != path.suffixes:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder, name)
        try:
            named.hardlink_to(path)
        except OSError:  # a disk that knows no links
            shutil.copyfile(path, named)
        yield named
