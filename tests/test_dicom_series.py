"""Loaded series: right in every voxel and every millimetre, whatever the order, position and encoding."""

import numpy as np
import pytest
from dicom_corpus import (
    COLUMNS,
    ORIGIN_MM,
    PATIENT_POSITIONS,
    ROWS,
    SLICES,
    SPACING_MM,
    STEP_MM,
    load,
    made_multiframe,
    made_slices,
    only_series,
    save,
    save_one,
    volume_hu,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from renalct.core.phase import Phase
from renalct.formats.dicom.splitting import split_slices


def in_patient(orientation, column, row, k, origin=ORIGIN_MM):
    """Where a pixel lies by PS3.3 C.7.6.2.1.1, computed one term after the other, in RAS."""
    row_direction, column_direction = np.array(orientation[:3]), np.array(orientation[3:])
    lps = (
        np.array(origin)
        + row_direction * SPACING_MM[1] * column
        + column_direction * SPACING_MM[0] * row
        + np.cross(row_direction, column_direction) * STEP_MM * k
    )
    return lps * (-1, -1, 1)


def test_a_voxel_is_the_pixel_of_its_column_row_and_slice(tmp_path):
    volume = load(save(made_slices(), tmp_path)).volume
    assert volume.hu.shape == (COLUMNS, ROWS, SLICES)
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, volume_hu())


def test_slices_lie_behind_each_other_in_memory(tmp_path):
    hu = load(save(made_slices(), tmp_path)).volume.hu
    assert hu.transpose(2, 1, 0).flags.c_contiguous


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_every_patient_position_is_placed_by_its_orientation_alone(tmp_path, position):
    orientation = PATIENT_POSITIONS[position]
    slices = made_slices(orientation=orientation, PatientPosition="HFS")  # a wrong PatientPosition must not matter
    volume = load(save(slices, tmp_path)).volume
    for index in [(0, 0, 0), (COLUMNS - 1, 0, 0), (0, ROWS - 1, 0), (3, 2, SLICES - 1)]:
        assert volume.grid.to_patient(index) == pytest.approx(in_patient(orientation, *index), abs=1e-9)
    assert np.array_equal(volume.hu, volume_hu())


def test_pixels_that_are_not_square_keep_row_and_column_spacing_apart(tmp_path):
    grid = load(save(made_slices(), tmp_path)).volume.grid
    assert grid.spacing_mm == pytest.approx((0.6, 0.9, 2.5))


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(SLICES)), st.sampled_from(sorted(PATIENT_POSITIONS)))
def test_the_order_of_files_and_instance_numbers_does_not_matter(tmp_path_factory, order, position):
    slices = made_slices(orientation=PATIENT_POSITIONS[position])
    for number, k in enumerate(order, start=1):
        slices[k].InstanceNumber = number
    loaded = load(save([slices[k] for k in order], tmp_path_factory.mktemp("study")))
    assert np.array_equal(loaded.volume.hu, volume_hu())
    assert [header.SOPInstanceUID for header in loaded.headers] == [s.SOPInstanceUID for s in slices]


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.floats(-180, 180)] * 3),
    st.tuples(*[st.floats(-500, 500)] * 3),
    st.tuples(st.floats(0.3, 1.5), st.floats(0.3, 1.5), st.floats(0.4, 8.0)),
)
def test_world_coordinates_are_right_to_a_thousandth_of_a_millimetre_in_any_direction(
    tmp_path_factory, angles, origin, spacing
):
    a, b, c = np.radians(angles)
    turn = (
        np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
        @ np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    )
    orientation = np.round(np.concatenate([turn[:, 0], turn[:, 1]]), 10)
    slices = made_slices(
        orientation=tuple(orientation),
        origin=tuple(np.round(origin, 4)),
        spacing=tuple(np.round(spacing[:2], 6)),
        step=float(np.round(spacing[2], 4)),
    )
    grid = load(save(slices, tmp_path_factory.mktemp("study"))).volume.grid
    for k, header in enumerate(slices):
        lps = np.array([float(v) for v in header.ImagePositionPatient])
        corner = (
            lps
            + orientation[:3] * float(header.PixelSpacing[1]) * (COLUMNS - 1)
            + orientation[3:] * float(header.PixelSpacing[0]) * (ROWS - 1)
        )
        assert grid.to_patient((0, 0, k)) == pytest.approx(lps * (-1, -1, 1), abs=1e-3)
        assert grid.to_patient((COLUMNS - 1, ROWS - 1, k)) == pytest.approx(corner * (-1, -1, 1), abs=1e-3)


