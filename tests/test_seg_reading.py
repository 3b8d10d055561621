import numpy as np
import pydicom
import pytest
from dicom_findings import (
    PRONE,
    SETTINGS,
    box_mask,
    made_findings,
    made_kidney,
    made_mass,
    made_report,
    made_series,
)
from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.findings import Findings
from renalct.core.grid import Grid
from renalct.core.labels import MassClass, Side, Structure
from renalct.formats.dicom.seg import read_segmentation, segmentation, segments_of
from renalct.formats.dicom.written import Analysis

SHAPE, SPACING, ORIGIN = (40, 32, 24), (0.8, 0.7, 2.5), (-110.5, -90.25, -300.0)
SERIES = made_series(SHAPE, spacing=SPACING, origin=ORIGIN)
GRID = SERIES.volume.grid
LENGTH_MM = np.asarray(SPACING) * (np.asarray(SHAPE) - 1)
"""From the first to the last voxel centre along columns (x), rows (y) and slices (z)."""


def saved(folder, series, change=None, findings=made_findings):
    """The path of a segmentation of findings, changed as a Dataset before it is saved."""
    analysis = Analysis.of(series, made_report(findings(series.volume.grid)), SETTINGS)
    seg = segmentation(analysis, segments_of(analysis))
    if change is not None:
        change(seg)
    seg.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"


def small_findings(grid):
    """A kidney and a cyst that fit on every grid of these tests and look different along every axis."""
    kidney = made_kidney(grid, Side.LEFT, box_mask((4, 5, 4), (14, 12, 16)))
    return Findings((kidney,), (made_mass(grid, 1, Side.LEFT, box_mask((16, 3, 2), (20, 9, 7)), MassClass.CYSTIC),))


def typed(number, value, scheme, label=None):
    """A change: another property type for one segment."""

    def change(seg):
        item = seg.SegmentSequence[number - 1]
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning = value, scheme, "changed"
        if "SegmentedPropertyTypeModifierCodeSequence" in kind:
            del kind.SegmentedPropertyTypeModifierCodeSequence
        item.SegmentLabel = label or item.SegmentLabel

    return change


def flipped():
    x, y, _ = LENGTH_MM
    other = made_series(SHAPE, spacing=SPACING, directions=PRONE, origin=np.add(ORIGIN, (x, y, 0)))
    return other, lambda values: values[::-1, ::-1, :]


def transposed_and_reversed():
    columns, rows, slices = SHAPE
    other = made_series(
        (rows, columns, slices),
        spacing=(SPACING[1], SPACING[0], SPACING[2]),
        directions=((0, 1, 0), (1, 0, 0)),
        origin=np.add(ORIGIN, (0, 0, LENGTH_MM[2])),
    )
    return other, lambda values: values.transpose(1, 0, 2)[:, :, ::-1]


def sagittal_of_the_same_voxels():
    columns, rows, slices = SHAPE
    other = made_series(
        (rows, slices, columns),
        spacing=(SPACING[1], SPACING[2], SPACING[0]),
        directions=((0, 1, 0), (0, 0, -1)),
        origin=np.add(ORIGIN, (LENGTH_MM[0], 0, LENGTH_MM[2])),
    )
    return other, lambda values: values.transpose(2, 0, 1)[::-1, :, ::-1]


def part_of_the_field():
    other = made_series((38, 30, 20), spacing=SPACING, origin=np.add(ORIGIN, np.multiply((2, 1, 3), SPACING)))
    return other, lambda values: np.pad(values, ((2, 0), (1, 1), (3, 1)))


@pytest.mark.parametrize(
    "grids",
    [flipped, transposed_and_reversed, sagittal_of_the_same_voxels, part_of_the_field],
    ids=lambda grids: grids.__name__,
)
def test_frames_with_other_axes_are_placed_by_their_geometry(grids, tmp_path):
    other, onto_grid = grids()
    path = saved(tmp_path, other, findings=small_findings)
    np.testing.assert_array_equal(
        read_segmentation(path, GRID).values, onto_grid(read_segmentation(path, other.volume.grid).values)
    )


def test_a_gap_between_two_frames_of_a_segment_stays_empty(tmp_path):
    path = saved(tmp_path, SERIES)
    cyst = read_segmentation(path, GRID).values == Structure.CYST
    assert np.flatnonzero(cyst.any(axis=(0, 1))).tolist() == [9, 10, 12, 13]


def test_shuffled_frames_and_segments_are_read_the_same(tmp_path):
    expected = read_segmentation(saved(tmp_path, SERIES), GRID).values

    def shuffle(seg):
        order = np.random.default_rng(5).permutation(seg.NumberOfFrames)
        size = seg.Rows * seg.Columns // 8
        seg.PixelData = b"".join(seg.PixelData[n * size : (n + 1) * size] for n in order)
        seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[n] for n in order]
        seg.SegmentSequence = seg.SegmentSequence[::-1]

    np.testing.assert_array_equal(read_segmentation(saved(tmp_path, SERIES, shuffle), GRID).values, expected)


