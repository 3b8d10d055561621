"""What a check of labels finds, what an annotator states beside them, and the limits of the checks."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from renalct.core.findings import Point
from renalct.core.grid import Box, Grid
from renalct.core.labels import Side, Structure
from renalct.core.volume import Mask


class Severity(Enum):
    """How much a finding matters. Nothing is ever blocked: an error is shown first, a note last."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class FindingKind(Enum):
    """What a check looks for; the value is its name in tables."""

    MASS_APART = "mass that touches no kidney"
    MASS_FAR = "mass far from every kidney"
    HOLE = "hole"
    ISLAND = "island"
    MIRRORED = "labels mirrored"
    SIDE_NAMES = "left and right exchanged"
    KIDNEY_COUNT = "number of kidneys"
    KIDNEY_VOLUME = "kidney volume"
    HU_CONTRADICTS = "HU contradict the class"
    SLICE_GAP = "slices left out"
    EMPTY_CLASS = "structure neither labelled nor stated to be absent"
    PRESENCE = "statement contradicts the labels"
    OUTSIDE_BODY = "label in air"
    IN_BONE = "label in bone"
    DUPLICATE = "object twice"
    SINGLE_SLICE = "object on a single slice"
    DROPPED = "segment left out"
    NOT_ASSESSED = "label outside the assessed part"


class Arrangement(Enum):
    """How many kidneys a patient has, as the annotator says; it silences what would be found otherwise."""

    USUAL = "usual"
    SINGLE = "single"
    HORSESHOE = "horseshoe"
    TRANSPLANT = "transplant"
    NONE = "none"


@dataclass(frozen=True)
class Place:
    """A voxel, the number of its axial slice as viewers show it (from 1, in the order of the file), and its position
    in the patient (mm, RAS+)."""

    voxel: tuple[int, int, int]
    slice_number: int
    patient_mm: Point

    @classmethod
    def at(cls, voxel: tuple[int, int, int], grid: Grid) -> Place:
        """The place of a voxel of a grid."""
        x, y, z = (float(v) for v in grid.to_patient(voxel))
        return cls(voxel, voxel[grid.axial_axis] + 1, (x, y, z))

    @property
    def words(self) -> str:
        """For example ``slice 34 (S -212.5 mm)``."""
        return f"slice {self.slice_number} (S {self.patient_mm[2]:.1f} mm)"


@dataclass(frozen=True)
class Finding:
    """One thing that an annotator should look at, said in a sentence. `volume_mm3` is how much of it there is."""

    kind: FindingKind
    severity: Severity
    sentence: str
    structure: Structure | None = None
    place: Place | None = None
    volume_mm3: float = 0.0


@dataclass(frozen=True, eq=False)
class NamedSide:
    """Voxels that the annotator's name puts on a side, for example of a segment called "left kidney"."""

    side: Side
    structure: Structure
    mask: Mask = field(repr=False)


@dataclass(frozen=True)
class Statements:
    """What an annotator says beside the voxels.

    `absent` were looked for and are not there; `not_assessed` were not looked for. `assessed` are the boxes that are
    done, empty for the whole image. `sided` are segments with a side in their name, `dropped` names and voxels of
    segments that are no labels (scribbles, overlays).
    """

    present: frozenset[Structure] = frozenset()
    absent: frozenset[Structure] = frozenset()
    not_assessed: frozenset[Structure] = frozenset()
    kidneys: Arrangement = Arrangement.USUAL
    assessed: tuple[Box, ...] = ()
    sided: tuple[NamedSide, ...] = ()
    dropped: tuple[tuple[str, int], ...] = ()


NOTHING_STATED = Statements()
"""Nothing is said beside the voxels; the whole image was assessed."""


@dataclass(frozen=True)
class CheckSettings:
    """The limits of the checks, each with its reason. "KiTS" are the labels of KiTS23 (316 patients, kidneys with
    their images on 159); what was measured on them stands in docs/label_checks.md."""

    touching_mm: float = 2.5  # an unlabelled seam of a voxel or two is drawing, not another organ
    far_mm: float = 20.0  # beyond this no seam explains it: another organ's fluid or mass (kits19, issue 21)
    hole_mm3: float = 20.0  # a sphere of 3.4 mm: smaller ones are the edges of voxels
    like_kidney_hu: float = 25.0  # below the kidneys' own 10th percentile begin fat and urine, the sinus
    crumb_mm3: float = 10.0  # a sphere of 2.7 mm, a stray click: 5 of 515 cysts and 1 % of the tumors of KiTS
    crumb_voxels: int = 2
    island_mm3: float = 1000.0  # apart from all kidneys: no piece of KiTS between 0.2 ml and a kidney
    kidney_ml: float = 10.0  # smaller pieces are no kidneys: the smallest of KiTS has 38 ml
    usual_ln_ml: float = 5.28  # KiTS, 625 kidneys: the mean of ln(ml of parenchyma), 197 ml
    usual_ln_sd: float = 0.31
    unusual_z: float = 3.0  # 78 to 500 ml; 3 of 625 kidneys of KiTS lie outside
    dense_cyst_hu: float = 60.0  # a mean above: 6 % of the cysts of KiTS; fluid is under 20, dense cysts reach 70 to 90
    fluid_tumor_hu: float = 20.0  # a median below: 2 % of the tumors of KiTS
    fat_tumor_share: float = 0.5  # under -10 HU: at most 0.37 in a tumor of KiTS
    least_aml_fat_share: float = 0.05  # macroscopic fat; 94 % of the tumors of KiTS have less
    kidney_hu: tuple[float, float] = (15.0, 320.0)  # medians; KiTS 49 to 256, unenhanced kidneys from 25
    unequal_kidneys: float = 0.5  # of the brighter one's median; an obstructed kidney, or another organ
    judged_mm3: float = 250.0  # a sphere of 8 mm: in less, the HU are those of the neighbors (partial volume)
    missing_share: float = 0.7  # of the smaller outline beside a slice that is missing; the lips of the sinus have less
    missing_share_of_several: float = 0.65  # farther apart, outlines differ more
    longest_gap_slices: int = 4
    gap_mm2: float = 30.0  # a smaller outline ends and starts again by itself
    air_below_hu: float = -300.0
    air_mm3: float = 100.0
    bone_above_hu: float = 280.0  # and 100 HU above the kidneys' own 95th percentile, for early phases
    bone_ml: float = 12.0  # outside the labels: dense urine and stones beside them hold less, spine and ribs more
    bone_mm3: float = 150.0
    twice_mm3: float = 250.0  # equal voxel by voxel: chance makes only tiny objects equal
    flat_mm: float = 9.0  # wider than this, and than twice the distance of slices, an object shows on two slices
    mirrored_hu: float = 12.0  # the mirror image fits the edges better by this much
    off_side_mm: float = 10.0


USUAL_CHECKS = CheckSettings()