def test_headers_come_in_slice_order_without_pixels_and_whole(tmp_path):
    slices = made_slices(InstitutionName="Made")
    loaded = load(save(slices[::-1], tmp_path))
    assert [h.InstanceNumber for h in loaded.headers] == [1, 2, 3, 4, 5, 6]
    assert all("PixelData" not in h and h.InstitutionName == "Made" for h in loaded.headers)
    assert not loaded.is_multiframe


def test_the_volume_names_its_study_series_and_phase(tmp_path):
    volume = load(save(made_slices(SeriesDescription="Nephrographic 1.0"), tmp_path)).volume
    assert (volume.source.study_instance_uid, volume.source.series_instance_uid) == ("1.2.3", "1.2.3.4")
    assert (volume.source.series_number, volume.source.series_description) == (3, "Nephrographic 1.0")
    assert volume.phase.phase is Phase.NEPHROGRAPHIC
    assert volume.grid.frame_of_reference_uid == "1.2.3.77"


@pytest.mark.parametrize(
    ("charset", "description"),
    [
        ("ISO_IR 100", "Néphrographique"),
        ("ISO_IR 192", "腎実質相"),
        ("GB18030", "实质期"),
        (["", "ISO 2022 IR 87"], "実質相"),
    ],
)
def test_descriptions_survive_every_character_set(tmp_path, charset, description):
    slices = made_slices(SpecificCharacterSet=charset, SeriesDescription=description)
    volume = load(save(slices, tmp_path)).volume
    assert volume.source.series_description == description
    assert volume.phase.phase is Phase.NEPHROGRAPHIC


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 5, 1, 4, 3]])
def test_frames_of_an_enhanced_image_are_put_in_order_of_position(tmp_path, order):
    slices = made_slices()
    save_one(made_multiframe([slices[k] for k in order]), tmp_path / "enhanced.dcm")
    loaded = load(tmp_path)
    assert np.array_equal(loaded.volume.hu, volume_hu())
    assert loaded.frame_numbers == tuple(order.index(k) + 1 for k in range(SLICES))
    assert len(loaded.headers) == 1 and "PixelData" not in loaded.headers[0]
    assert loaded.is_multiframe
    assert loaded.volume.grid.to_patient((3, 2, 4)) == pytest.approx(in_patient(PATIENT_POSITIONS["HFS"], 3, 2, 4))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_an_enhanced_image_is_read_from_every_plain_syntax(tmp_path, syntax):
    save_one(made_multiframe(made_slices()), tmp_path / "enhanced.dcm", syntax)
    assert np.array_equal(load(tmp_path).volume.hu, volume_hu())


def test_frames_may_have_rescales_of_their_own(tmp_path):
    slices = made_slices()
    slices[2].RescaleIntercept = 1000
    save_one(made_multiframe(slices), tmp_path / "enhanced.dcm")
    expected = volume_hu()
    expected[:, :, 2] += 1000
    assert np.array_equal(load(tmp_path).volume.hu, expected)


def test_the_split_does_not_depend_on_the_order_of_slices(tmp_path):
    series = only_series(save(made_slices(), tmp_path))
    (backwards,) = split_slices(series.slices[::-1])
    assert backwards.slices == series.slices
