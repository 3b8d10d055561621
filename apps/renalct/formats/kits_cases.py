"""Folders with one case each (`case_00000/imaging.nii.gz`, `segmentation.nii.gz`), as KiTS19, 21 and 23 publish them.

KiTS21 has `aggregated_MAJ_seg.nii.gz` (its majority vote) instead of `segmentation.nii.gz`. Histology comes from
`kits.json`, `kits23.json` or `clinical_data.json` in the folder. A clone of a KiTS repository may be given as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.formats.case_notes import CaseNotes, read_json, read_notes, stem_of
from renalct.formats.labelled_pair import LabelledFolder, LabelledKind, LabelledPair
from renalct.formats.nifti import is_nifti

_WITHIN = (".", "dataset", "data", "kits21/data")
_METADATA = ("kits*.json", "clinical_data.json")
_IMAGES = ("imaging", "image", "ct", "img")
_LABELS = ("segmentation", "aggregated_maj_seg", "aggregated_seg", "seg", "label", "labels", "mask")
_ANNOTATIONS = ("instances", "segmentations")
_MM_PER_CM = 10.0
_KITS_FILES = ("imaging", "segmentation", "aggregated_maj_seg")


def find_kits(folder: Path) -> LabelledFolder | None:
    """The cases of a KiTS folder, also where the images were not downloaded; None when it holds no such case.

    A folder that is itself one case gives that case.
    """
    for inner in _WITHIN:
        root = folder / inner
        folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        cases = [path for path in folders if _is_case(path)]
        if cases:
            table, notices = _metadata(root)
            if len(cases) < len(folders):
                notices += (f"{len(folders) - len(cases)} other folders hold no case and are not read.",)
            return LabelledFolder(LabelledKind.KITS, tuple(_pair(path, table) for path in cases), notices)
    if _named(folder, _IMAGES) and _named(folder, _LABELS):
        table, notices = _metadata(folder.parent)
        return LabelledFolder(LabelledKind.KITS, (_pair(folder, table),), notices)
    return None


@dataclass(frozen=True)
class _Clinical:
    """What a KiTS metadata file says of one case."""

    case: str
    notes: CaseNotes


def _is_case(folder: Path) -> bool:
    """Whether a folder has a file as KiTS calls it, or both an image and labels under usual names."""
    both = _named(folder, _IMAGES) is not None and _named(folder, _LABELS) is not None
    return both or _named(folder, _KITS_FILES) is not None


def _named(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The first NIfTI file of a folder that is called by one of the stems, the stems in order of preference."""
    files = {stem_of(path).lower(): path for path in sorted(folder.iterdir()) if is_nifti(path)}
    return next((files[stem] for stem in stems if stem in files), None)


def _pair(folder: Path, table: tuple[_Clinical, ...]) -> LabelledPair:
    folder = folder.resolve()
    image, labels = _named(folder, _IMAGES), _named(folder, _LABELS)
    annotations = next((folder / name for name in _ANNOTATIONS if (folder / name).is_dir()), None)
    notes, fault = CaseNotes(), ""
    try:
        notes = read_notes(labels, image)
    except InputError as error:
        fault = str(error)
    notes = next((notes.filled_from(entry.notes) for entry in table if entry.case == folder.name), notes)
    return LabelledPair(
        folder.name, LabelledKind.KITS, image, labels, notes=notes, annotations=annotations, fault=fault
    )


def _metadata(root: Path) -> tuple[tuple[_Clinical, ...], tuple[str, ...]]:
    """What is known of each case, and a notice where that cannot be read."""
    files = sorted(path for pattern in _METADATA for path in root.glob(pattern))
    if not files:
        return (), ("No kits*.json was found: the histology of the tumors is not known.",)
    try:
        return tuple(_entries(read_json(files[-1]))), ()
    except (InputError, AttributeError, KeyError, TypeError, ValueError) as error:
        return (), (f"{files[-1].name} was not used, it is no KiTS metadata ({error}): histology is not known.",)


def _entries(data: Any) -> Iterator[_Clinical]:
    for entry in data:
        size = entry.get("radiographic_size")
        diameter = _MM_PER_CM * size if isinstance(size, (int, float)) and not isinstance(size, bool) else None
        histology = str(entry.get("tumor_histologic_subtype") or "")
        yield _Clinical(str(entry["case_id"]), CaseNotes(histology=histology, diameter_mm=diameter))
