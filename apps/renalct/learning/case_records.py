"""What MONAI Label's viewers read of images and labels: the objects of its data store, made of what our store knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from renalct.core.labels import Structure
from renalct.learning.case_desk import VERSION, CaseDesk
from renalct.learning.ingestion import Submission, messages
from renalct.learning.store import FINAL, ORIGINAL, CaseState, Review, StoredImage, Version, reviewer_meta

LABEL_VALUES = {structure.title: int(structure) for structure in Structure if structure is not Structure.BACKGROUND}
"""Name to value, in the order of the values: viewers rely on both."""

_EVERY_STATE = tuple(CaseState)
_LABELLED = (CaseState.SUBMITTED, CaseState.FLAGGED, CaseState.APPROVED, CaseState.GOLD)


def image_record(desk: CaseDesk, image: StoredImage) -> dict[str, Any]:
    """What a viewer is told of an image; `name` is a file name, by whose ending 3D Slicer knows how to read it."""
    return {"name": f"{image.image_id}.nii.gz", **desk.source.details(image)}


def label_record(version: Version, review: Review | None = None) -> dict[str, Any]:
    """What a viewer is told of a label; with its review in the words of the Reviewer."""
    record: dict[str, Any] = {
        "label_info": [{"name": name, "idx": value} for name, value in LABEL_VALUES.items()],
        "params": {"label_names": LABEL_VALUES},
        "client_id": version.note.author,
        "ts": int(version.committed_at),
        "version": version.number,
        "sha256": version.sha256,
        "presence": {structure.title: presence.value for structure, presence in version.presence},
    }
    if version.note.seconds is not None:
        record["seconds"] = round(version.note.seconds)
    if version.note.model:
        record["release"] = version.note.model
    if review is not None:
        record["segmentationMeta"] = reviewer_meta(review).to_json()
    return record


def submission_record(submission: Submission) -> dict[str, Any]:
    """What an annotator is shown after a save: the number of the version, and what the checks found, in words."""
    found = messages(submission.findings)
    return {
        "version": submission.version.number,
        "sha256": submission.version.sha256,
        "checks": list(found) or ["The checks found nothing to look at again."],
    }


def overview(desk: CaseDesk) -> dict[str, Any]:
    """All images with their labels, as MONAI Label keeps them in `datastore_v2.json`."""
    store, images = desk.store, desk.images()
    finals = {version.image_id: version for version in store.finals(states=_LABELLED)}
    others = [tag for tag in store.counts().by_tag if tag not in (FINAL, ORIGINAL)]
    by_tag = {
        tag: {version.image_id: version for version in store.finals(states=_EVERY_STATE, tag=tag)}
        for tag in (ORIGINAL, *others)
    }
    reviewed = {image_id for state in _LABELLED[1:] for image_id in store.cases(state=state)}
    objects = {}
    for image_id, image in images.items():
        labels = {tag: _entry(found[image_id], None) for tag, found in by_tag.items() if image_id in found}
        final = finals.get(image_id)
        if final is not None:
            review = store.review(image_id) if image_id in reviewed else _plain(final)
            labels |= _versions(final, review)
        objects[image_id] = {"image": {"ext": "", "info": image_record(desk, image)}, "labels": labels}
    return {"name": "renalct", "description": "labels by renalct", "objects": objects}


def counted(desk: CaseDesk) -> dict[str, Any]:
    """How far the work is: total, completed, and how many cases are in each state."""
    desk.images()
    counts = desk.store.counts()
    return {
        "total": counts.total,
        "completed": sum(counts.by_state[state] for state in _LABELLED),
        "label_tags": dict(counts.by_tag),
        "states": {state.value: n for state, n in counts.by_state.items()},
    }


def training_pairs(desk: CaseDesk) -> Sequence[Mapping[str, str]]:
    """Files of images with those of their final labels."""
    finals = desk.store.finals()
    images = desk.images()
    return [
        {"image": str(desk.source.viewable(images[v.image_id])), "label": str(desk.store.label_path(v))}
        for v in finals
        if v.image_id in images
    ]


def _versions(final: Version, review: Review) -> dict[str, Any]:
    """The final label, and each of its versions under the Reviewer's name for it.

    The review stands with the final label, which is the newest version.
    """
    labels = {FINAL: _entry(final, review)}
    older = {"ext": final.suffix, "info": {"label_info": label_record(final)["label_info"]}}
    for number in range(1, final.number):
        labels[f"{VERSION}{number}"] = older
    return labels | {f"{VERSION}{final.number}": _entry(final, review)}


def _entry(version: Version, review: Review | None) -> dict[str, Any]:
    return {"ext": version.suffix, "info": label_record(version, review)}


def _plain(version: Version) -> Review:
    return Review(CaseState.SUBMITTED, by="", at=version.committed_at, version=version.number)
