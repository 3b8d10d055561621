"""Stored values to HU: rescale per slice, padding, and numbers that cannot be HU."""

import numpy as np
import pytest
from dicom_corpus import COLUMNS, ROWS, load, made_slices, save, set_pixels, slice_hu, volume_hu
from renalct.core.errors import InputError


def with_padding(stored_padding, *, dtype=np.int16, intercept=0, declared=None, limit=None):
    """Slices whose first row is padding."""
    slices = made_slices()
    for k, dataset in enumerate(slices):
        set_pixels(dataset, slice_hu(k), dtype=dtype, intercept=intercept)
        stored = np.frombuffer(dataset.PixelData, dtype).reshape(ROWS, COLUMNS).copy()
        stored[0] = stored_padding
        dataset.PixelData = stored.tobytes()
        if declared is not None:
            dataset.add_new("PixelPaddingValue", "SS" if declared < 0 else "US", declared)
        if limit is not None:
            dataset.add_new("PixelPaddingRangeLimit", "SS" if limit < 0 else "US", limit)
    return slices


def padded_hu():
    expected = volume_hu()
    expected[:, 0, :] = -1024
    return expected


@pytest.mark.parametrize(
    ("stored", "dtype", "intercept", "declared"),
    [
        (-2000, np.int16, 0, None),
        (-2000, np.int16, 0, -2000),
        (-3024, np.int16, 0, None),
        (-2000, np.int16, -1024, None),  # the -3024 HU of many scanners
        (-2000, np.int16, -1024, -2000),
        (-2000, np.int16, 0, 63536),  # -2000 declared as unsigned
        (63536, np.uint16, -1024, 63536),
        (63536, np.uint16, -1024, -2000),
        (0, np.uint16, -1024, 0),
        (30000, np.int16, 0, 30000),  # brighter than any tissue
    ],
)
def test_padding_becomes_air(tmp_path, stored, dtype, intercept, declared):
    slices = with_padding(stored, dtype=dtype, intercept=intercept, declared=declared)
    assert np.array_equal(load(save(slices, tmp_path)).volume.hu, padded_hu())


def test_a_range_of_padding_values_becomes_air(tmp_path):
    slices = with_padding([20000, 20001, 20002, 20003, 20004, 20005, 20006], declared=20000, limit=20006)
    assert np.array_equal(load(save(slices, tmp_path)).volume.hu, padded_hu())


def test_padding_that_could_be_tissue_opens_no_hole_in_the_patient(tmp_path):
    slices = made_slices()
    for dataset in slices:
        hu = np.full((ROWS, COLUMNS), 40)
        hu[0] = 0  # padding along the border
        hu[3, 3] = 0  # water inside
        set_pixels(dataset, hu)
        dataset.add_new("PixelPaddingValue", "SS", 0)
    volume = load(save(slices, tmp_path)).volume.hu
    assert (volume[:, 0] == -1024).all() and (volume[3, 3] == 0).all() and (volume[3, 2] == 40).all()


def test_what_is_darker_than_air_becomes_air(tmp_path):
    slices = made_slices(values=lambda k: np.array([[-1025, -1024, -1023], [-5000, 0, 3071]]))
    hu = load(save(slices, tmp_path)).volume.hu
    assert hu[:, :, 0].T.tolist() == [[-1024, -1024, -1023], [-1024, 0, 3071]]


def test_every_slice_has_its_own_rescale_and_sign(tmp_path):
    slices = made_slices()
    set_pixels(slices[0], slice_hu(0), dtype=np.uint16, intercept=-1024)
    set_pixels(slices[1], slice_hu(1), dtype=np.int16, intercept=-8192)
    set_pixels(slices[2], slice_hu(2), dtype=np.uint16, intercept=-1000)
    volume = load(save(slices, tmp_path)).volume
    assert volume.hu.dtype == np.int16
    assert np.array_equal(volume.hu, volume_hu())


def test_a_rescale_with_fractions_gives_float32(tmp_path):
    slices = made_slices()
    for k, dataset in enumerate(slices):
        set_pixels(dataset, slice_hu(k), slope=0.5, intercept=-1000.5)
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.5", "-1000.25"
    volume = load(save(slices, tmp_path)).volume
    assert volume.hu.dtype == np.float32
    assert volume.hu[2, 1, 3] == -700 + 300 + 10 + 2 + 0.25  # set_pixels stored it for an intercept of -1000.5


def test_a_fractional_rescale_is_exact(tmp_path):
    slices = made_slices(2)
    for dataset in slices:
        set_pixels(dataset, np.zeros((ROWS, COLUMNS)))
        dataset.PixelData = np.full((ROWS, COLUMNS), 300, "<i2").tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = "0.125", "-1000.5"
    assert (load(save(slices, tmp_path)).volume.hu == np.float32(300 * 0.125 - 1000.5)).all()


def test_without_rescale_signed_numbers_with_air_are_hu(tmp_path):
    slices = made_slices()
    for k, dataset in enumerate(slices):
        set_pixels(dataset, slice_hu(k), intercept=None)
    assert np.array_equal(load(save(slices, tmp_path)).volume.hu, volume_hu())


def test_without_rescale_numbers_from_zero_up_are_refused(tmp_path):
    slices = made_slices()
    for k, dataset in enumerate(slices):
        set_pixels(dataset, slice_hu(k) + 1024, dtype=np.uint16, intercept=None)
    with pytest.raises(InputError, match=r"no RescaleIntercept.*from 324 to 870"):
        load(save(slices, tmp_path))


def test_a_single_slice_without_rescale_is_named(tmp_path):
    slices = made_slices()
    set_pixels(slices[4], slice_hu(4), intercept=None)
    with pytest.raises(InputError, match=r"1 of 6 slices have no RescaleIntercept.*InstanceNumber 5, IM0005\.dcm"):
        load(save(slices, tmp_path))


def test_undeclared_padding_of_the_wrong_sign_is_refused(tmp_path):
    slices = with_padding(63536, dtype=np.uint16, intercept=-1024)
    with pytest.raises(InputError, match=r"InstanceNumber \d.*holds 62512 HU"):
        load(save(slices, tmp_path))


@pytest.mark.parametrize("kind", ["MGML", "Z_EFF", "PCT"])
def test_values_that_are_not_hu_are_refused(tmp_path, kind):
    with pytest.raises(InputError, match=kind):
        load(save(made_slices(RescaleType=kind), tmp_path))


@pytest.mark.parametrize("slope", [0, -1, 1e300])
def test_a_slope_that_cannot_be_right_is_refused(tmp_path, slope):
    with pytest.raises(InputError, match="RescaleSlope"):
        load(save(made_slices(RescaleSlope=slope), tmp_path))
