"""One DICOM series split into volumes: by frame of reference, orientation, and what tells repeated positions apart."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from renalct.formats.dicom.headers import SliceHeader

SAME_POSITION_MM = 0.01
"""Slices nearer than this are at the same position."""
_SAME_DIRECTION = 5e-4
"""Direction cosines that differ by less are the same orientation (0.2 mm at the far corner of a 400 mm image)."""
_CLEAR_PAUSE_S = 0.5
"""Two acquisitions are at least this far apart in time."""
_SHORTEST_RUN = 3

Slices = tuple[SliceHeader, ...]
_Key = Callable[[SliceHeader], Hashable]

_OVERLAPPING: tuple[tuple[str, _Key], ...] = (
    ("temporal position", lambda s: s.acquisition.temporal_position),
    ("contrast phase", lambda s: s.acquisition.contrast_phase),
    ("acquisition number", lambda s: s.acquisition.number),
)
"""What splits a series where its values lie between each other along the slice normal, repeated positions or not."""
_REPEATING: tuple[tuple[str, _Key], ...] = (
    *_OVERLAPPING,
    ("acquisition time", lambda s: s.acquisition.time_s),
    ("image type", lambda s: s.acquisition.image_type),
    ("kernel", lambda s: s.acquisition.kernel),
    ("slice thickness", lambda s: s.acquisition.thickness_mm),
    ("tube voltage", lambda s: s.acquisition.kilovolts),
    ("pixel spacing", lambda s: (s.spacing_mm, s.shape)),
)
"""What splits a series only where positions repeat, in order of preference."""


@dataclass(frozen=True)
class Part:
    """Slices that belong to one volume, and the words for what set them apart from the rest of their series."""

    slices: Slices
    split_by: str = ""


def split_slices(slices: Sequence[SliceHeader]) -> tuple[Part, ...]:
    """The volumes that the slices of one series form, in a stable order that does not depend on the slices' order.

    Frames of different files, frames of reference and orientations are always apart. Acquisitions, phases and
    reconstructions are taken apart where they repeat or interleave positions; where nothing tells repeated positions
    apart they stay together, and the geometry check names them.
    """
    ordered = sorted(slices, key=lambda s: (s.sop_instance_uid, s.frame_number, s.file))
    parts = [
        Part(part.slices, ", ".join(filter(None, (split_by, part.split_by))))
        for group, split_by in _apart(ordered)
        for part in _split(group)
    ]
    return tuple(sorted(parts, key=_rank))


def _apart(slices: list[SliceHeader]) -> list[tuple[Slices, str]]:
    directions: list[tuple[float, ...]] = []
    for orientation in sorted({s.orientation for s in slices}):
        if not any(_same_direction(orientation, known) for known in directions):
            directions.append(orientation)

    def place(header: SliceHeader) -> tuple[str, int, str]:
        direction = next(n for n, known in enumerate(directions) if _same_direction(header.orientation, known))
        return header.frame_of_reference_uid, direction, header.sop_instance_uid if header.frame_number else ""

    groups = _grouped(slices, place)
    names = ("frame of reference", "orientation", "image")
    differing = [name for n, name in enumerate(names) if len({key[n] for key in groups}) > 1]  # type: ignore[index]
    return [(group, ", ".join(differing)) for group in groups.values()]


def _split(slices: Slices) -> list[Part]:
    repeats = _most_at_one_position(slices)
    for name, key in _OVERLAPPING:
        groups = _grouped(slices, key)
        if 1 < len(groups) <= 2 * max(2, repeats) and _interleave(list(groups.values())):
            return _named(groups.values(), name)
    if repeats < 2:
        return [Part(slices)]
    candidates = []
    for name, key in _REPEATING:
        groups = _grouped(slices, key)
        if 1 < len(groups) <= 2 * repeats:
            candidates.append((sum(_repeated(group) for group in groups.values()), name, tuple(groups.values())))
    if candidates:
        left, name, parts = min(candidates, key=lambda candidate: candidate[0])
        if left < _repeated(slices):
            return _named(parts, name)
    for name, cut in (("acquisition time", _cut_at_pauses), ("instance number", _cut_at_restarts)):
        pieces = cut(slices, repeats)
        if pieces:
            return [Part(piece, name) for piece in pieces]
    return [Part(slices)]


def _named(groups: Iterable[Slices], name: str) -> list[Part]:
    return [
        Part(part.slices, ", ".join(filter(None, (name, part.split_by)))) for group in groups for part in _split(group)
    ]


def _cut_at_pauses(slices: Slices, repeats: int) -> list[Slices]:
    """The slices cut at the longest pauses between their acquisition times, if that leaves no repeated position."""
    timed = sorted(
        ((s.acquisition.time_s, s) for s in slices if s.acquisition.time_s is not None), key=lambda pair: pair[0]
    )
    if len(timed) < len(slices):
        return []
    pauses = np.diff([time for time, _ in timed])
    cuts = sorted(int(n) + 1 for n in np.argsort(-pauses, kind="stable")[: repeats - 1])
    if any(pauses[cut - 1] < _CLEAR_PAUSE_S for cut in cuts):
        return []
    pieces = [tuple(s for _, s in timed[a:b]) for a, b in itertools.pairwise([0, *cuts, len(timed)])]
    return [] if any(map(_repeated, pieces)) else pieces


def _cut_at_restarts(slices: Slices, repeats: int) -> list[Slices]:
    """The slices in order of InstanceNumber, cut into runs of equal length if each run visits the same positions."""
    numbers = {s.instance_number for s in slices}
    length = len(slices) // repeats
    if None in numbers or len(numbers) < len(slices) or len(slices) % repeats or length < _SHORTEST_RUN:
        return []
    ordered = sorted(slices, key=lambda s: s.instance_number or 0)
    pieces = [tuple(ordered[n : n + length]) for n in range(0, len(ordered), length)]
    levels = np.array([_levels(piece) for piece in pieces])
    visited = np.sort(levels, axis=1)
    if np.ptp(visited, axis=0).max() > SAME_POSITION_MM or any(map(_repeated, pieces)):
        return []
    return pieces if all(np.ptp(np.sign(np.diff(run))) == 0 for run in levels) else []


def _grouped(slices: Sequence[SliceHeader], key: _Key) -> dict[Hashable, Slices]:
    groups: dict[Hashable, list[SliceHeader]] = defaultdict(list)
    for header in slices:
        groups[key(header)].append(header)
    return {value: tuple(group) for value, group in groups.items()}


def _levels(slices: Sequence[SliceHeader]) -> list[float]:
    normal = slices[0].normal
    return [float(np.dot(s.position_mm, normal)) for s in slices]


def _same_position(slices: Sequence[SliceHeader]) -> list[int]:
    """For each slice, in order of position, the number of its position."""
    levels = np.sort(_levels(slices))
    return [0, *np.cumsum(np.diff(levels) > SAME_POSITION_MM).tolist()]


def _repeated(slices: Sequence[SliceHeader]) -> int:
    return len(slices) - len(set(_same_position(slices)))


def _most_at_one_position(slices: Sequence[SliceHeader]) -> int:
    return max(Counter(_same_position(slices)).values())


def _interleave(groups: list[Slices]) -> bool:
    """Whether any two groups overlap along the normal by more than one shared end position."""
    normal = groups[0][0].normal
    ranges = sorted(
        (min(along), max(along)) for along in ([float(np.dot(s.position_mm, normal)) for s in g] for g in groups)
    )
    return any(b[0] < a[1] - SAME_POSITION_MM for a, b in itertools.combinations(ranges, 2))


def _same_direction(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return max(abs(x - y) for x, y in zip(a, b, strict=True)) < _SAME_DIRECTION


def _rank(part: Part) -> tuple[float, int, int, int, str]:
    """Sorts by time, then by the numbers that the scanner gave."""
    times = [s.acquisition.time_s for s in part.slices if s.acquisition.time_s is not None]
    return (
        min(times) if times else float("inf"),
        min(s.acquisition.temporal_position or 0 for s in part.slices),
        min(s.acquisition.number or 0 for s in part.slices),
        min(s.instance_number or 0 for s in part.slices),
        min(s.sop_instance_uid for s in part.slices),
    )
