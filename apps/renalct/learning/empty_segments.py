"""Statements that an annotator makes with names alone: an empty segment called "no cyst" says that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from renalct.core.errors import LabelError
from renalct.core.labels import structure_named
from renalct.learning.store import Presence

_BEGINNING = "no "


def with_stated_absence(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a viewer sent beside a label, with `presence` for every segment that is called "no ..." of a structure.

    3D Slicer's module has no other field for it. What `presence` says already stays. A segment of such a name that
    has voxels is refused later, as one with a name that is no structure.
    """
    listed, stated = info.get("label_info"), info.get("presence")
    if not isinstance(listed, list) or not (stated is None or isinstance(stated, dict)):
        return info
    found = {}
    for entry in listed:
        name = str(entry.get("name", "")).lower().strip() if isinstance(entry, dict) else ""
        if name.startswith(_BEGINNING):
            try:
                found[structure_named(name.removeprefix(_BEGINNING)).title] = Presence.ABSENT.value
            except LabelError:
                continue
    return {**info, "presence": {**found, **(stated or {})}} if found else info
