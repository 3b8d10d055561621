"""Images with labels on disk, found but not read: pairs of files, and the folder that holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.annotation import Names
from renalct.formats.case_notes import NO_NOTES, CaseNotes
from renalct.formats.dicom.headers import SeriesHeaders


class LabelledKind(Enum):
    """How a folder of labelled images is laid out; the value is how reports call it."""

    KITS = "KiTS cases"
    NNUNET = "nnU-Net data set"
    PAIRS = "NIfTI pairs"
    MONAI_LABEL = "MONAI Label store"
    DICOM = "DICOM series with segmentations"
    STACKS = "slice stacks"
    SINGLE_SLICES = "single slices"

    @property
    def shows_whole_kidneys(self) -> bool:
        """Whether an image without a kidney is a fault: slices may well lie above or below them."""
        return self not in (LabelledKind.STACKS, LabelledKind.SINGLE_SLICES)


@dataclass(frozen=True)
class LabelledPair:
    """An image and its labels. `image` or `labels` is None when that half is missing.

    Cases of one `patient` belong together in a split. `names` say what the label values mean (none: they are the
    values of `Structure`). `series` is the DICOM series of the image. `annotations` is the folder with the single
    readers' annotations. `fault` is what makes the pair useless as far as finding it showed, "" when nothing does.
    """

    name: str
    kind: LabelledKind
    image: Path | None
    labels: Path | None
    notes: CaseNotes = NO_NOTES
    names: Names = ()
    annotations: Path | None = None
    series: SeriesHeaders | None = field(default=None, repr=False, compare=False)
    fault: str = ""

    @property
    def patient(self) -> str:
        """The patient that the notes name, else the case itself."""
        return self.notes.patient or self.name


@dataclass(frozen=True)
class LabelledFolder:
    """The labelled images of a folder, by name, and what a reader should know of what was passed over."""

    kind: LabelledKind
    pairs: tuple[LabelledPair, ...]
    notices: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line: how many cases of what kind, and how many lack a half.

        >>> LabelledFolder(LabelledKind.KITS, ()).describe()
        'KiTS cases: 0'
        """
        halves = ((len([p for p in self.pairs if p.image is None]), "image"), (self._without_labels, "labels"))
        lacking = ", ".join(f"{count} without {half}" for count, half in halves if count)
        return f"{self.kind.value}: {len(self.pairs)}" + (f" ({lacking})" if lacking else "")

    @property
    def _without_labels(self) -> int:
        return len([p for p in self.pairs if p.labels is None])


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image read with its labels, both on one grid. A pair gives one, slices that were left out give several."""

    name: str
    volume: CTVolume = field(repr=False)
    label_map: LabelMap = field(repr=False)