@pytest.mark.parametrize(
    ("value", "scheme", "label", "structure"),
    [
        ("T-71000", "SRT", None, Structure.KIDNEY),
        ("108369006", "SCT", None, Structure.TUMOR),
        ("702391001", "SCT", None, Structure.TUMOR),
        ("367643001", "SCT", None, Structure.CYST),
        ("85756007", "SCT", "Renal_Cyst", Structure.CYST),
        ("85756007", "SCT", "AML", Structure.ANGIOMYOLIPOMA),
    ],
)
def test_segments_of_other_tools_are_known_by_code_and_only_by_name_when_the_code_says_tissue(
    value, scheme, label, structure, tmp_path
):
    path = saved(tmp_path, SERIES, typed(3, value, scheme, label))
    assert read_segmentation(path, GRID).values[10, 13, 9] == structure


def test_the_class_of_a_mass_survives_as_cyst_or_angiomyolipoma(tmp_path):
    def to_aml(seg):
        modifier = seg.SegmentSequence[2].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
        modifier[0].CodeValue = "AML"

    values = read_segmentation(saved(tmp_path, SERIES, to_aml), GRID).values
    assert values[10, 13, 9] == Structure.ANGIOMYOLIPOMA and values[27, 7, 9] == Structure.CYST


def liver_region(seg):
    region = seg.SegmentSequence[2].AnatomicRegionSequence[0]
    region.CodeValue, region.CodeMeaning = "10200004", "Liver"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (typed(2, "10200004", "SCT", "liver"), "segment 2 .'liver', code 10200004 of SCT. is no kidney"),
        (typed(2, "78961009", "SCT", "kidney"), "segment 2 .'kidney', code 78961009 of SCT. is no kidney"),
        (typed(2, "85756007", "SCT", "kidny"), "did you mean 'kidney'"),
        (liver_region, "code 10200004 of SCT. is no kidney"),
    ],
    ids=["another organ", "a name against its code", "a misspelt name", "a mass of another organ"],
)
def test_a_segment_that_is_no_renal_structure_is_refused(change, words, tmp_path):
    with pytest.raises(LabelError, match=words):
        read_segmentation(saved(tmp_path, SERIES, change), GRID)


def test_another_frame_of_reference_is_refused(tmp_path):
    other = Grid(GRID.shape, GRID.affine, "1.2.3.4.6")
    with pytest.raises(GeometryError, match=r"frame of reference 1\.2\.3\.4\.5, the image has 1\.2\.3\.4\.6"):
        read_segmentation(saved(tmp_path, SERIES), other)


def test_a_grid_without_a_frame_of_reference_is_judged_by_its_geometry_alone(tmp_path):
    path = saved(tmp_path, SERIES)
    np.testing.assert_array_equal(
        read_segmentation(path, Grid(GRID.shape, GRID.affine)).values, read_segmentation(path, GRID).values
    )


def moved(by_mm):
    affine = GRID.affine.copy()
    affine[:3, 3] += by_mm
    return Grid(GRID.shape, affine, GRID.frame_of_reference_uid)


@pytest.mark.parametrize(
    "grid",
    [
        moved((0.1, 0, 0)),
        moved((0, 0, 1.0)),
        moved((0, 0, 250.0)),
        Grid(GRID.shape, GRID.affine @ np.diag([1.01, 1, 1, 1]), GRID.frame_of_reference_uid),
        Grid((20, 32, 24), GRID.affine, GRID.frame_of_reference_uid),
    ],
    ids=["an eighth of a pixel off", "between slices", "elsewhere", "other spacing", "smaller"],
)
def test_frames_that_are_not_on_the_grid_are_refused_with_their_place(grid, tmp_path):
    with pytest.raises(GeometryError, match=r"a frame of the segmentation seg.dcm at \(-110.50, -90.25, -2\d\d"):
        read_segmentation(saved(tmp_path, SERIES), grid)


def test_what_is_no_segmentation_is_refused(tmp_path):
    (tmp_path / "text.dcm").write_text("not DICOM")
    with pytest.raises(InputError, match=r"text.dcm cannot be read as a DICOM file"):
        read_segmentation(tmp_path / "text.dcm", GRID)
    slice_header = SERIES.headers[0]
    slice_header.save_as(tmp_path / "ct.dcm", implicit_vr=False, little_endian=True)
    with pytest.raises(InputError, match=r"ct.dcm"):
        read_segmentation(tmp_path / "ct.dcm", GRID)


def test_voxels_of_a_segment_that_is_not_described_are_refused(tmp_path):
    def forget(seg):
        seg.SegmentSequence = seg.SegmentSequence[:-1]

    with pytest.raises(LabelError, match="voxels of segment 5, which it does not describe"):
        read_segmentation(saved(tmp_path, SERIES, forget), GRID)


def test_a_fractional_segmentation_counts_above_one_half(tmp_path):
    def one_kidney(grid):
        return Findings((made_kidney(grid, Side.LEFT, box_mask((0, 0, 0), (2, 1, 1))),))

    seg = pydicom.dcmread(saved(tmp_path, SERIES, findings=one_kidney))
    seg.SegmentationType, seg.MaximumFractionalValue, seg.SegmentationFractionalType = "FRACTIONAL", 200, "PROBABILITY"
    seg.BitsAllocated = seg.BitsStored = 8
    seg.HighBit = 7
    pixels = np.zeros((32, 40), np.uint8)
    pixels[0, :3] = 100, 101, 200
    seg.PixelData = pixels.tobytes()
    seg.save_as(tmp_path / "seg.dcm")
    assert np.argwhere(read_segmentation(tmp_path / "seg.dcm", GRID).values).tolist() == [[1, 0, 0], [2, 0, 0]]
