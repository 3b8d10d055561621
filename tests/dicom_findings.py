"""A made series without pixels, and made findings on it: boxes whose volumes and places are known by hand."""

from datetime import datetime

import numpy as np
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage
from renalct.core.findings import (
    ActivationMap,
    Caliper,
    Classification,
    Findings,
    HUStatistics,
    Kidney,
    Mass,
)
from renalct.core.grid import Box, Grid
from renalct.core.labels import MassClass, Side
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.report import Provenance, Report
from renalct.core.volume import CTVolume, Mask
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.objects import ObjectSettings

NOW = datetime(2026, 3, 4, 12, 30, 15, 250000)
SETTINGS = ObjectSettings(now=NOW)
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

AXIAL = ((1, 0, 0), (0, 1, 0))
PRONE = ((-1, 0, 0), (0, -1, 0))
FEET_FIRST = ((-1, 0, 0), (0, 1, 0))
OBLIQUE = ((np.cos(0.2), np.sin(0.2), 0.0), (-np.sin(0.2), np.cos(0.2), 0.0))


def made_series(
    shape=(40, 32, 24),
    *,
    spacing=(0.8, 0.7, 2.5),
    origin=(-110.5, -90.25, -300.0),
    directions=AXIAL,
    multiframe=False,
    **attributes,
) -> LoadedSeries:
    """A series of (columns, rows, slices); `spacing` along them; `origin` and `directions` in LPS as in DICOM."""
    row, column = (np.asarray(direction, dtype=float) for direction in directions)
    normal = np.cross(row, column)
    lps = np.eye(4)
    lps[:3, :3] = np.stack([row, column, normal], axis=1) * np.asarray(spacing)
    lps[:3, 3] = origin
    grid = Grid(shape, TO_RAS @ lps, "1.2.3.4.5")
    volume = CTVolume(np.zeros(shape[::-1], np.int16).transpose(2, 1, 0), grid)
    headers = [made_header(shape, spacing, (row, column), **attributes) for _ in range(1 if multiframe else shape[2])]
    if multiframe:
        headers[0].SOPClassUID = EnhancedCTImageStorage
        headers[0].SOPInstanceUID = "1.2.3.9"
        headers[0].NumberOfFrames = shape[2]
        for keyword in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            del headers[0][keyword]
        return LoadedSeries(volume, tuple(headers), tuple(range(shape[2], 0, -1)))
    for k, header in enumerate(headers):
        header.SOPInstanceUID = f"1.2.3.9.{k + 1}"
        header.InstanceNumber = shape[2] - k
        header.ImagePositionPatient = [f"{v:.6f}" for v in (lps @ (0, 0, k, 1))[:3]]
    return LoadedSeries(volume, tuple(headers))


def made_header(shape, spacing, directions, **attributes) -> Dataset:
    header = Dataset()
    header.SOPClassUID = CTImageStorage
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    header.FrameOfReferenceUID = "1.2.3.4.5"
    header.Modality = "CT"
    header.PatientName, header.PatientID = "Phantom^Renal", "PHANTOM"
    header.PatientBirthDate, header.PatientSex = "", "O"
    header.StudyDate, header.StudyTime = "20260102", "101500"
    header.AccessionNumber, header.StudyID, header.ReferringPhysicianName = "", "1", ""
    header.StudyDescription = "Made study"
    header.Manufacturer = "Made"
    header.BodyPartExamined = "ABDOMEN"
    header.Columns, header.Rows = shape[:2]
    header.ImageOrientationPatient = [f"{v:.10f}" for direction in directions for v in direction]
    header.PixelSpacing = [spacing[1], spacing[0]]
    header.SliceThickness = spacing[2]
    for keyword, value in attributes.items():
        if value is None:
            del header[keyword]
        else:
            setattr(header, keyword, value)
    return header


def box_mask(start, stop) -> Mask:
    """All voxels of a box."""
    box = Box(tuple(start), tuple(stop))
    return Mask(box, np.ones(box.shape, bool))


