"""The results of `renalct predict` in the stock OHIF viewer, on a real archive: drawn where the findings lie."""

from dataclasses import dataclass

import numpy as np
import pytest
from orthanc import running_orthanc, skip_without_orthanc
from renalct.commands.predict import PredictOptions, predict
from renalct.core.findings import Kidney, Mass
from renalct.core.report import Report
from renalct.formats.dicom.web import DicomWeb, WebSettings
from renalct.formats.study import open_study
from renalct.pictures.colors import KIDNEY_COLOR, class_color
from scipy import ndimage
from viewer.looking import Seen, View, is_gray, is_tinted, look, missing

pytestmark = pytest.mark.timeout(1500)

SEGMENTS, MEASUREMENTS, DIAMETERS = "AI kidney and mass segm", "AI kidney and mass meas", "AI mass diameters"
SAMPLES = 60
BESIDE_PX = 12


@dataclass(frozen=True)
class Shown:
    """The report, and for each point looked at what is seen there, by words."""

    report: Report
    names: dict[str, list[str]]
    seen: dict[str, dict[str, Seen]]


def interior(finding: Kidney | Mass, k: int) -> tuple[int, int, int]:
    """The voxel of a finding on slice k that lies deepest in it."""
    i0, j0, k0 = finding.mask.box.start
    depth = ndimage.distance_transform_edt(np.pad(finding.mask.voxels[:, :, k - k0], 1))
    i, j = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(i) - 1 + i0, int(j) - 1 + j0, k


def slices_of(finding: Kidney | Mass) -> tuple[int, int, int]:
    """The first, the largest and the last slice of a finding."""
    areas = finding.mask.voxels.sum(axis=(0, 1))
    filled = np.flatnonzero(areas) + finding.mask.box.start[2]
    return int(filled[0]), int(areas.argmax()) + finding.mask.box.start[2], int(filled[-1])


@pytest.fixture(scope="module")
def shown(made_study, tmp_path_factory):
    """What a reader sees. The test is skipped, with what to do, where a part is missing."""
    skip_without_orthanc()
    if (install := missing()) is not None:
        pytest.skip(f"what shows OHIF is missing: {install}")
    folder = tmp_path_factory.mktemp("ohif")
    report = predict(made_study.dicom, folder / "result", options=PredictOptions(), progress=lambda *_: None)
    findings = report.findings
    assert len(findings.kidneys) == 2 and findings.masses
    mass = max(findings.masses, key=lambda mass: mass.volume_ml)
    first, largest, last = slices_of(mass)
    i, j, _ = interior(mass, largest)
    kidney = findings.kidneys[0]
    line = mass.longest_axial
    k = round(line.start[2])
    middle = tuple((np.asarray(line.start) + line.stop) / 2)
    ends = (line.start, line.stop, mass.short_axis.start, mass.short_axis.stop)
    points = {
        SEGMENTS: {
            "in the mass": (i, j, largest),
            "first slice of the mass": interior(mass, first),
            "slice before the mass": (*interior(mass, first)[:2], first - 1),
            "last slice of the mass": interior(mass, last),
            "slice after the mass": (*interior(mass, last)[:2], last + 1),
            "in the kidney": interior(kidney, slices_of(kidney)[1]),
            "outside of the findings": (
                min(kidney.mask.box.start[0], mass.mask.box.start[0]) - 4,
                j,
                slices_of(kidney)[1],
            ),
        },
        DIAMETERS: {
            "slice of the line": middle,
            "slice before the line": (*middle[:2], k - 1),
            "slice after the line": (*middle[:2], k + 1),
        },
        MEASUREMENTS: {"slice of the line": middle, "slice after the line": (*middle[:2], k + 1)},
    }
    volume = open_study(made_study.dicom).volume
    with running_orthanc(folder / "orthanc") as orthanc:
        files = [*sorted(made_study.dicom.rglob("*.dcm")), *sorted((folder / "result").glob("*.dcm"))]
        assert all(instance.is_stored for instance in DicomWeb(WebSettings(orthanc.url)).store(files))
        views = [View(series, tuple(at.values()), ends) for series, at in points.items()]
        answers = look(orthanc.url, volume, views, folder)
    return Shown(
        report,
        {series: names for series, (names, _) in zip(points, answers, strict=True)},
        {
            series: dict(zip(points[series], seen, strict=True))
            for series, (_, seen) in zip(points, answers, strict=True)
        },
    )


