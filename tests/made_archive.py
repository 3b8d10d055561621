"""What tests of an archive put into it: a small study, and segmentations as other programs write them."""

from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.sr.coding import Code
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series, write_scout
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation
from renalct.formats.dicom.loaded import LoadedSeries

TISSUE = Code("85756007", "SCT", "Tissue")
KIDNEY_BOX, CYST_BOX = np.s_[10:16, 12:20, 4:9], np.s_[20:24, 12:16, 5:7]
SHAPE, SPACING_MM = (32, 32, 12), 10.0


def write_cylinder(folder: Path) -> Path:
    """The folder, now with a scout (1) and two phases (2, 3) of a cylinder of soft tissue."""
    i, j, _ = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    tissue = np.broadcast_to(np.hypot(i - 15.5, j - 15.5) < 12, SHAPE)
    grid = Grid(SHAPE, np.diag([-SPACING_MM, -SPACING_MM, SPACING_MM, 1.0]), "1.2.3.7")
    for number, (phase, hu) in enumerate([(Phase.NON_CONTRAST, 35), (Phase.NEPHROGRAPHIC, 60)], start=2):
        volume = CTVolume(np.where(tissue, hu, -1000).astype(np.int16), grid, PhaseEstimate(phase, 1.0, "made"))
        settings = SeriesSettings("archive", series_number=number, description=phase.value.capitalize())
        write_ct_series(volume, folder / f"{number}", settings=settings)
    write_scout(volume, folder / "1", settings=SeriesSettings("archive", series_number=1, description="Scout"))
    return folder


def boxes(grid, *, cyst=True) -> LabelMap:
    """A box of kidney and, elsewhere, one of cyst."""
    values = np.zeros(grid.shape, np.uint8)
    values[KIDNEY_BOX] = Structure.KIDNEY
    if cyst:
        values[CYST_BOX] = Structure.CYST
    return LabelMap(values, grid)


def write_foreign(series: LoadedSeries, path: Path, *, names=("kidney", "cyst"), code=TISSUE, kind="MANUAL") -> Path:
    """A segmentation as OHIF exports it: no code that says anything, and the names that the reader typed."""
    seg = label_segmentation(series, boxes(series.volume.grid), LabelOrigin("Ben^Reader", 1, datetime(2026, 1, 2)))
    seg.Manufacturer, seg.ManufacturerModelName = "OHIF", "viewer"
    for item, name in zip(seg.SegmentSequence, names, strict=True):
        item.SegmentLabel, item.SegmentAlgorithmType = name, kind
        if code is not None:
            coded = item.SegmentedPropertyTypeCodeSequence[0]
            coded.CodeValue, coded.CodingSchemeDesignator, coded.CodeMeaning = code[:3]
            item.pop("AnatomicRegionSequence", None)
    seg.save_as(path, enforce_file_format=True)
    return path
