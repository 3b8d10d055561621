"""The labels in the folder of a MONAI Label server, as they lie there: every file, and what the server knew of it.

The server keeps `labels/<tag>/<image>.<ending>` and one `datastore_v2.json`, which it writes in place: a crash leaves
half of it, a label saved with another ending leaves two files and one entry, and what is copied in has no entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.formats.case_notes import stem_of
from renalct.formats.monai_label import STORE

_LABELS = "labels"
_CLOSERS = {"{": "}", "[": "]"}


@dataclass(frozen=True)
class FoundLabel:
    """A file under `labels/<tag>`: of which image, with what the server noted of it (`info`), and since when.

    `in_entry` is false for a file that the server does not know, for example one that a later label replaced.
    """

    image: str
    tag: str
    path: Path
    saved_at: float
    in_entry: bool
    info: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """How messages call it."""
        return f"{self.tag}/{self.path.name}"


@dataclass(frozen=True)
class MONAIFolder:
    """Images by id, labels in the order in which they were saved, and what a reader should know."""

    images: Mapping[str, Path]
    labels: tuple[FoundLabel, ...]
    notices: tuple[str, ...] = ()


def read_monai_folder(folder: Path) -> MONAIFolder:
    """All images and labels of a MONAI Label folder. Raises `InputError` when it is none."""
    if not (folder / STORE).is_file() and not (folder / _LABELS).is_dir():
        raise InputError(f"{folder} is no folder of a MONAI Label server: it has neither {STORE} nor {_LABELS}")
    store, notices = _read_store(folder / STORE)
    images_dir = folder / str(store.get("images_dir") or ".")
    images = {stem_of(path): path for path in _files(images_dir) if path.name != STORE}
    labels_dir = folder / str(store.get("labels_dir") or _LABELS)
    entries = dict(_entries(store))
    labels, missing = [], dict(entries)
    for tag_folder in sorted(p for p in labels_dir.iterdir() if p.is_dir()) if labels_dir.is_dir() else ():
        for path in _files(tag_folder):
            entry = entries.get((tag_folder.name, path.name))
            missing.pop((tag_folder.name, path.name), None)
            image, info = entry or (stem_of(path), {})
            labels.append(FoundLabel(image, tag_folder.name, path, _time(info, path), entry is not None, info))
    notices += tuple(f"{STORE} names the label {tag}/{name}, which is not there" for tag, name in sorted(missing))
    return MONAIFolder(images, tuple(sorted(labels, key=_saved)), notices)


def salvaged(text: str) -> Any:
    """The JSON value in a text that may have been cut off: whole objects and lists are kept, the torn end is not.

    >>> salvaged('{"a": {"b": [1, 2]}, "c": {"d": 3}, "e": {"f')
    {'a': {'b': [1, 2]}, 'c': {'d': 3}}
    """
    try:
        return json.loads(text)
    except ValueError:
        stack: list[str] = []
        whole, quoted, escaped = "", False, False
        for place, character in enumerate(text):
            if quoted:
                quoted, escaped = escaped or character != '"', not escaped and character == "\\"
            elif character == '"':
                quoted = True
            elif character in _CLOSERS:
                stack.append(_CLOSERS[character])
            elif stack and character == stack[-1]:
                stack.pop()
                whole = text[: place + 1] + "".join(reversed(stack))
        return json.loads(whole or "{}")


def _read_store(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    if not path.is_file():
        return {}, (f"there is no {STORE}: nothing is known of the labels but their files",)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return {}, (f"{STORE} cannot be read ({error.strerror})",)
    try:
        return _object(json.loads(text)), ()
    except ValueError:
        pass
    try:
        return _object(salvaged(text)), (f"{STORE} is cut off or damaged: what is whole of it was used",)
    except ValueError:
        return {}, (f"{STORE} is damaged: nothing is known of the labels but their files",)


def _entries(store: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[str, dict[str, Any]]]]:
    """Tag and file name of each label that the server knows, with its image and what is noted of it."""
    for image, entry in _object(store.get("objects")).items():
        for tag, label in _object(_object(entry).get("labels")).items():
            info = _object(_object(label).get("info"))
            name = str(info.get("name") or f"{image}{_object(label).get('ext', '')}")
            yield (str(tag), name), (str(image), info)


def _object(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _time(info: Mapping[str, Any], path: Path) -> float:
    stated = info.get("ts")
    return float(stated) if isinstance(stated, (int, float)) else path.stat().st_mtime


def _saved(label: FoundLabel) -> tuple[str, int, bool, int, str]:
    """Sorts the labels of an image by time; in one second what was replaced comes first, and a higher version later."""
    number = label.tag.rpartition("_")[2]
    return label.image, int(label.saved_at), label.in_entry, int(number) if number.isdecimal() else 0, label.path.name
