"""The stock OHIF viewer, in a browser without a screen, on a real archive: what we store is drawn where it lies."""

from datetime import datetime

import numpy as np
import pytest
from orthanc import running_orthanc, skip_without_orthanc
from renalct.core.labels import MassClass, Structure
from renalct.core.volume import LabelMap
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series
from renalct.formats.dicom.web import DicomWeb, WebSettings
from renalct.pictures.colors import KIDNEY_COLOR, class_color
from viewer.looking import View, is_gray, is_tinted, look, missing

pytestmark = pytest.mark.timeout(600)

KIDNEY = (slice(30, 60), slice(40, 60), slice(20, 30))
TUMOR = (slice(80, 100), slice(50, 60), slice(25, 28))
IN_KIDNEY, IN_TUMOR = (45, 50, 25), (90, 55, 26)
"""Voxels (i, j, k) in the middle of the two boxes."""


@pytest.fixture(scope="module")
def series(made_study):
    """The enhanced series of the made study, loaded."""
    return load_series(choose_series(scan_study(made_study.dicom)).chosen)


@pytest.fixture(scope="module")
def shown(series, made_study, tmp_path_factory):
    """What a reader sees of a stored label: names of segments, and the picture and the place of each point.

    The test is skipped, with what to do, where a part is missing.
    """
    skip_without_orthanc()
    if (install := missing()) is not None:
        pytest.skip(f"what shows OHIF is missing: {install}")
    folder = tmp_path_factory.mktemp("ohif")
    values = np.zeros(series.volume.grid.shape, np.uint8)
    values[KIDNEY], values[TUMOR] = Structure.KIDNEY, Structure.TUMOR
    origin = LabelOrigin("anna", 1, datetime(2026, 3, 4))
    label_segmentation(series, LabelMap(values, series.volume.grid), origin).save_as(folder / "seg.dcm")
    points = {
        "in the kidney": IN_KIDNEY,
        "in the tumor": IN_TUMOR,
        "first slice of the kidney": (45, 50, KIDNEY[2].start),
        "slice before the kidney": (45, 50, KIDNEY[2].start - 1),
        "last slice of the kidney": (45, 50, KIDNEY[2].stop - 1),
        "slice after the kidney": (45, 50, KIDNEY[2].stop),
        "kidney, beyond the tumor": (90, 55, TUMOR[2].stop),
        "beside the kidney": (KIDNEY[0].stop + 2, 50, 25),
    }
    with running_orthanc(folder / "orthanc") as orthanc:
        stored = DicomWeb(WebSettings(orthanc.url)).store(
            [*sorted(made_study.dicom.rglob("*.dcm")), folder / "seg.dcm"]
        )
        assert all(instance.is_stored for instance in stored)
        view = View("renalct label v1", tuple(points.values()))
        ((names, seen),) = look(orthanc.url, series.volume, [view], folder)
    return names, dict(zip(points, seen, strict=True))


def test_the_segments_have_the_names_of_the_structures(shown):
    assert shown[0] == ["kidney", "tumor"]


@pytest.mark.parametrize("point", ["in the kidney", "first slice of the kidney", "last slice of the kidney"])
def test_the_kidney_is_drawn_in_its_color_on_its_first_and_last_slice(shown, point):
    assert is_tinted(shown[1][point].color(), KIDNEY_COLOR)


def test_the_tumor_is_drawn_in_its_own_color(shown):
    assert is_tinted(shown[1]["in the tumor"].color(), class_color(MassClass.SOLID))


@pytest.mark.parametrize(
    "point",
    ["slice before the kidney", "slice after the kidney", "kidney, beyond the tumor", "beside the kidney"],
)
def test_nothing_is_drawn_beyond_the_label(shown, point):
    assert is_gray(shown[1][point].color())
