"""Label maps of cases on disk, found by case name: what a system predicted, or what readers drew."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from renalct.core.errors import InputError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats import nifti, nrrd_labels
from renalct.formats.annotation import read_annotation
from renalct.formats.dicom.seg_reading import is_segmentation, read_segmentation

IN_CASE_FOLDER = ("label_map.nii.gz", "segmentation.nii.gz", "label_map.nii", "segmentation.nii", "seg.dcm")
"""The names of a label file in the folder of its case: those of `renalct predict`, and those of KiTS."""
_INNER_FOLDERS = ("predictions", "labelsTr", "labelsTs", "labels", "segmentations")
_TAIL = re.compile(r"(_(seg|segmentation|labels?|mask|pred|prediction|label_map|0000))+$", re.IGNORECASE)
_NAMES = tuple((structure.title, int(structure)) for structure in Structure if structure)


@dataclass(frozen=True)
class LabelFile:
    """The label file of a case. `folder` is that of the case alone, or None where all cases lie in one folder."""

    case: str
    path: Path
    folder: Path | None = None


def find_label_files(folder: Path) -> dict[str, LabelFile]:
    """The label files in a folder by the name of their case: one folder per case, or one file per case.

    A tail such as ``_seg`` or ``_pred`` is no part of a case's name. Raises `InputError` when there is no folder, no
    label file, or two files of one case.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give a folder of label maps, one for each case")
    found: dict[str, LabelFile] = {}
    for file in _of_folders(folder) or _of_files(folder) or _of_inner(folder):
        if file.case in found:
            raise InputError(
                f"the case {file.case} has two label files, {found[file.case].path.name} and {file.path.name}; keep one"
            )
        found[file.case] = file
    if not found:
        raise InputError(
            f"{folder} holds no label maps; needed are CASE/label_map.nii.gz (as renalct predict writes it), "
            "CASE/segmentation.nii.gz, CASE/seg.dcm, or files CASE.nii.gz, CASE.nrrd, CASE.dcm"
        )
    return found


def case_name(path: Path) -> str:
    """The name of a case from the name of its label file, for example ``case_00012`` from ``case_00012_seg.nii.gz``."""
    stem = path.name
    for suffix in (".nii.gz", ".seg.nrrd", ".nii", ".nrrd", ".dcm"):
        if stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    return _TAIL.sub("", stem) or stem


def read_label_file(path: Path, *, grid: Grid | None = None) -> LabelMap:
    """The label map of a NIfTI, NRRD or DICOM SEG file.

    NIfTI lies on its own grid. A DICOM SEG is placed on `grid`, and so is NRRD; without one they raise `InputError`.
    """
    if nifti.is_nifti(path):
        return nifti.read_label_map(path)
    if path.name.lower().endswith(nrrd_labels.SUFFIX):
        return read_annotation(path, _NAMES, grid=grid or nrrd_labels.read_labels(path).grid)
    if grid is None:
        raise InputError(
            f"{path.name} is a DICOM segmentation, whose voxels need the grid of the other side; "
            "give the other side as NIfTI, or with its images"
        )
    return read_segmentation(path, grid)


def _of_folders(folder: Path) -> list[LabelFile]:
    found = []
    for case in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        paths = [case / name for name in IN_CASE_FOLDER if (case / name).is_file()] or _only_segmentation(case)
        if paths:
            found.append(LabelFile(case.name, paths[0], case))
    return found


def _only_segmentation(case: Path) -> list[Path]:
    """The DICOM segmentation in the folder of a case, whatever its name. Raises `InputError` when there are several."""
    found = [path for path in sorted(case.glob("*.dcm")) if is_segmentation(path)]
    if len(found) > 1:
        raise InputError(f"the folder {case.name} holds {len(found)} DICOM segmentations; keep one, or name it seg.dcm")
    return found


def _of_files(folder: Path) -> list[LabelFile]:
    suffixes = (*nifti.SUFFIXES, nrrd_labels.SUFFIX, ".dcm")
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name.lower().endswith(suffixes))
    return [LabelFile(case_name(path), path) for path in paths if not path.name.startswith(".")]


def _of_inner(folder: Path) -> list[LabelFile]:
    for name in _INNER_FOLDERS:
        if (folder / name).is_dir():
            return _of_folders(folder / name) or _of_files(folder / name)
    return []
