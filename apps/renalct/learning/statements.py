"""What an annotator says beside the voxels: read from what a viewer sends, kept in a version's note, read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from renalct.core.errors import InputError, LabelError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.core.nearest import did_you_mean
from renalct.formats.case_notes import parse_notes
from renalct.imaging.label_findings import Arrangement, Finding, Statements
from renalct.learning.store import Presence, Version

_WHERE = "the information beside the labels"
_SCHEMA_VERSION = 1


def statements_of(info: Mapping[str, Any], grid: Grid) -> Statements:
    """The statements in what a viewer sends (`presence`, `assessed`, `flags`, `slices`, `boxes`).

    A structure that is listed as assessed and has no voxel is absent. Raises `LabelError` for words that are not
    known, and `InputError` for slices or boxes outside of the image.
    """
    notes = parse_notes({key: info[key] for key in ("presence", "assessed") if info.get(key) is not None}, _WHERE)
    structures = frozenset(structure for structure in Structure if structure)
    looked_for = notes.assessed if info.get("assessed") is not None else frozenset()
    absent = notes.absent | (structures & looked_for - notes.present)
    kidneys = _arrangement(info.get("flags"))
    if Structure.TUMOR in notes.absent and Structure.ANGIOMYOLIPOMA not in notes.present:
        absent |= {Structure.ANGIOMYOLIPOMA}  # who finds no tumor finds no angiomyolipoma
    if kidneys is Arrangement.NONE:
        absent |= {Structure.KIDNEY}
    return Statements(
        present=notes.present,
        absent=absent,
        not_assessed=structures - notes.assessed,
        kidneys=kidneys,
        assessed=_boxes(info, grid),
    )


def presence_of(found: frozenset[Structure], stated: Statements) -> tuple[tuple[Structure, Presence], ...]:
    """What is known of each structure, from its voxels and the statements."""
    return tuple((structure, _presence(structure, found, stated)) for structure in Structure if structure)


def _presence(structure: Structure, found: frozenset[Structure], stated: Statements) -> Presence:
    if structure in stated.not_assessed:
        return Presence.NOT_ASSESSED
    if structure in found:
        return Presence.PRESENT
    return Presence.ABSENT if structure in stated.absent else Presence.NOT_ASSESSED


def described(stated: Statements, findings: Sequence[Finding]) -> dict[str, Any]:
    """The statements and findings as JSON values, as a version's note keeps them."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "flags": {"kidneys": stated.kidneys.value},
        "assessed_region": {"boxes": [_ends(box) for box in stated.assessed]} if stated.assessed else None,
        "dropped_segments": {name: voxels for name, voxels in stated.dropped},
        "findings": [_finding(finding) for finding in findings],
    }


def assessed_region(version: Version) -> tuple[Box, ...]:
    """The boxes of the image's grid that a version's author has done; () for the whole image.

    What lies outside says nothing: training leaves it out.
    """
    noted = json.loads(version.note.info_json or "null")
    region = noted.get("assessed_region") if isinstance(noted, dict) else None
    return tuple(_box(ends) for ends in region["boxes"]) if region else ()


def _arrangement(flags: Any) -> Arrangement:
    if flags is None:
        return Arrangement.USUAL
    if not isinstance(flags, Mapping):
        raise LabelError(f'flags is {flags!r}; an object such as {{"kidneys": "horseshoe"}} is needed')
    value = Arrangement.USUAL.value if flags.get("kidneys") is None else flags["kidneys"]
    words = str(value).strip().lower()
    known = [each.value for each in Arrangement]
    if words in known:
        return Arrangement(words)
    hint = did_you_mean(words, known)
    raise LabelError(f"the kidneys are flagged as {value!r}; it is one of {', '.join(known)}{hint}")


def _boxes(info: Mapping[str, Any], grid: Grid) -> tuple[Box, ...]:
    """The parts that are done: axial slices, and boxes."""
    boxes: list[Box] = []
    try:
        if info.get("slices") is not None:
            first, last = (_whole(n) for n in info["slices"])
            axis, count = grid.axial_axis, grid.shape[grid.axial_axis]
            if not 1 <= first <= last <= count:
                raise InputError(f"slices {first} to {last} are said to be done; the image has 1 to {count}")
            ends = [(first - 1, last) if a == axis else (0, n) for a, n in enumerate(grid.shape)]
            boxes.append(_box([end for pair in ends for end in pair]))
        for given in info.get("boxes") or ():
            box = _box([_whole(n) for n in given])
            if not min(box.shape) or any(stop > n for stop, n in zip(box.stop, grid.shape, strict=True)):
                raise InputError(
                    f"the box {list(given)} is empty, or reaches outside of the image's {grid.shape} voxels"
                )
            boxes.append(box)
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(
            "the part that is done cannot be read; send slices as [first, last], numbered from 1, or boxes as "
            "[[i0, i1, j0, j1, k0, k1], ...]"
        ) from error
    return tuple(boxes)


def _whole(value: Any) -> int:
    """A whole number. Raises `ValueError` for a fraction, which `int` would cut off."""
    number = int(value)
    if number != float(value):
        raise ValueError(value)
    return number


def _box(ends: Sequence[int]) -> Box:
    i0, i1, j0, j1, k0, k1 = ends
    return Box((i0, j0, k0), (i1, j1, k1))


def _ends(box: Box) -> list[int]:
    return [end for pair in zip(box.start, box.stop, strict=True) for end in pair]


def _finding(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "kind": finding.kind.value,
        "severity": finding.severity.value,
        "sentence": finding.sentence,
        "structure": finding.structure.title if finding.structure else None,
        "voxel": list(place.voxel) if place else None,
        "slice": place.slice_number if place else None,
        "patient_mm": [round(v, 2) for v in place.patient_mm] if place else None,
        "volume_mm3": round(finding.volume_mm3, 1),
    }
