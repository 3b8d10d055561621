"""One series that holds several volumes becomes several; one volume stays whole."""

import numpy as np
import pytest
from dicom_corpus import made_multiframe, made_slices, save, save_one, volume_hu
from hypothesis import given, settings
from hypothesis import strategies as st
from renalct.core.errors import GeometryError
from renalct.core.phase import Phase
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.geometry import stack_slices
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series


def two_volumes(first, second, *, slices=6, shift=(0.0, 0.0, 0.0), common=None):
    """Two volumes over each other in one series; the second is 500 HU brighter. `first`, `second`: their attributes."""
    common = common or {}
    one = made_slices(slices, **common, **first)
    origin = tuple(np.array((-120.5, -80.25, -310.0)) + shift)
    two = made_slices(slices, origin=origin, RescaleIntercept=500, **common, **second)
    for k, dataset in enumerate(two):
        dataset.SOPInstanceUID = f"1.2.3.4.8.{k + 1}"
        dataset.InstanceNumber = slices + k + 1
    return one + two


def parts(datasets, folder):
    return scan_study(save(datasets, folder)).series


def assert_told_apart(series, by):
    first, second = series
    assert (first.part, first.parts, second.part, second.parts) == (1, 2, 2, 2)
    assert first.split_by == second.split_by == by
    assert np.array_equal(load_series(first).volume.hu, volume_hu())
    assert np.array_equal(load_series(second).volume.hu, volume_hu() + 500)


@pytest.mark.parametrize(
    ("first", "second", "by"),
    [
        ({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}, "acquisition number"),
        ({"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}, "temporal position"),
        ({"AcquisitionTime": "101500"}, {"AcquisitionTime": "101545.5"}, "acquisition time"),
        ({}, {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]}, "image type"),
        ({"ConvolutionKernel": "B30f"}, {"ConvolutionKernel": "B70f"}, "kernel"),
        ({"KVP": 80}, {"KVP": 140}, "tube voltage"),
        ({}, {"PixelSpacing": [0.5, 0.5]}, "pixel spacing"),
        ({}, {"SliceThickness": 5}, "slice thickness"),
        ({}, {}, "instance number"),
    ],
)
def test_volumes_over_each_other_are_told_apart_by(tmp_path, first, second, by):
    assert_told_apart(parts(two_volumes(first, second), tmp_path), by)


def test_two_frames_of_reference_are_two_volumes(tmp_path):
    series = parts(two_volumes({}, {"FrameOfReferenceUID": "1.2.3.88"}), tmp_path)
    assert_told_apart(series, "frame of reference")
    assert {s.frame_of_reference_uid for s in series} == {"1.2.3.77", "1.2.3.88"}


def test_two_orientations_are_two_volumes(tmp_path):
    one = made_slices()
    two = made_slices(orientation=(1, 0, 0, 0, 0, -1))
    for dataset in two:
        dataset.SOPInstanceUID += ".1"
    series = parts(one + two, tmp_path)
    assert [len(s.slices) for s in series] == [6, 6]
    assert series[0].split_by == "orientation"
    assert all(np.array_equal(load_series(s).volume.hu, volume_hu()) for s in series)


def test_acquisition_times_that_run_on_within_each_scan_are_cut_at_the_pause(tmp_path):
    datasets = two_volumes({}, {})
    for n, dataset in enumerate(datasets):
        dataset.AcquisitionTime = f"1015{n * 0.4 + (30 if n >= 6 else 0):06.3f}"
        dataset.InstanceNumber = 1
    assert_told_apart(parts(datasets, tmp_path), "acquisition time")


def test_the_earlier_volume_comes_first(tmp_path):
    later_first = two_volumes({"AcquisitionTime": "102000"}, {"AcquisitionTime": "101500"})
    first, second = parts(later_first, tmp_path)
    assert load_series(first).volume.hu.max() == load_series(second).volume.hu.max() + 500


def test_interleaved_acquisitions_are_told_apart_though_no_position_repeats(tmp_path):
    """Shifted by half a slice they would make one even volume that alternates between two phases."""
    datasets = two_volumes({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}, shift=(0, 0, 1.25))
    assert_told_apart(parts(datasets, tmp_path), "acquisition number")


def test_acquisitions_that_follow_each_other_are_one_volume(tmp_path):
    """A scan in steps has a number for each step."""
    datasets = made_slices()
    for k, dataset in enumerate(datasets):
        dataset.AcquisitionNumber = 1 + k // 2
        dataset.AcquisitionTime = f"1015{10 * k:02d}"
    (whole,) = parts(datasets, tmp_path)
    assert np.array_equal(load_series(whole).volume.hu, volume_hu())


def test_three_phases_are_three_volumes(tmp_path):
    datasets = []
    for n in range(3):
        phase = made_slices(AcquisitionNumber=n + 1, RescaleIntercept=100 * n)
        for dataset in phase:
            dataset.SOPInstanceUID += f".{n}"
        datasets += phase
    series = parts(datasets, tmp_path)
    assert [s.parts for s in series] == [3, 3, 3]
    for n, part in enumerate(series):
        assert np.array_equal(load_series(part).volume.hu, volume_hu() + 100 * n)


def test_phases_with_two_kernels_each_are_four_volumes(tmp_path):
    datasets = []
    for number in (1, 2):
        for kernel in ("B30f", "B60f"):
            made = made_slices(AcquisitionNumber=number, ConvolutionKernel=kernel)
            for dataset in made:
                dataset.SOPInstanceUID += f".{number}.{kernel[1:3]}"
            datasets += made
    series = parts(datasets, tmp_path)
    assert [len(s.slices) for s in series] == [6, 6, 6, 6]
    assert {s.split_by for s in series} == {"acquisition number, kernel"}


def test_one_repeated_slice_that_nothing_tells_apart_is_refused_by_its_position(tmp_path):
    datasets = made_slices()
    twin = made_slices()[3]
    twin.SOPInstanceUID, twin.InstanceNumber = "1.2.3.4.8.1", 7
    (whole,) = parts([*datasets, twin], tmp_path)
    with pytest.raises(GeometryError, match=r"duplicate slice: z = -302\.5 mm"):
        stack_slices(whole)


def test_one_picture_of_another_kind_in_the_series_does_not_spoil_it(tmp_path):
    datasets = made_slices()
    twin = made_slices(ImageType=["DERIVED", "SECONDARY", "OTHER"])[3]
    twin.SOPInstanceUID = "1.2.3.4.8.1"
    volume, picture = sorted(parts([*datasets, twin], tmp_path), key=lambda s: -len(s.slices))
    assert np.array_equal(load_series(volume).volume.hu, volume_hu())
    assert len(picture.slices) == 1


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)))
def test_the_order_of_files_does_not_matter(tmp_path_factory, order):
    datasets = two_volumes({"AcquisitionNumber": 1}, {"AcquisitionNumber": 2})
    series = parts([datasets[n] for n in order], tmp_path_factory.mktemp("study"))
    assert_told_apart(series, "acquisition number")


