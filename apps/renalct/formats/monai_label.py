"""The folder of a MONAI Label server: images at the top, labels under `labels/final`, and what it knows of both.

`datastore_v2.json` keeps, for every label, the names that stand for its values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from renalct.core.errors import InputError, LabelError
from renalct.formats.annotation import Names
from renalct.formats.case_notes import CaseNotes, parse_notes, read_json, read_notes, stem_of
from renalct.formats.labelled_pair import LabelledFolder, LabelledKind, LabelledPair
from renalct.formats.nifti import is_nifti
from renalct.formats.nrrd_labels import SUFFIX

STORE = "datastore_v2.json"
FINAL = "final"


def find_monai_label(folder: Path) -> LabelledFolder | None:
    """The images that have a final label; None when the folder is no store of a MONAI Label server.

    Images without a final label are not yet annotated: they are counted in a notice, not listed as pairs.
    """
    if not (folder / STORE).is_file() and not (folder / "labels" / FINAL).is_dir():
        return None
    notices: tuple[str, ...] = ()
    store: dict[str, Any] = {}
    if (folder / STORE).is_file():
        try:
            store = dict(read_json(folder / STORE))
        except (InputError, TypeError, ValueError) as error:
            notices = (f"{STORE} was not used ({error}): label values are taken as those of renalct.",)
    images = _by_stem(folder / str(store.get("images_dir") or "."))
    labels = _by_stem(folder / str(store.get("labels_dir") or "labels") / FINAL)
    pairs = tuple(_pair(key, images.get(key), labels[key], store) for key in sorted(labels))
    waiting = len(images.keys() - labels.keys())
    if waiting:
        notices += (f"{waiting} images have no final label yet.",)
    return LabelledFolder(LabelledKind.MONAI_LABEL, pairs, notices)


def names_of(label_info: dict[str, Any]) -> Names:
    """The names that a viewer (`label_info`) or a model (`params.label_names`) gives to the values of a label file.

    Raises `LabelError` when they are there and cannot be read.
    """
    try:
        listed = label_info.get("label_info") or ()
        named = (label_info.get("params") or {}).get("label_names") or {}
        return tuple((str(entry["name"]), _value(entry)) for entry in listed) or tuple(
            (str(name), int(value)) for name, value in named.items()
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LabelError(
            "the names of the label values cannot be read; send label_info as a list of {name, idx}"
        ) from error


def _value(entry: dict[str, Any]) -> int:
    """The value of a named segment: `idx`, or `id` as 3D Slicer sends it with scribbles. Raises as `int` does."""
    values = {int(entry[key]) for key in ("idx", "id") if entry.get(key) is not None}
    if len(values) != 1:
        raise ValueError("a segment has one value")
    return values.pop()


def _pair(key: str, image: Path | None, labels: Path, store: dict[str, Any]) -> LabelledPair:
    names: Names = ()
    notes, fault = CaseNotes(), ""
    try:
        info = _info(store, key)
        names = names_of(info)
        notes = read_notes(labels, image)
        if notes == CaseNotes():
            notes = parse_notes({k: v for k, v in info.items() if k in ("patient", "assessed", "presence")}, STORE)
    except InputError as error:
        fault = str(error)
    return LabelledPair(key, LabelledKind.MONAI_LABEL, image, labels, notes=notes, names=names, fault=fault)


def _info(store: dict[str, Any], key: str) -> dict[str, Any]:
    """What the store keeps beside the final label of an image; nothing where it does not know it."""
    try:
        return dict(store["objects"][key]["labels"][FINAL]["info"])
    except (KeyError, TypeError, ValueError):
        return {}


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    files = (p for p in sorted(folder.iterdir()) if is_nifti(p) or p.name.lower().endswith(SUFFIX))
    return {stem_of(path): path for path in files if not path.name.startswith(".")}
