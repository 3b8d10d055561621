"""A body of a few shapes with good labels, for checks of labels: every number in it is known by hand."""

import numpy as np
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume, LabelMap
from renalct.imaging.label_checks import check_labels
from renalct.imaging.label_findings import FindingKind, Statements
from shapes import ellipsoid

AFFINE = np.diag([-3.0, -3.0, 4.0, 1.0])
AFFINE[:3, 3] = [150.0, 120.0, -80.0]
GRID = Grid((101, 81, 41), AFFINE)
"""300 x 240 x 160 mm about the origin; i to the patient's left, j to the back, slices to the head, 4 mm apart."""
RIGHT, LEFT = (60.0, -30.0, 0.0), (-60.0, -30.0, 8.0)
"""The middles of the kidneys in mm; the right one has 147 ml, the left one 141 ml."""
SPINE = (0.0, -60.0, 0.0)
KIDNEY_HU, SOFT_HU, FAT_HU, AIR_HU, BONE_HU, FLUID_HU = 150, 50, -90, -1000, 600, 8
DONE = Statements(absent=frozenset({Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA}))
"""Somebody looked for masses and found none."""


def ball(center_mm, diameter_mm):
    """True inside a ball on the body's grid."""
    return ellipsoid(GRID, center_mm, (diameter_mm / 2,) * 3)


def kidney(center_mm):
    return ellipsoid(GRID, center_mm, (25.0, 27.0, 52.0) if center_mm == RIGHT else (24.0, 28.0, 50.0))


class Body:
    """Two kidneys in soft tissue with a spine, fat about the kidneys, air about the body; to be changed at will."""

    def __init__(self):
        self.hu = np.full(GRID.shape, AIR_HU, np.int16)
        self.hu[ellipsoid(GRID, (0, 0, 0), (130, 100, 900))] = SOFT_HU
        for center in (RIGHT, LEFT):
            self.hu[ellipsoid(GRID, center, (34, 36, 61))] = FAT_HU
        self.hu[ellipsoid(GRID, SPINE, (18, 18, 900))] = BONE_HU
        self.values = np.zeros(GRID.shape, np.uint8, order="F")
        for center in (RIGHT, LEFT):
            self.paint(kidney(center), Structure.KIDNEY, KIDNEY_HU)

    def paint(self, where, structure, hu=None):
        self.values[where] = structure
        if hu is not None:
            self.hu[where] = hu
        return self

    @property
    def volume(self):
        return CTVolume(self.hu, GRID, PhaseEstimate(Phase.NEPHROGRAPHIC, 1.0, "made"))

    @property
    def label_map(self):
        return LabelMap(self.values, GRID)

    def findings(self, stated=DONE, *, image=True):
        return check_labels(self.label_map, self.volume if image else None, stated=stated)

    def kinds(self, stated=DONE, *, image=True) -> list[FindingKind]:
        return [finding.kind for finding in self.findings(stated, image=image)]


def stating(found, **changes) -> Statements:
    """Everything was looked for, and these masses found."""
    masses = {Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA}
    return Statements(absent=frozenset(masses - set(found)), **changes)