def test_two_enhanced_images_of_one_series_are_two_volumes(tmp_path):
    save_one(made_multiframe(made_slices()), tmp_path / "a.dcm")
    save_one(made_multiframe(made_slices(), SOPInstanceUID="1.2.3.4.9.2"), tmp_path / "b.dcm")
    series = scan_study(tmp_path).series
    assert [s.split_by for s in series] == ["image", "image"]
    assert all(np.array_equal(load_series(s).volume.hu, volume_hu()) for s in series)


def test_temporal_positions_of_an_enhanced_image_are_two_volumes(tmp_path):
    frames = []
    for k in range(6):  # frames alternate between two phases, as scanners may write them
        for n in (1, 2):
            frame = made_slices(TemporalPositionIndex=n, RescaleIntercept=500 * (n - 1))[k]
            frames.append(frame)
    save_one(made_multiframe(frames), tmp_path / "enhanced.dcm")
    series = scan_study(tmp_path).series
    assert_told_apart(series, "temporal position")
    assert load_series(series[0]).frame_numbers == (1, 3, 5, 7, 9, 11)
    assert load_series(series[1]).frame_numbers == (2, 4, 6, 8, 10, 12)


def test_phases_within_a_series_have_phases_of_their_own_by_their_delay(tmp_path):
    common = {"ContrastBolusAgent": "IOMERON", "ContrastBolusStartTime": "101500"}
    datasets = two_volumes({"AcquisitionTime": "101530"}, {"AcquisitionTime": "101640"}, common=common)
    scan = scan_study(save(datasets, tmp_path))
    phases = [load_series(s).volume.phase for s in scan.series]
    assert [p.phase for p in phases] == [Phase.CORTICOMEDULLARY, Phase.NEPHROGRAPHIC]
    assert "100 s after the start of the injection" in phases[1].evidence
    choice = choose_series(scan)
    assert choice.chosen is scan.series[1]
    assert choice.other_phases == (scan.series[0],)
    assert choice.notices == ("Series 1.2.3.4 holds 2 volumes, told apart by acquisition time; volume 2 was read.",)
