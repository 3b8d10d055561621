"""A study seen through its headers: which series can be read as CT, and why the other files cannot."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from renalct.core.errors import NotCT
from renalct.formats.dicom.headers import SeriesHeaders, SliceHeader
from renalct.formats.dicom.instances import Instance, LostSlice, NotASlice, read_header, read_instance
from renalct.formats.dicom.splitting import split_slices
from renalct.formats.dicom.walk import FileReader, Skipped, StudyFile, list_files
from renalct.formats.quiet import quietly

_THREADS = 4


@dataclass(frozen=True, eq=False)
class StudyScan:
    """The CT series that were found, sorted by UID and part, and the files that are not part of one."""

    series: tuple[SeriesHeaders, ...]
    skipped: tuple[Skipped, ...] = ()


def scan_study(path: Path) -> StudyScan:
    """The CT series below `path`: a folder, a DICOMDIR, a zip archive, or one DICOM file. Reads headers only.

    No file is fatal: what is not a CT slice, or cannot be read, is listed in `skipped`. The same instance found twice
    counts once. Raises `InputError` when `path` cannot be read, `NotCT` when no file is a CT slice.
    """
    listing = list_files(Path(path))
    skipped = list(listing.skipped)
    instances: list[tuple[StudyFile, Instance]] = []
    with quietly(), FileReader() as reader:
        with ThreadPoolExecutor(_THREADS) as pool:
            for file, outcome in pool.map(lambda file: (file, _read(reader, file)), listing.files):
                if isinstance(outcome, Skipped):
                    skipped.append(outcome)
                else:
                    instances.append((file, outcome))
        kept, copies = _without_copies(instances)
        skipped += copies
        if not kept:
            raise NotCT(_nothing_found(skipped))
        return StudyScan(_series(reader, kept), tuple(sorted(skipped, key=lambda s: (s.name, s.reason))))


def studies_of(scan: StudyScan) -> tuple[StudyScan, ...]:
    """The scan of each study, sorted by StudyInstanceUID; files that belong to no series are told of with each."""
    uids = sorted({series.study_instance_uid for series in scan.series})
    return tuple(
        StudyScan(tuple(series for series in scan.series if series.study_instance_uid == uid), scan.skipped)
        for uid in uids
    )


def _read(reader: FileReader, file: StudyFile) -> Instance | Skipped:
    try:
        return read_instance(reader, file)
    except NotASlice as reason:
        return Skipped(file.name, str(reason), is_lost=isinstance(reason, LostSlice))


def _without_copies(instances: list[tuple[StudyFile, Instance]]) -> tuple[list[Instance], list[Skipped]]:
    """The instances without second copies of the same one; of copies the largest (most complete) file is kept."""
    kept: dict[Hashable, tuple[StudyFile, Instance]] = {}
    copies = []
    for file, instance in sorted(instances, key=lambda pair: (-pair[0].size_bytes, pair[0])):
        places = tuple((s.position_mm, s.orientation, s.shape) for s in instance.slices)
        same, _ = kept.setdefault((instance.sop_instance_uid, places), (file, instance))
        if same is not file:
            copies.append(Skipped(file.name, f"is a second copy of {same.name}"))
    return [instance for _, instance in kept.values()], copies


def _series(reader: FileReader, instances: list[Instance]) -> tuple[SeriesHeaders, ...]:
    groups: dict[tuple[str, str], list[SliceHeader]] = defaultdict(list)
    for instance in instances:
        groups[instance.study_instance_uid, instance.series_instance_uid] += instance.slices
    found = []
    for key in sorted(groups):
        parts = split_slices(groups[key])
        for number, part in enumerate(parts, start=1):
            first = min(part.slices, key=lambda s: (s.instance_number or 0, s.sop_instance_uid, s.frame_number))
            example = read_header(reader, first.file)
            found.append(SeriesHeaders(part.slices, example, number, len(parts), part.split_by))
    return tuple(found)


def _nothing_found(skipped: list[Skipped]) -> str:
    reasons = Counter(file.reason for file in skipped).most_common(3)
    listed = "; ".join(f"{count} file{'s' if count > 1 else ''}: {reason}" for reason, count in reasons)
    return (
        f"no CT slices were found among {len(skipped)} file{'s' if len(skipped) > 1 else ''} ({listed}); "
        "give the folder of a CT study"
    )
