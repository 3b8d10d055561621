"""What a rehearsal left behind: acknowledged labels looked for in the store, and a worse release put to the gate."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from renalct.core.errors import InputError
from renalct.core.labels import Region
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.learning.archive.source import ImageArchive
from renalct.learning.loop.candidate_version import judge_release
from renalct.learning.loop.registry import DECISION_TEXT, Registry
from renalct.learning.loop.retrain import Loop, frozen_of, judge_of
from renalct.learning.rehearsal.first_release import plant_worse
from renalct.learning.rehearsal.marks import overlap
from renalct.learning.rehearsal.report import Handed, Planted
from renalct.learning.rehearsal.studies import MadePatient
from renalct.learning.store import LabelStore


def lost_labels(store: LabelStore, handed: Iterable[Handed]) -> tuple[str, ...]:
    """The acknowledged labels that the store does not hold as they were acknowledged, as sentences; none is well."""
    lost = []
    for each in handed:
        name = f"version {each.version} of {each.image_id} by {each.annotator}"
        try:
            version = store.version(each.image_id, each.version)
            store.label_path(version)
        except InputError as error:
            lost.append(f"{name}: {error}")
            continue
        if (version.sha256, version.note.author) != (each.sha256, each.annotator):
            lost.append(f"{name} is another label than the one that was acknowledged")
    return tuple(lost)


def quality(store: LabelStore, image_id: str, number: int, patient: MadePatient) -> float:
    """The Dice of kidneys with masses of a stored label with the truth."""
    kept = nifti.read_label_map(store.label_path(store.version(image_id, number)))
    truth = patient.true_labels()
    return overlap(LabelMap(kept.values, truth.grid), truth, Region.KIDNEY_AND_MASS)


def judge_planted(store: LabelStore, registry: Registry, archive: ImageArchive, folder: Path) -> Planted:
    """What the gate says of a release that was made worse on purpose, and whether it is published now."""
    now = registry.current()
    if now is None:
        raise InputError("nothing is published in the registry; there is nothing to make worse")
    plant_worse(registry.release_of(now.version), folder)
    loop = Loop(store, registry, archive.files)
    found = judge_release(judge_of(loop, frozen_of(loop)), folder, name="planted", by="rehearsal")
    text = (registry.place(found.version.name) / DECISION_TEXT).read_text(encoding="utf-8")
    return Planted(found.decision.accepted, found.published, text)
