"""Slices become a regular grid, or are refused with slice and number."""

import numpy as np
import pytest
from dicom_corpus import made_multiframe, made_slices, only_series, save, save_one, set_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from renalct.core.errors import GeometryError
from renalct.formats.dicom.geometry import stack_slices
from renalct.formats.dicom.scan import scan_study


def moved(slices, by):
    """Slices shifted by vectors `by[k]` (mm, LPS)."""
    for k, shift in by.items():
        position = np.array([float(v) for v in slices[k].ImagePositionPatient]) + shift
        slices[k].ImagePositionPatient = [round(float(v), 6) for v in position]
    return slices


def refusal(slices, folder):
    series = only_series(save(slices, folder))
    with pytest.raises(GeometryError) as error:
        stack_slices(series)
    return str(error.value)


def test_a_missing_slice_names_its_position(tmp_path):
    slices = made_slices()
    del slices[2]
    message = refusal(slices, tmp_path)
    assert message == (
        "series 1.2.3.4 has gaps: 1 of 6 slice positions is missing, at z = -305 mm; export the complete series"
    )


def test_missing_slices_are_counted_and_the_first_named(tmp_path):
    slices = made_slices(20)
    kept = [s for k, s in enumerate(slices) if k not in (3, 4, 5, 11, 15)]
    message = refusal(kept, tmp_path)
    assert "5 of 20 slice positions are missing" in message
    assert "z = -302.5 mm, z = -300 mm, z = -297.5 mm and 2 more" in message


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 14), min_size=1, max_size=4))
def test_any_missing_slices_are_counted(tmp_path_factory, missing):
    kept = [s for k, s in enumerate(made_slices(16)) if k not in missing]
    message = refusal(kept, tmp_path_factory.mktemp("study"))
    assert f"{len(missing)} of 16 slice positions" in message


def test_two_images_at_one_position_are_both_named(tmp_path):
    slices = made_slices()
    (twin,) = made_slices(1, origin=(-120.5, -80.25, -302.5))
    twin.SOPInstanceUID, twin.InstanceNumber = "1.2.3.4.9.99", 99
    message = refusal([*slices, twin], tmp_path)
    assert "1 duplicate slice: z = -302.5 mm (InstanceNumber 4, IM0004.dcm)" in message
    assert "z = -302.5 mm (InstanceNumber 99, IM0007.dcm)" in message


def test_a_slice_out_of_line_is_named_with_its_distance(tmp_path):
    message = refusal(moved(made_slices(), {3: (0, 0, 0.6)}), tmp_path)
    assert "irregular: 3.1 mm between z = -305 mm (InstanceNumber 3, IM0003.dcm) and the next" in message
    assert "usually 2.5 mm" in message


def test_a_slice_shifted_sideways_is_named(tmp_path):
    message = refusal(moved(made_slices(), {2: (0.4, 0.3, 0)}), tmp_path)
    assert "z = -305 mm (InstanceNumber 3, IM0003.dcm) lies 0.50 mm from where" in message


def test_slices_that_drift_apart_slowly_are_refused(tmp_path):
    slices = made_slices(40)
    message = refusal(moved(slices, {k: (0, 0, 0.02 * (k - 20)) for k in range(20, 40)}), tmp_path)
    assert "irregular" in message


def test_positions_rounded_to_a_tenth_of_a_millimetre_are_accepted(tmp_path):
    slices = made_slices(30, step=1.25)
    for dataset in slices:
        dataset.ImagePositionPatient = [round(float(v), 1) for v in dataset.ImagePositionPatient]
    stack = stack_slices(only_series(save(slices, tmp_path)))
    assert stack.grid.spacing_mm[2] == pytest.approx(1.25, abs=0.1 / 29)


@pytest.mark.parametrize("degrees", [-25, -1, 0.2, 1, 12, 30])
def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path, degrees):
    slices = made_slices(12)
    shift = np.tan(np.radians(degrees)) * 2.5
    message = refusal(moved(slices, {k: (0, k * shift, 0) for k in range(12)}), tmp_path)
    assert "tilted gantry" in message
    assert f"({abs(degrees):.1f} degrees)" in message
    assert "from z = -310 mm (InstanceNumber 1, IM0001.dcm)" in message


def test_images_of_a_tilted_gantry_that_move_along_the_table_are_refused(tmp_path):
    """As scanners write it: the image plane is turned by 10 degrees, the positions follow the table."""
    angle = np.radians(10)
    slices = made_slices(orientation=(1, 0, 0, 0, np.cos(angle), np.sin(angle)))
    for k, dataset in enumerate(slices):
        dataset.ImagePositionPatient = [-120.5, -80.25, -310 + 2.5 * k]
        dataset.GantryDetectorTilt = 10
    assert "(10.0 degrees)" in refusal(slices, tmp_path)


