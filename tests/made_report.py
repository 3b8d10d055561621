"""Small hand-made findings and reports for the tests of pictures."""

import numpy as np
from renalct.core.findings import ActivationMap, Caliper, Classification, Findings, HUStatistics, Kidney, Mass
from renalct.core.grid import Box, Grid
from renalct.core.labels import MassClass, Side
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.report import Provenance, Report
from renalct.core.volume import CTVolume, Mask, Source

SOLID = Classification(MassClass.SOLID, (0.05, 0.12, 0.83))
TOO_SMALL = Classification(MassClass.UNKNOWN, reason="too small to characterise")
STATISTICS = HUStatistics(mean=90.0, sd=12.0, min=-20.0, max=140.0)


def block(start, stop) -> Mask:
    """A mask that fills a box."""
    box = Box(tuple(start), tuple(stop))
    return Mask(box, np.ones(box.shape, dtype=bool))


def kidney(mask: Mask, side: Side = Side.RIGHT) -> Kidney:
    """A kidney with measurements that nobody checks."""
    return Kidney(side, mask, 150.0, 160.0, (50.0, 0.0, 0.0), STATISTICS)


def activation_of(mask: Mask) -> ActivationMap:
    """An activation of 1 wherever the mask's box is."""
    return ActivationMap(MassClass.SOLID, mask.box, np.ones(mask.box.shape, dtype=np.float32))


def mass(mask: Mask, *, number: int = 1, side: Side = Side.RIGHT, classification=SOLID, activation=None) -> Mass:
    """A mass whose long axis runs through the middle of its box along i, on the first slice k of the box."""
    (i, j, k), (i_stop, j_stop, _) = mask.box.start, mask.box.stop
    long = Caliper(
        float(i_stop - i), (i - 0.5, (j + j_stop - 1) / 2, float(k)), (i_stop - 0.5, (j + j_stop - 1) / 2, float(k))
    )
    short = Caliper(
        float(j_stop - j), ((i + i_stop - 1) / 2, j - 0.5, float(k)), ((i + i_stop - 1) / 2, j_stop - 0.5, float(k))
    )
    return Mass(
        number=number,
        side=side,
        mask=mask,
        centroid_mm=(0.0, 0.0, 0.0),
        volume_ml=12.3,
        average_diameter_mm=28.6,
        longest_axial=long,
        short_axis=short,
        max_3d_diameter_mm=30.0,
        hu=STATISTICS,
        fat_fraction=0.004,
        enhancing_fraction=None,
        classification=classification,
        activation=activation,
    )


def provenance() -> Provenance:
    """A provenance of no release that exists."""
    return Provenance("0.1", "starter", "7.0", "ab" * 32, "made phantoms, no patient", "Apache-2.0", "starter")


def report(findings: Findings, **changes) -> Report:
    """A report on those findings."""
    values = {
        "source": Source("1.2.3", "1.2.3.4", "kidneys", 5),
        "phase": PhaseEstimate(Phase.NEPHROGRAPHIC, 0.7, "made"),
        "notices": ("Phase estimated: nephrographic.",),
        "seconds_per_stage": (("segment", 1.5),),
    }
    return Report(findings, provenance(), **{**values, **changes})


def dicom_like_grid(shape=(40, 40, 30), spacing=(2.0, 2.0, 3.0)) -> Grid:
    """A grid as of an axial DICOM series: i to the patient's left, j to posterior, k to the head."""
    return Grid(shape, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]))


def volume_of(grid: Grid, hu: int = 40) -> CTVolume:
    """A volume of one CT number."""
    return CTVolume(np.full(grid.shape, hu, dtype=np.int16), grid)