def made_kidney(grid: Grid, side: Side, mask: Mask) -> Kidney:
    volume = mask.count * grid.voxel_ml
    return Kidney(side, mask, volume, volume, center(grid, mask), HUStatistics(140.0, 12.5, 90.0, 210.0))


def made_mass(grid: Grid, number: int, side: Side, mask: Mask, mass_class=MassClass.SOLID, **changes) -> Mass:
    """A mass whose longest axial diameter runs along i through the middle of its first slice, from face to face."""
    (i0, j0, k0), (i1, j1, _) = mask.box.start, mask.box.stop
    middle = (j0 + j1 - 1) / 2
    long_axis = Caliper((i1 - i0) * grid.spacing_mm[0], (i0 - 0.5, middle, float(k0)), (i1 - 0.5, middle, float(k0)))
    x = (i0 + i1 - 1) / 2
    short_axis = Caliper((j1 - j0) * grid.spacing_mm[1], (x, j0 - 0.5, float(k0)), (x, j1 - 0.5, float(k0)))
    known = mass_class is not MassClass.UNKNOWN
    values = {
        "centroid_mm": center(grid, mask),
        "volume_ml": mask.count * grid.voxel_ml,
        "average_diameter_mm": 9.0,
        "longest_axial": long_axis,
        "short_axis": short_axis,
        "max_3d_diameter_mm": 15.0,
        "hu": HUStatistics(38.25, 14.5, -20.0, 95.0),
        "fat_fraction": 0.125,
        "enhancing_fraction": 0.75,
        "classification": Classification(mass_class, (0.1, 0.2, 0.7), "" if known else "too small to characterise"),
        "activation": None,
    }
    return Mass(number, side, mask, **(values | changes))


def center(grid: Grid, mask: Mask):
    x, y, z = grid.to_patient(np.argwhere(mask.voxels).mean(axis=0) + mask.box.start)
    return float(x), float(y), float(z)


def made_activation(box: Box) -> ActivationMap:
    """A ramp from 0 to 1 over the box."""
    ramp = np.linspace(0, 1, int(np.prod(box.shape)), dtype=np.float32).reshape(box.shape)
    return ActivationMap(MassClass.SOLID, box, ramp)


def made_findings(grid: Grid) -> Findings:
    """Two kidneys and three masses: solid on the right; a cyst with a gap in its slices; a one-voxel unknown one."""
    gap = np.ones((4, 3, 5), bool)
    gap[:, :, 2] = False
    cyst = Mask(Box((26, 6, 9), (30, 9, 14)), gap)
    solid = box_mask((8, 12, 8), (14, 16, 12))
    return Findings(
        kidneys=(
            made_kidney(grid, Side.RIGHT, box_mask((4, 5, 4), (14, 12, 16))),
            made_kidney(grid, Side.LEFT, box_mask((24, 9, 5), (36, 16, 18))),
        ),
        masses=(
            made_mass(grid, 1, Side.RIGHT, solid, activation=made_activation(Box((7, 11, 7), (15, 17, 13)))),
            made_mass(grid, 2, Side.LEFT, cyst, MassClass.CYSTIC, enhancing_fraction=None),
            made_mass(grid, 3, Side.LEFT, box_mask((30, 20, 6), (31, 21, 7)), MassClass.UNKNOWN),
        ),
    )


def made_report(findings: Findings, **changes) -> Report:
    provenance = Provenance(
        software_version="0.1.0",
        release_name="starter",
        release_version="0.1",
        release_digest="ab" * 32,
        trained_on="Trained on made volumes only.",
        licence="Apache-2.0",
        recipe_name="starter",
    )
    values = {
        "phase": PhaseEstimate(Phase.NEPHROGRAPHIC, 0.8, "mean of the kidneys 140 HU"),
        "notices": ("the contrast phase is estimated",),
    }
    return Report(findings, provenance, **(values | changes))


def made_pictures(series: LoadedSeries, report: Report):
    """A picture per mass, of the size of a source slice."""
    columns, rows, _ = series.volume.grid.shape
    return {mass.number: np.full((rows, columns, 3), 40 * mass.number, np.uint8) for mass in report.findings.masses}