def test_a_declared_tilt_against_upright_positions_is_refused(tmp_path):
    message = refusal(made_slices(GantryDetectorTilt=15), tmp_path)
    assert "contradicts itself: GantryDetectorTilt is 15 degrees at z = -310 mm (InstanceNumber 1" in message


def test_a_derived_upright_image_may_still_name_the_tilt_of_its_source(tmp_path):
    slices = made_slices(GantryDetectorTilt=15, ImageType=["DERIVED", "SECONDARY", "AXIAL"])
    assert stack_slices(only_series(save(slices, tmp_path))).grid.shape == (7, 5, 6)


def test_direction_cosines_rounded_to_three_decimals_are_accepted(tmp_path):
    angle = np.radians(7)
    exact = (np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0)
    slices = made_slices(orientation=exact)
    for dataset in slices:
        dataset.ImageOrientationPatient = [round(v, 3) for v in exact]
    assert stack_slices(only_series(save(slices, tmp_path))).grid.spacing_mm == pytest.approx((0.6, 0.9, 2.5))


def test_a_slice_of_another_size_is_named(tmp_path):
    slices = made_slices()
    set_pixels(slices[4], np.zeros((5, 9)))
    message = refusal(slices, tmp_path)
    assert "1 of 6 slices differ in rows x columns, first at z = -300 mm (InstanceNumber 5, IM0005.dcm)" in message
    assert "with 5 x 9 instead of 5 x 7" in message


def test_a_slice_of_another_spacing_is_named(tmp_path):
    slices = made_slices()
    slices[1].PixelSpacing = [0.9, 0.7]
    message = refusal(slices, tmp_path)
    assert "1 of 6 slices differ in PixelSpacing (mm), first at z = -307.5 mm" in message
    assert "with 0.9 x 0.7 instead of 0.9 x 0.6" in message


def test_a_slice_of_another_orientation_leaves_a_gap(tmp_path):
    slices = made_slices()
    slices[2].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    rest, single = sorted(scan_study(save(slices, tmp_path)).series, key=lambda s: -len(s.slices))
    with pytest.raises(GeometryError, match=r"missing, at z = -305 mm"):
        stack_slices(rest)
    with pytest.raises(GeometryError, match="single slice"):
        stack_slices(single)


def test_a_single_slice_is_no_volume(tmp_path):
    assert "has a single slice, at z = -310 mm (InstanceNumber 1, IM0001.dcm)" in refusal(made_slices(1), tmp_path)


def test_two_slices_are_a_volume(tmp_path):
    assert stack_slices(only_series(save(made_slices(2), tmp_path))).grid.shape == (7, 5, 2)


@pytest.mark.parametrize(
    "orientation", [(1, 0, 0, 1, 0, 0), (2, 0, 0, 0, 1, 0), (0, 0, 0, 0, 1, 0), (1, 0, 0, 0.5, 0.866025, 0)]
)
def test_directions_that_are_not_two_unit_vectors_at_right_angles_are_refused(tmp_path, orientation):
    slices = made_slices()
    for dataset in slices:
        dataset.ImageOrientationPatient = list(orientation)
    assert "not two unit vectors at right angles" in refusal(slices, tmp_path)


@pytest.mark.parametrize("spacing", [[0, 0.6], [0.9, -0.6]])
def test_a_pixel_spacing_that_is_not_positive_is_refused(tmp_path, spacing):
    assert "PixelSpacing" in refusal(made_slices(PixelSpacing=spacing), tmp_path)


def test_two_images_under_one_uid_are_refused(tmp_path):
    slices = made_slices()
    slices[3].SOPInstanceUID = slices[2].SOPInstanceUID
    message = refusal(slices, tmp_path)
    assert "two different images with one SOPInstanceUID" in message
    assert "IM0003.dcm" in message and "IM0004.dcm" in message


def test_coronal_slices_are_named_by_their_own_axis(tmp_path):
    slices = made_slices(orientation=(1, 0, 0, 0, 0, -1))
    del slices[2]
    assert "is missing, at y = -75.25 mm" in refusal(slices, tmp_path)


def test_a_missing_frame_of_an_enhanced_image_names_its_position(tmp_path):
    slices = made_slices()
    save_one(made_multiframe([*slices[:3], *slices[4:]]), tmp_path / "enhanced.dcm")
    with pytest.raises(GeometryError, match=r"1 of 6 slice positions is missing, at z = -302\.5 mm"):
        stack_slices(only_series(tmp_path))


def test_no_message_names_the_patient(tmp_path):
    slices = made_slices(PatientName="Secret^Name", PatientID="SECRET-ID", PatientBirthDate="19500101")
    del slices[2]
    message = refusal(slices, tmp_path)
    assert "SECRET" not in message.upper() and "1950" not in message
