import highdicom
import numpy as np
import pydicom
import pytest
from dicom_findings import (
    FEET_FIRST,
    NOW,
    OBLIQUE,
    PRONE,
    SETTINGS,
    box_mask,
    made_findings,
    made_kidney,
    made_mass,
    made_report,
    made_series,
)
from dicom_peers import dciodvfy_errors, dcmqi_labels, dcmqi_segments
from renalct.core.errors import GeometryError
from renalct.core.findings import Findings
from renalct.core.grid import Box
from renalct.core.labels import MassClass, Side, Structure
from renalct.core.volume import Mask
from renalct.formats.dicom.objects import ObjectSettings, SegmentationEncoding, SliceRange
from renalct.formats.dicom.seg import MOST_FRAMES, read_segmentation, segmentation, segments_of
from renalct.formats.dicom.written import Analysis
from scipy.spatial import cKDTree

SAME_PLACE_MM = 1e-3


def written(path, series, findings, settings=SETTINGS):
    """The segmentation of findings, saved; and what it was made of."""
    analysis = Analysis.of(series, made_report(findings), settings)
    segments = segments_of(analysis)
    seg = segmentation(analysis, segments)
    seg.save_as(path, enforce_file_format=True)
    return pydicom.dcmread(path), segments


def places(grid, mask):
    """Patient coordinates (RAS+, mm) of the voxels of a mask."""
    return grid.to_patient(np.argwhere(mask.voxels) + mask.box.start)


def assert_same_places(found, expected):
    assert len(found) == len(expected)
    assert cKDTree(found).query(expected)[0].max() <= SAME_PLACE_MM


def highdicom_segments(path):
    """Patient coordinates (RAS+, mm) of the voxels of each segment as highdicom reads them, by segment number."""
    seg = highdicom.seg.segread(path)
    volume = seg.get_volume(allow_missing_positions=True)
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    return {
        number: np.argwhere(volume.array[..., n]) @ to_ras[:3, :3].T + to_ras[:3, 3]
        for n, number in enumerate(seg.segment_numbers)
    }


def code(item):
    return item.CodeValue, item.CodingSchemeDesignator


