"""The labels of a MONAI Label folder as versions in a label store; the folder itself is only read."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError, OutputError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.formats import nifti, nrrd_labels
from renalct.formats.annotation import Names, read_annotation
from renalct.formats.case_notes import CaseNotes, parse_notes, read_notes
from renalct.formats.monai_label import STORE, names_of
from renalct.learning.store.blobs import file_sha256
from renalct.learning.store.label_store import LabelStore
from renalct.learning.store.monai_folder import FoundLabel, MONAIFolder, read_monai_folder
from renalct.learning.store.names import checked_tag
from renalct.learning.store.records import StoredImage, Version, VersionNote
from renalct.learning.store.reviews import SegmentationMeta, reviewed_state
from renalct.learning.store.words import FINAL, ORIGINAL, CaseState, Presence

TOOL = "monai label import"
_NOBODY, _MODEL = "unknown annotator", "model"
_REVIEWED = re.compile(r"version_\d+")
_NOTES = ("patient", "assessed", "presence")


@dataclass(frozen=True)
class Imported:
    """What came into the store, what was there from an earlier import, and what was left out with the reason."""

    versions: tuple[Version, ...] = ()
    known: int = 0
    left_out: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()


def import_monai_label(
    folder: Path,
    store: LabelStore,
    *,
    by: str,
    names: Names = (),
    tell: Callable[[int, int], None] | None = None,
) -> Imported:
    """Commit every label of a MONAI Label folder to the store; again is harmless, and adds only what is new.

    The labels of an image under `final` and the Reviewer's `version_N` become versions of `final` in the order in
    which they were saved, so the pointer is at the newest; `original` and other tags stay as they are. The client that
    sent a label is its author. The file as it was is kept as the version's upload, what the server noted as its
    `info_json`, and the Reviewer's status, level and comment become the review of the case. `names` are those of the
    values in files of which nobody kept any. A label that cannot be understood is left out, and listed with its reason.

    Raises `InputError` when the folder is none of a MONAI Label server, and `OutputError` when the store cannot be
    written.
    """
    found = read_monai_folder(Path(folder))
    images = _registered(found, store)
    versions: list[Version] = []
    left_out: list[tuple[str, str]] = []
    last_meta: dict[str, tuple[str, Any]] = {}
    known = 0
    for done, label in enumerate(found.labels, 1):
        try:
            version = _import(label, found, images, store, names)
        except OutputError:
            raise
        except InputError as error:
            left_out.append((label.shown, str(error)))
        else:
            known += version is None
            if version is not None:
                versions.append(version)
                if version.tag == FINAL:
                    last_meta[version.image_id] = label.shown, label.info.get("segmentationMeta")
        if tell is not None:
            tell(done, len(found.labels))
    faults = [_review(image_id, *told, store=store, by=by) for image_id, told in last_meta.items()]
    store.record("import", by=by, detail=f"{len(versions)} labels, {known} known, {len(left_out)} left out")
    return Imported(tuple(versions), known, tuple(left_out), found.notices + tuple(fault for fault in faults if fault))


def _registered(found: MONAIFolder, store: LabelStore) -> dict[str, str]:
    """The store's id of each image in the folder that has labels; those that the store does not know become known."""
    by_place = {str(Path(image.location).absolute()): image.image_id for image in store.images()}
    ids = set(by_place.values())
    known: dict[str, str] = {}
    new: list[StoredImage] = []
    for name in sorted({label.image for label in found.labels} & found.images.keys()):
        path = found.images[name].absolute()
        known[name] = by_place.get(str(path), name)
        if known[name] not in ids:
            try:
                new.append(StoredImage(name, str(path), sha256=file_sha256(path)))
            except OutputError:
                raise
            except InputError:
                del known[name]
    store.register(new)
    return known


def _import(
    label: FoundLabel, found: MONAIFolder, images: Mapping[str, str], store: LabelStore, names: Names
) -> Version | None:
    """The version that a label became; None when an earlier import made it."""
    if label.image not in found.images or label.image not in images:
        raise InputError("its image is not in the folder, or cannot be read")
    image_id = images[label.image]
    tag = FINAL if label.tag == FINAL or _REVIEWED.fullmatch(label.tag) else checked_tag(label.tag)
    uploaded = file_sha256(label.path)
    before = store.versions(image_id, tag=tag)
    if any(v.note.tool == TOOL and v.note.uploaded == uploaded and _origin(v) == label.shown for v in before):
        return None
    given = names_of(dict(label.info)) or names
    label_map = read_annotation(label.path, given, grid=_grid(found.images[label.image]))
    presence = _presence(_notes(label, found.images[label.image]))
    with tempfile.TemporaryDirectory() as folder:
        renamed = Path(folder, "label.nii.gz")
        nifti.write_label_map(label_map, renamed)
        info = {"imported_from": label.shown, "saved_at": label.saved_at, "info": label.info}
        note = VersionNote(
            author=str(label.info.get("client_id") or (_MODEL if tag == ORIGINAL else _NOBODY)),
            tool=TOOL,
            comment=f"imported from {label.shown}",
            info_json=json.dumps(info, default=str),
            uploaded=store.put_blob(label.path),
        )
        return store.commit(
            image_id,
            renamed,
            suffix=nifti.SUFFIXES[1],
            note=note,
            tag=tag,
            presence=presence,
            parent=before[-1].number if before else None,
        )


def _origin(version: Version) -> str:
    return str(json.loads(version.note.info_json or "{}").get("imported_from", ""))


def _grid(image: Path) -> Grid:
    if nifti.is_nifti(image):
        return nifti.read_grid(image)
    if image.name.lower().endswith(nrrd_labels.SUFFIX):
        return nrrd_labels.read_labels(image).grid
    raise InputError(f"its image {image.name} is neither NIfTI nor NRRD; convert it, and import again")


def _notes(label: FoundLabel, image: Path) -> CaseNotes:
    notes = read_notes(label.path, image)
    if notes != CaseNotes():
        return notes
    return parse_notes({key: label.info[key] for key in _NOTES if key in label.info}, STORE)


def _presence(notes: CaseNotes) -> tuple[tuple[Structure, Presence], ...]:
    """What the notes say of each structure; one that they are silent on is left out."""
    said = {structure: Presence.NOT_ASSESSED for structure in Structure if structure not in notes.assessed}
    said |= dict.fromkeys(notes.present, Presence.PRESENT) | dict.fromkeys(notes.absent, Presence.ABSENT)
    return tuple((structure, said[structure]) for structure in sorted(said) if structure is not Structure.BACKGROUND)


def _review(image_id: str, shown: str, meta: Any, *, store: LabelStore, by: str) -> str:
    """Take over the Reviewer's status of a label; what is wrong with it, or "".

    A label that is said to be not segmented is one all the same: it stays submitted.
    """
    if not meta:
        return ""
    try:
        read = SegmentationMeta.from_json(meta)
        state = reviewed_state(read, current=CaseState.SUBMITTED)
        if state is CaseState.UNASSIGNED:
            state = CaseState.SUBMITTED
        store.set_state(image_id, state, by=read.approved_by or by, comment=read.comment, level=read.level)
    except OutputError:
        raise
    except InputError as error:
        return f"the review of {shown} was not taken over: {error}"
    return ""
