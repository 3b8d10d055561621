"""The labels of a store as training cases: which count, what each assesses, and images that are read when needed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError, TransferError
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.formats.annotation import refuse_other_grid
from renalct.formats.case_notes import ALL_STRUCTURES, CaseNotes
from renalct.formats.study import open_study
from renalct.learning.image_source import Locate
from renalct.learning.statements import assessed_region
from renalct.learning.store import CaseState, LabelStore, Presence, StoredImage, Version
from renalct.models.cases import Case, CaseFile, Origin, masses_of

TRAINABLE = (CaseState.SUBMITTED, CaseState.APPROVED, CaseState.GOLD)
"""The states whose labels are trained on when nothing else is asked for; a flagged label is in dispute."""
REVIEWED = (CaseState.APPROVED, CaseState.GOLD)
"""The states of labels that a second person has looked at: those that may decide between versions."""


@dataclass(frozen=True)
class LabelledCase:
    """A version of an image's label that training may use, and what it says of each structure.

    `patient` is the hash of the patient's name: enough to keep a patient on one side, and nothing else.
    `whole` is whether the whole image was looked at, and not some slices or boxes only.
    """

    image_id: str
    patient: str
    number: int
    sha256: str
    committed_at: float
    assessed: tuple[Structure, ...]
    present: tuple[Structure, ...]
    whole: bool = True

    @property
    def name(self) -> str:
        """The name of its files in a run: the image and the version, as a hash."""
        return f"{_hash(self.image_id)}_v{self.number}"

    @property
    def stratum(self) -> str:
        """Which masses are labelled in it, for example ``cyst and tumor``."""
        return " and ".join(sorted(s.title for s in self.present if s is not Structure.KIDNEY))

    @property
    def has_mass(self) -> bool:
        """Whether a mass is labelled in it."""
        return bool(self.stratum)


def labelled_cases(store: LabelStore, states: Collection[CaseState] = TRAINABLE) -> tuple[LabelledCase, ...]:
    """The final label of every case in one of these states, by image id; pre-labels of models are never among them.

    A case in which nothing was assessed is left out.
    """
    images = {image.image_id: image for image in store.images()}
    found = [_labelled(store, images[version.image_id], version) for version in store.finals(states=states)]
    return tuple(case for case in found if set(case.assessed) - {Structure.BACKGROUND})


def patient_key(image: StoredImage) -> str:
    """What the images of one patient share: a hash of the patient, else of the study, else of the image's id."""
    return "p" + _hash(image.patient or image.study_instance_uid or image.image_id)


def case_files_of(store: LabelStore, cases: Sequence[LabelledCase], locate: Locate) -> tuple[CaseFile, ...]:
    """The cases as files to train on or to measure on, each read when it is needed and then forgotten.

    An image is looked for, and of an archive fetched, when its case is read: an error then names the case. Raises
    `InputError` when the store no longer holds a version.
    """
    files = []
    for case in cases:
        image = store.image(case.image_id)
        version = store.version(case.image_id, case.number)
        if version.sha256 != case.sha256:
            raise InputError(
                f"version {case.number} of the label of {case.image_id} is another than the one that was trained on; "
                "give the store that the training was started with"
            )
        read = _Read(case, image, locate, store.label_path(version), _done(version))
        files.append(CaseFile(case.name, case.patient, Origin.VOLUME if case.whole else Origin.SLAB, read))
    return tuple(files)


@dataclass(frozen=True)
class _Read:
    """Reads one case: the image, its label on the image's own voxels, and the parts that were looked at."""

    case: LabelledCase
    image: StoredImage
    locate: Locate
    labels: Path
    done: tuple[Box, ...]

    def __call__(self) -> tuple[Case, ...]:
        try:
            return self._read()
        except InputError as error:
            raise InputError(f"{self.case.image_id}: {error}; correct it, or flag the case to leave it out") from error
        except TransferError as error:
            raise TransferError(f"{self.case.image_id}: {error}; what was done is kept, start again later") from error

    def _read(self) -> tuple[Case, ...]:
        files = self.locate(self.image)
        series = None if nifti.is_nifti(files) else self.image.series_instance_uid or None
        volume = open_study(files, series_instance_uid=series).volume
        read = nifti.read_label_map(self.labels)
        refuse_other_grid(read.grid, volume.grid, f"the label of {self.case.image_id}")
        labels, case = LabelMap(read.values, volume.grid), self.case
        assessed = frozenset(case.assessed)
        whole = Case(case.name, case.patient, Origin.VOLUME, volume, labels, (), assessed)
        parts = [whole] if case.whole else [_part(whole, box, n) for n, box in enumerate(self.done)]
        return tuple(_with_masses(part) for part in parts)


def _part(case: Case, box: Box, number: int) -> Case:
    """What was looked at; the rest of the image might as well not be there."""
    labels = LabelMap(np.asfortranarray(case.label_map.values[box.slices]), case.label_map.grid.cropped(box))
    name = f"{case.name}_{number}"
    return Case(name, case.patient, Origin.SLAB, case.volume.cropped(box), labels, (), case.assessed)


def _with_masses(case: Case) -> Case:
    masses = masses_of(case.volume, case.label_map, CaseNotes(assessed=case.assessed))
    return Case(case.name, case.patient, case.origin, case.volume, case.label_map, masses, case.assessed)


def _labelled(store: LabelStore, image: StoredImage, version: Version) -> LabelledCase:
    stated = dict(version.presence)
    unseen = {structure for structure, presence in stated.items() if presence is Presence.NOT_ASSESSED}
    if Structure.TUMOR not in unseen:  # who looks for tumors finds angiomyolipomas
        unseen.discard(Structure.ANGIOMYOLIPOMA)
    elif Structure.ANGIOMYOLIPOMA not in stated:
        unseen.add(Structure.ANGIOMYOLIPOMA)
    present = {structure for structure, presence in stated.items() if presence is Presence.PRESENT}
    if not stated:
        values = nifti.read_label_map(store.label_path(version)).values
        present = {Structure(int(value)) for value in np.unique(values) if value}
    return LabelledCase(
        image.image_id,
        patient_key(image),
        version.number,
        version.sha256,
        version.committed_at,
        tuple(sorted(ALL_STRUCTURES - unseen)),
        tuple(sorted(present)),
        whole=not _done(version),
    )


def _done(version: Version) -> tuple[Box, ...]:
    return tuple(assessed_region(version))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