CASES = {
    "axial": {},
    "prone": {"directions": PRONE},
    "feet first, slices downwards": {"directions": FEET_FIRST},
    "oblique": {"directions": OBLIQUE},
    "non-square pixels": {"spacing": (0.5, 1.25, 3.0)},
    "rows no multiple of 8": {"shape": (37, 29, 19)},
    "enhanced multi-frame": {"multiframe": True},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_segment_is_at_the_same_place_in_the_array_and_for_highdicom_and_dcmqi(case, tmp_path):
    series = made_series(**case)
    grid = series.volume.grid
    _, segments = written(tmp_path / "seg.dcm", series, made_findings(grid))
    by_highdicom = highdicom_segments(tmp_path / "seg.dcm")
    by_dcmqi = dcmqi_segments(tmp_path / "seg.dcm", tmp_path / "dcmqi")
    assert len(segments) == len(by_highdicom) == len(by_dcmqi) == 5
    for segment in segments:
        expected = places(grid, segment.mask)
        assert_same_places(by_highdicom[segment.number], expected)
        assert_same_places(by_dcmqi[segment.number], expected)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_reading_back_gives_the_label_map_that_the_findings_paint(case, tmp_path):
    series = made_series(**case)
    grid = series.volume.grid
    findings = made_findings(grid)
    expected = np.zeros(grid.shape, np.uint8)
    for kidney in findings.kidneys:
        kidney.mask.paint(expected, Structure.KIDNEY)
    for mass in findings.masses:
        mass.mask.paint(expected, mass.structure)
    written(tmp_path / "seg.dcm", series, findings)
    np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm", grid).values, expected)


@pytest.mark.parametrize("structure", [Structure.TUMOR, Structure.CYST])
def test_a_mass_of_unknown_class_reads_back_as_what_it_was_segmented_as(structure, tmp_path):
    series = made_series()
    grid = series.volume.grid
    mask = box_mask((10, 10, 5), (14, 14, 8))
    mass = made_mass(grid, 1, Side.LEFT, mask, MassClass.UNKNOWN, segmented_as=structure)
    written(tmp_path / "seg.dcm", series, Findings((), (mass,)))
    values = read_segmentation(tmp_path / "seg.dcm", grid).values
    assert set(np.unique(values)) == {Structure.BACKGROUND, structure} and (values > 0).sum() == mask.count


def test_codes_say_kidney_mass_side_and_class(tmp_path):
    series = made_series()
    seg, _ = written(tmp_path / "seg.dcm", series, made_findings(series.volume.grid))
    right_kidney, left_kidney, solid, cyst, unknown = seg.SegmentSequence
    for item, side in ((right_kidney, "24028007"), (left_kidney, "7771000")):
        assert code(item.SegmentedPropertyCategoryCodeSequence[0]) == ("91723000", "SCT")
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        assert code(kind) == ("64033007", "SCT")
        assert code(kind.SegmentedPropertyTypeModifierCodeSequence[0]) == (side, "SCT")
    for item, side in ((solid, "24028007"), (cyst, "7771000"), (unknown, "7771000")):
        assert code(item.SegmentedPropertyCategoryCodeSequence[0]) == ("49755003", "SCT")
        assert code(item.SegmentedPropertyTypeCodeSequence[0]) == ("4147007", "SCT")
        assert code(item.AnatomicRegionSequence[0]) == ("64033007", "SCT")
        assert code(item.AnatomicRegionSequence[0].AnatomicRegionModifierSequence[0]) == (side, "SCT")
    classes = [
        item.SegmentedPropertyTypeCodeSequence[0].get("SegmentedPropertyTypeModifierCodeSequence")
        for item in (solid, cyst, unknown)
    ]
    assert [found and code(found[0]) for found in classes] == [("SOLID", "99RENALCT"), ("CYSTIC", "99RENALCT"), None]
    assert seg.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99RENALCT"


def test_segments_are_automatic_named_colored_and_tracked(tmp_path):
    series = made_series()
    seg, _ = written(tmp_path / "seg.dcm", series, made_findings(series.volume.grid))
    names = ["Kidney R", "Kidney L", "Mass R1", "Mass L2", "Mass L3"]
    assert [item.TrackingID for item in seg.SegmentSequence] == names
    assert len({item.TrackingUID for item in seg.SegmentSequence}) == 5
    assert [item.SegmentLabel for item in seg.SegmentSequence][1:3] == ["Left kidney", "Mass R1 (right kidney)"]
    for item in seg.SegmentSequence:
        assert item.SegmentAlgorithmType == "AUTOMATIC" and len(item.RecommendedDisplayCIELabValue) == 3
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("starter 0.1", "0.1")
        assert "not for clinical use" in item.SegmentDescription
        assert "Trained on made volumes only." in item.SegmentDescription
    assert "not for clinical use" in seg.SeriesDescription and "not for clinical use" in seg.ContentDescription


def test_an_undetermined_side_has_no_laterality_and_two_such_kidneys_have_two_names(tmp_path):
    series = made_series()
    grid = series.volume.grid
    kidneys = [made_kidney(grid, Side.UNDETERMINED, box_mask((i, 2, 2), (i + 3, 6, 6))) for i in (2, 20)]
    mass = made_mass(grid, 1, Side.UNDETERMINED, box_mask((5, 2, 2), (9, 6, 6)))
    seg, _ = written(tmp_path / "seg.dcm", series, Findings(tuple(kidneys), (mass,)))
    assert [item.TrackingID for item in seg.SegmentSequence] == ["Kidney U1", "Kidney U2", "Mass U1"]
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["Kidney", "Kidney", "Mass U1 (kidney)"]
    kind = seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert "SegmentedPropertyTypeModifierCodeSequence" not in kind
    assert "AnatomicRegionModifierSequence" not in seg.SegmentSequence[2].AnatomicRegionSequence[0]
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []


@pytest.mark.parametrize(
    ("slices", "first", "count"), [(SliceRange.FINDINGS, 4, 14), (SliceRange.SOURCE, 0, 24)], ids=["findings", "source"]
)
def test_every_segment_has_a_frame_on_every_slice_of_the_range(slices, first, count, tmp_path):
    series = made_series()
    settings = ObjectSettings(now=NOW, slices=slices)
    seg, _ = written(tmp_path / "seg.dcm", series, made_findings(series.volume.grid), settings)
    assert seg.NumberOfFrames == 5 * count
    positions = {
        float(item.PlanePositionSequence[0].ImagePositionPatient[2]) for item in seg.PerFrameFunctionalGroupsSequence
    }
    assert sorted(positions) == pytest.approx([-300.0 + 2.5 * k for k in range(first, first + count)])
    sources = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert [item.ReferencedSOPInstanceUID for item in sources] == [
        f"1.2.3.9.{k + 1}" for k in range(first, first + count)
    ]


def test_frames_of_an_enhanced_image_are_referenced_by_their_numbers(tmp_path):
    series = made_series(multiframe=True)
    seg, _ = written(tmp_path / "seg.dcm", series, made_findings(series.volume.grid))
    assert len(seg.SourceImageSequence) == 1
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 1
    for item in seg.PerFrameFunctionalGroupsSequence:
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        k = round((float(item.PlanePositionSequence[0].ImagePositionPatient[2]) + 300.0) / 2.5)
        assert source.ReferencedSOPInstanceUID == "1.2.3.9"
        assert source.ReferencedFrameNumber == series.frame_numbers[k] == 24 - k


def test_a_labelmap_segmentation_holds_the_same_voxels(tmp_path):
    series = made_series()
    grid = series.volume.grid
    findings = made_findings(grid)
    settings = ObjectSettings(now=NOW, encoding=SegmentationEncoding.LABELMAP)
    seg, segments = written(tmp_path / "labels.dcm", series, findings, settings)
    assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7" and seg.NumberOfFrames == 14
    written(tmp_path / "seg.dcm", series, findings)
    np.testing.assert_array_equal(
        read_segmentation(tmp_path / "labels.dcm", grid).values, read_segmentation(tmp_path / "seg.dcm", grid).values
    )
    by_dcmqi = dcmqi_labels(tmp_path / "labels.dcm", tmp_path / "dcmqi")
    for segment in segments:
        assert_same_places(by_dcmqi[segment.number], places(grid, segment.mask))


def test_overlapping_masks_both_keep_their_voxels_and_a_mass_lies_on_its_kidney(tmp_path):
    series = made_series()
    grid = series.volume.grid
    kidney = made_kidney(grid, Side.LEFT, box_mask((4, 4, 4), (14, 14, 10)))
    mass = made_mass(grid, 1, Side.LEFT, box_mask((8, 8, 6), (18, 18, 12)), MassClass.CYSTIC)
    seg, segments = written(tmp_path / "seg.dcm", series, Findings((kidney,), (mass,)))
    assert seg.SegmentsOverlap == "YES"
    by_highdicom = highdicom_segments(tmp_path / "seg.dcm")
    for segment in segments:
        assert_same_places(by_highdicom[segment.number], places(grid, segment.mask))
    values = read_segmentation(tmp_path / "seg.dcm", grid).values
    assert np.bincount(values.ravel(), minlength=5).tolist() == [values.size - 1056, 456, 0, 600, 0]


def test_kidneys_without_a_mass_and_a_single_voxel_on_the_last_slice_are_valid(tmp_path):
    series = made_series()
    grid = series.volume.grid
    findings = Findings((made_kidney(grid, Side.RIGHT, box_mask((39, 31, 23), (40, 32, 24))),))
    seg, _ = written(tmp_path / "seg.dcm", series, findings)
    assert seg.NumberOfFrames == 1
    assert np.argwhere(read_segmentation(tmp_path / "seg.dcm", grid).values).tolist() == [[39, 31, 23]]
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []


def test_without_findings_there_is_no_segmentation():
    series = made_series()
    analysis = Analysis.of(series, made_report(Findings()), SETTINGS)
    assert segments_of(analysis) == () and segmentation(analysis, ()) is None


def test_300_masses_leave_out_the_frames_in_which_they_are_absent(tmp_path):
    series = made_series((48, 40, 30))
    grid = series.volume.grid
    masses = []
    for n in range(300):
        i, j, k = 2 * (n % 20), 2 * (n // 20 % 15), 2 * (n // 300) + 3 * (n % 9)
        masses.append(made_mass(grid, n + 1, Side.LEFT, box_mask((i, j, k), (i + 1, j + 1, k + 2)), MassClass.AML))
    seg, segments = written(tmp_path / "seg.dcm", series, Findings((), tuple(masses)))
    assert MOST_FRAMES < 300 * 26 and seg.NumberOfFrames == 600 and len(segments) == 300
    values = read_segmentation(tmp_path / "seg.dcm", grid).values
    assert np.bincount(values.ravel()).tolist() == [values.size - 600, 0, 0, 0, 600]
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []


def test_findings_of_another_image_are_refused():
    findings = made_findings(made_series().volume.grid)
    analysis = Analysis.of(made_series((30, 32, 24)), made_report(findings), SETTINGS)
    with pytest.raises(GeometryError, match=r"Kidney L reaches outside the \(30, 32, 24\) voxels"):
        segments_of(analysis)


def test_a_mask_that_is_empty_has_no_segment():
    series = made_series()
    grid = series.volume.grid
    empty = Mask(Box((1, 1, 1), (3, 3, 3)), np.zeros((2, 2, 2), bool))
    kidney = made_kidney(grid, Side.LEFT, box_mask((4, 4, 4), (8, 8, 8)))
    mass = made_mass(grid, 1, Side.LEFT, box_mask((5, 5, 5), (6, 6, 6)))
    findings = Findings((kidney,), (type(mass)(**{**vars(mass), "mask": empty}),))
    analysis = Analysis.of(series, made_report(findings), SETTINGS)
    assert [segment.name for segment in segments_of(analysis)] == ["Kidney L"]
