"""NIfTI images with label files of the same name, in the usual layouts.

- nnU-Net and the Medical Segmentation Decathlon: `imagesTr/X_0000.nii.gz` (or `X.nii.gz`) and `labelsTr/X.nii.gz`,
  with the names of the label values in `dataset.json`;
- `images/X.nii.gz` and `labels/X.nii.gz`;
- `X.nii.gz` and `X_seg.nii.gz`, `X_label.nii.gz`, `X-label.nrrd`, `X.seg.nrrd` and the like, in the folder itself or in
  a folder for each patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from renalct.core.errors import InputError
from renalct.formats.annotation import Names
from renalct.formats.case_notes import CaseNotes, read_json, read_notes, stem_of
from renalct.formats.labelled_pair import LabelledFolder, LabelledKind, LabelledPair
from renalct.formats.nifti import is_nifti
from renalct.formats.nrrd_labels import SUFFIX

_NNUNET = ("imagesTr", "labelsTr")
_FOLDERS = (("images", "image", "imaging"), ("labels", "label", "segmentations", "masks"))
_LABEL_ENDING = re.compile(r"[-_.](seg|label|labels|mask|segmentation)$", re.IGNORECASE)
_IMAGE_ENDING = re.compile(r"[-_](0000|image|img|ct|imaging)$", re.IGNORECASE)
_CHANNEL = re.compile(r"_(\d{4})$")


def find_nnunet(folder: Path) -> LabelledFolder | None:
    """The training cases of an nnU-Net or Decathlon data set; None when the folder is none."""
    images, labels = (folder / name for name in _NNUNET)
    if not (images.is_dir() and labels.is_dir()):
        return None
    label_files = {stem_of(path): path for path in _files(labels)}
    image_files: dict[str, Path] = {}
    further = set()
    for path in _files(images):
        stem = stem_of(path)
        channel = _CHANNEL.search(stem)
        if channel and stem not in label_files:
            stem = stem[: channel.start()]
            if channel.group(1) != "0000":
                further.add(stem)
                continue
        image_files[stem] = path
    names, notices = _value_names(folder / "dataset.json")
    if further:
        notices += (f"{len(further)} cases have further channels; only the first, _0000, is read.",)
    pairs = _paired(LabelledKind.NNUNET, image_files, label_files, names)
    return LabelledFolder(LabelledKind.NNUNET, pairs, notices)


def find_pairs(folder: Path) -> LabelledFolder | None:
    """The pairs of images and labels of a folder; None when nothing in it is named as labels of an image."""
    images, labels = (next((folder / n for n in names if (folder / n).is_dir()), None) for names in _FOLDERS)
    if images is not None and labels is not None:
        label_files = {_label_key(path): path for path in _files(labels)}
        image_files = {_image_key(path, label_files): path for path in _files(images)}
        names, notices = _value_names(folder / "dataset.json")
        pairs = _paired(LabelledKind.PAIRS, image_files, label_files, names)
        return LabelledFolder(LabelledKind.PAIRS, pairs, notices) if pairs else None
    found = list(_beside_each_other(folder, ""))
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        found += _beside_each_other(inner, inner.name)
    pairs = tuple(sorted(_with_own_names(found), key=lambda pair: pair.name))
    return LabelledFolder(LabelledKind.PAIRS, pairs) if any(pair.labels for pair in pairs) else None


def _beside_each_other(folder: Path, patient: str) -> Iterable[tuple[str, LabelledPair]]:
    """The pairs directly in a folder, each with the patient whose folder it is ("" for none)."""
    files = _files(folder)
    label_files = {_label_key(path): path for path in files if _is_label(path)}
    image_files = {_image_key(path, label_files): path for path in files if not _is_label(path)}
    if label_files:
        for pair in _paired(LabelledKind.PAIRS, image_files, label_files, ()):
            yield patient, pair


def _with_own_names(found: list[tuple[str, LabelledPair]]) -> Iterable[LabelledPair]:
    """The pairs; those in a patient's folder belong to that patient, and have the folder's name where names repeat."""
    names = [pair.name for _, pair in found]
    for patient, pair in found:
        name = f"{patient}_{pair.name}" if patient and names.count(pair.name) > 1 else pair.name
        notes = pair.notes.filled_from(CaseNotes(patient=patient))
        yield LabelledPair(name, pair.kind, pair.image, pair.labels, notes=notes, fault=pair.fault)


def _paired(
    kind: LabelledKind, images: dict[str, Path], labels: dict[str, Path], names: Names
) -> tuple[LabelledPair, ...]:
    pairs = []
    for key in sorted(images.keys() | labels.keys()):
        image, label = images.get(key), labels.get(key)
        notes, fault = CaseNotes(), ""
        try:
            notes = read_notes(label, image)
        except InputError as error:
            fault = str(error)
        pairs.append(LabelledPair(key, kind, image, label, notes=notes, names=names, fault=fault))
    return tuple(pairs)


def _files(folder: Path) -> list[Path]:
    """The NIfTI and NRRD files of a folder; hidden ones, which some systems add, are none."""
    return sorted(
        path
        for path in folder.iterdir()
        if (is_nifti(path) or path.name.lower().endswith(SUFFIX)) and not path.name.startswith(".")
    )


def _is_label(path: Path) -> bool:
    return not is_nifti(path) or _LABEL_ENDING.search(stem_of(path)) is not None


def _label_key(path: Path) -> str:
    return _LABEL_ENDING.sub("", stem_of(path))


def _image_key(path: Path, labels: dict[str, Path]) -> str:
    stem = stem_of(path)
    return stem if stem in labels else _IMAGE_ENDING.sub("", stem)


def _value_names(dataset: Path) -> tuple[Names, tuple[str, ...]]:
    """The names of the label values in `dataset.json` (name to value, or value to name), and what was not used of it.

    Labels that are regions (lists of values) do not name values: these are then the values of `Structure`.
    """
    if not dataset.is_file():
        return (), ()
    try:
        labels = read_json(dataset)["labels"]
        if any(isinstance(value, list) for value in labels.values()):
            return (), ("The labels of dataset.json are regions; label values are taken as those of KiTS23.",)
        entries = [(name, value) if str(value).isdecimal() else (value, name) for name, value in labels.items()]
        return tuple((str(name), int(value)) for name, value in entries if int(value) != 0), ()
    except (InputError, AttributeError, KeyError, TypeError, ValueError):
        return (), ("dataset.json has no labels that can be read; label values are taken as those of KiTS23.",)
