from dataclasses import replace
from datetime import datetime

import numpy as np
import pydicom
import pytest
from dicom_findings import FEET_FIRST, OBLIQUE, PRONE, made_series
from dicom_peers import dciodvfy_errors, dcmqi_segments
from renalct.core.errors import GeometryError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation
from renalct.formats.dicom.seg_reading import read_segmentation

ORIGIN = LabelOrigin("anna", 3, datetime(2026, 3, 4, 12, 30))
KIDNEY, TUMOR, CYST, AML = (Structure.KIDNEY, Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA)


def labelled(series, *structures):
    """A box of 4 x 3 x 2 voxels of each structure, from slice 5 on, two slices further each time."""
    values = np.zeros(series.volume.grid.shape, np.uint8)
    for n, structure in enumerate(structures):
        values[10:14, 6:9, 5 + 2 * n : 7 + 2 * n] = structure
    return LabelMap(values, series.volume.grid)


def saved(path, series, label_map, origin=ORIGIN):
    label_segmentation(series, label_map, origin).save_as(path, enforce_file_format=True)
    return pydicom.dcmread(path)


@pytest.mark.parametrize("structures", [(KIDNEY, TUMOR, CYST, AML), (KIDNEY, CYST), (AML,), (CYST, TUMOR)])
def test_what_is_read_back_is_what_was_labelled_whichever_classes_are_absent(tmp_path, structures):
    series = made_series()
    label_map = labelled(series, *structures)
    saved(tmp_path / "seg.dcm", series, label_map)
    assert np.array_equal(read_segmentation(tmp_path / "seg.dcm", series.volume.grid).values, label_map.values)


@pytest.mark.parametrize("directions", [PRONE, FEET_FIRST, OBLIQUE])
def test_every_orientation_comes_back_in_its_place(tmp_path, directions):
    series = made_series(directions=directions)
    label_map = labelled(series, KIDNEY, TUMOR)
    saved(tmp_path / "seg.dcm", series, label_map)
    assert np.array_equal(read_segmentation(tmp_path / "seg.dcm", series.volume.grid).values, label_map.values)


def test_frames_of_an_enhanced_image_are_referred_to_by_their_number(tmp_path):
    series = made_series(multiframe=True)
    label_map = labelled(series, KIDNEY)
    seg = saved(tmp_path / "seg.dcm", series, label_map)
    groups = seg.PerFrameFunctionalGroupsSequence
    sources = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in groups]
    found = {(source.ReferencedSOPInstanceUID, int(source.ReferencedFrameNumber)) for source in sources}
    assert found == {("1.2.3.9", 24 - 5), ("1.2.3.9", 24 - 6)}  # slice k of the volume is frame 24 - k
    assert np.array_equal(read_segmentation(tmp_path / "seg.dcm", series.volume.grid).values, label_map.values)


def test_segments_carry_the_codes_and_names_of_their_structures(tmp_path):
    series = made_series()
    seg = saved(tmp_path / "seg.dcm", series, labelled(series, KIDNEY, TUMOR, CYST, AML))
    found = {}
    for item in seg.SegmentSequence:
        category, coded = item.SegmentedPropertyCategoryCodeSequence[0], item.SegmentedPropertyTypeCodeSequence[0]
        region = [r.CodeValue for r in item.get("AnatomicRegionSequence", [])]
        modifier = [m.CodeValue for m in coded.get("SegmentedPropertyTypeModifierCodeSequence", [])]
        found[item.SegmentLabel] = (category.CodeValue, coded.CodeValue, region, modifier)
    assert found == {
        "kidney": ("91723000", "64033007", [], []),
        "tumor": ("49755003", "4147007", ["64033007"], []),
        "cyst": ("49755003", "367643001", ["64033007"], []),
        "angiomyolipoma": ("49755003", "4147007", ["64033007"], ["AML"]),
    }


def test_author_and_version_are_in_the_description_and_the_patient_is_the_image_s(tmp_path):
    series = made_series()
    seg = saved(tmp_path / "seg.dcm", series, labelled(series, KIDNEY))
    assert seg.SeriesDescription == "renalct label v3 by anna (not for clinical use)"
    assert (seg.ContentCreatorName, seg.PatientID, seg.StudyInstanceUID) == ("anna^", "PHANTOM", "1.2.3.1")
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.2"
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_a_label_that_began_with_a_model_names_the_model(tmp_path):
    series = made_series()
    seg = saved(tmp_path / "seg.dcm", series, labelled(series, KIDNEY), replace(ORIGIN, release="ab" * 32))
    assert seg.SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert "ab" * 30 in seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters


def test_the_same_version_is_the_same_bytes_and_another_one_another_object(tmp_path):
    series = made_series()
    label_map, other = labelled(series, KIDNEY), labelled(series, TUMOR)
    first = saved(tmp_path / "a.dcm", series, label_map)
    saved(tmp_path / "b.dcm", series, label_map)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    others = [
        label_segmentation(series, other, ORIGIN),
        label_segmentation(series, label_map, replace(ORIGIN, number=4)),
        label_segmentation(series, label_map, replace(ORIGIN, author="ben")),
    ]
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({first[keyword].value, *(seg[keyword].value for seg in others)}) == 4


def test_an_empty_label_map_has_no_object():
    series = made_series()
    assert label_segmentation(series, labelled(series), ORIGIN) is None


def test_a_label_map_of_another_grid_is_refused():
    series = made_series()
    moved = Grid(series.volume.grid.shape, series.volume.grid.affine + np.eye(4) * 0.5, "1.2.3.4.5")
    with pytest.raises(GeometryError, match=r"does not lie on series 1\.2\.3\.2"):
        label_segmentation(series, LabelMap(np.zeros(moved.shape, np.uint8), moved), ORIGIN)


def test_other_programs_find_no_error_and_the_same_voxels(tmp_path):
    series = made_series()
    saved(tmp_path / "seg.dcm", series, labelled(series, KIDNEY, CYST, AML), replace(ORIGIN, release="ab" * 32))
    assert dciodvfy_errors(tmp_path / "seg.dcm") == []
    assert {n: len(places) for n, places in dcmqi_segments(tmp_path / "seg.dcm", tmp_path / "out").items()} == {
        1: 24, 2: 24, 3: 24,
    }  # fmt: skip