@pytest.fixture
def mass(shown) -> Mass:
    """The largest mass, which is looked at."""
    return max(shown.report.findings.masses, key=lambda mass: mass.volume_ml)


def drawn(pixels: np.ndarray) -> np.ndarray:
    """Where the picture has the green or the yellow in which OHIF draws measurements."""
    return pixels[..., 1].astype(int) - pixels[..., 2] > 90


def covered(seen: Seen, start, stop, shift=(0.0, 0.0)) -> float:
    """The fraction of a line, from place to place, that has a drawn pixel within two pixels of it."""
    marks = ndimage.binary_dilation(drawn(seen.pixels()), iterations=2)
    along = np.linspace(np.asarray(start) + shift, np.asarray(stop) + shift, SAMPLES).round().astype(int)
    return float(marks[along[:, 1], along[:, 0]].mean())


def test_every_kidney_and_mass_is_a_segment_with_its_name(shown):
    masses = shown.report.findings.masses
    expected = {"Right kidney", "Left kidney", *(f"{m.name} ({m.side.value} kidney)" for m in masses)}
    assert set(shown.names[SEGMENTS]) == expected


@pytest.mark.parametrize("point", ["in the mass", "first slice of the mass", "last slice of the mass"])
def test_the_mass_is_drawn_in_the_color_of_its_class_on_its_slices(shown, mass, point):
    assert is_tinted(shown.seen[SEGMENTS][point].color(), class_color(mass.classification.mass_class))


@pytest.mark.parametrize("point", ["slice before the mass", "slice after the mass"])
def test_the_mass_is_not_drawn_beyond_its_slices(shown, mass, point):
    assert not is_tinted(shown.seen[SEGMENTS][point].color(), class_color(mass.classification.mass_class))


def test_the_kidney_is_drawn_in_its_color_and_nothing_outside_of_the_findings(shown):
    assert is_tinted(shown.seen[SEGMENTS]["in the kidney"].color(), KIDNEY_COLOR)
    assert is_gray(shown.seen[SEGMENTS]["outside of the findings"].color())


def test_the_report_of_diameters_opens_with_every_line_of_every_mass(shown):
    masses = shown.report.findings.masses
    assert shown.names[DIAMETERS] == [f"{mass.name} {axis} axis" for mass in masses for axis in ("long", "short")]


def test_both_diameters_are_drawn_from_end_to_end_on_their_slice(shown):
    seen = shown.seen[DIAMETERS]["slice of the line"]
    start, stop, short_start, short_stop = seen.also
    assert covered(seen, start, stop) > 0.5  # the lines are dashed
    assert covered(seen, short_start, short_stop) > 0.5
    across = np.subtract(short_start, short_stop)
    up = -np.sign(across[1]) * BESIDE_PX / np.linalg.norm(across)  # the words are below
    assert covered(seen, start, stop, up * across) < 0.3  # but for where the other line crosses


@pytest.mark.parametrize("point", ["slice before the line", "slice after the line"])
def test_no_diameter_is_drawn_on_the_slices_beside(shown, point):
    seen = shown.seen[DIAMETERS][point]
    assert covered(seen, *seen.also[:2]) == 0.0 and covered(seen, *seen.also[2:]) == 0.0


def test_the_report_of_measurements_opens_with_every_finding_at_a_place_of_its_own(shown):
    assert sorted(shown.names[MEASUREMENTS]) == sorted(
        ["Kidney R", "Kidney L", *(mass.name for mass in shown.report.findings.masses)]
    )
    seen = shown.seen[MEASUREMENTS]["slice of the line"]
    assert covered(seen, *seen.also[:2]) > 0.5
