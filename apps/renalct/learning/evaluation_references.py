"""Reference label maps: of any folder of labelled images, with the images where they are, or of label files alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from renalct.core.errors import InputError
from renalct.core.labels import MassClass, Region, Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.case_notes import ALL_STRUCTURES, NO_NOTES, CaseNotes, read_notes
from renalct.formats.labelled import find_labelled
from renalct.formats.labelled_pair import LabelledKind, LabelledPair
from renalct.imaging.sinus import SinusSettings, fill_renal_sinus
from renalct.learning.evaluation_files import LabelFile, find_label_files, read_label_file
from renalct.metrics.assessed import unassessed_regions
from renalct.models.cases import CaseFile, case_files, tumor_class

_BY_STRUCTURE = {Structure.CYST: MassClass.CYSTIC, Structure.ANGIOMYOLIPOMA: MassClass.AML}


@dataclass(frozen=True, eq=False)
class ReferenceCase:
    """What readers drew on one image, and the image where it is at hand. `tumor` is the class of its tumors.

    Structures outside `assessed` may be there without being drawn.
    """

    name: str
    patient: str
    label_map: LabelMap = field(repr=False)
    volume: CTVolume | None = field(default=None, repr=False)
    tumor: MassClass = MassClass.SOLID
    assessed: frozenset[Structure] = ALL_STRUCTURES

    def class_of(self, structure: Structure) -> MassClass:
        """The class of a mass whose voxels are mostly of that structure; unknown for a tumor that fits no class."""
        return _BY_STRUCTURE.get(structure, self.tumor)


@dataclass(frozen=True)
class ReferenceFile:
    """A reference on disk, read when it is asked for; it may give several cases (runs of slices).

    `annotations` is the folder of the single readers' annotations, where there is one. `fault` is what makes the
    reference useless, as far as finding it showed, "" when nothing does. With `sinus`, the renal sinus is labelled as
    kidney when the case is read.
    """

    name: str
    patient: str
    source: CaseFile | LabelFile = field(repr=False)
    tumor: MassClass = MassClass.SOLID
    annotations: Path | None = None
    fault: str = ""
    assessed: frozenset[Structure] = ALL_STRUCTURES
    sinus: SinusSettings | None = None

    @property
    def has_image(self) -> bool:
        """Whether the image can be read as well."""
        return isinstance(self.source, CaseFile) and not self.fault

    def load(self, predicted: LabelMap | None = None) -> tuple[ReferenceCase, ...]:
        """The cases of the file; a lone DICOM SEG is placed on the grid of the prediction. Raises an `InputError`."""
        if self.fault:
            raise InputError(self.fault)
        if isinstance(self.source, LabelFile):
            label_map = read_label_file(self.source.path, grid=predicted.grid if predicted else None)
            return (self._case(self.name, label_map, None),)
        return tuple(self._case(case.name, case.label_map, case.volume) for case in self.source.load())

    def _case(self, name: str, label_map: LabelMap, volume: CTVolume | None) -> ReferenceCase:
        filled = label_map if self.sinus is None else fill_renal_sinus(label_map, settings=self.sinus)
        return ReferenceCase(name, self.patient, filled, volume, self.tumor, self.assessed)


def find_references(folder: Path) -> tuple[ReferenceFile, ...]:
    """The references of a folder by name. Raises `InputError` when it holds neither labelled images nor label maps."""
    pairs = {pair.name: pair for pair in _pairs(folder)}
    if not pairs:
        return tuple(_alone(file) for _, file in sorted(find_label_files(folder).items()))
    files = {file.name: file for file in case_files(folder)}
    return tuple(_reference(pairs[name], files[name]) for name in sorted(pairs))


def _pairs(folder: Path) -> tuple[LabelledPair, ...]:
    """The labelled cases of a folder; none where it holds nothing but label files, whose names say too little."""
    try:
        found = find_labelled(folder)
    except InputError:
        return ()
    labelled = tuple(pair for pair in found.pairs if pair.labels)
    files_alone = found.kind is LabelledKind.PAIRS and not any(pair.image for pair in labelled)
    return () if files_alone else labelled


def _reference(pair: LabelledPair, file: CaseFile) -> ReferenceFile:
    source: CaseFile | LabelFile = file
    if pair.image is None and pair.labels is not None:
        source = LabelFile(pair.name, pair.labels)
    tumor = tumor_class(pair.notes.histology)
    fault = pair.fault or _nothing_assessed(pair.notes)
    return ReferenceFile(pair.name, pair.patient, source, tumor, pair.annotations, fault, pair.notes.assessed)


def _alone(file: LabelFile) -> ReferenceFile:
    """The reference of a label file without an image, with what the sidecar beside it says."""
    try:
        notes, fault = read_notes(file.path), ""
    except InputError as error:
        notes, fault = NO_NOTES, str(error)
    fault = fault or _nothing_assessed(notes)
    tumor = tumor_class(notes.histology)
    return ReferenceFile(file.case, notes.patient or file.case, file, tumor, None, fault, notes.assessed)


def _nothing_assessed(notes: CaseNotes) -> str:
    """Why a reference with partial labels cannot be scored at all; "" where a region of KiTS can be."""
    if len(unassessed_regions(notes.assessed)) < len(Region):
        return ""
    names = ", ".join(structure.title for structure in sorted(ALL_STRUCTURES - notes.assessed))
    return f"its readers did not look for {names}, so that no region of KiTS can be scored"


def belonging(reference: ReferenceFile, names: Iterable[str]) -> tuple[str, ...]:
    """Of the names of predictions those of a reference: its own name, or that with the number of a part."""
    part = re.compile(re.escape(reference.name) + r"(_\d+)?")
    return tuple(name for name in names if part.fullmatch(name))
