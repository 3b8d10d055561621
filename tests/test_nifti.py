import nibabel as nib
import numpy as np
import pytest
from renalct.core.errors import GeometryError, InputError, LabelError, NotCT
from renalct.core.grid import Grid
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.nifti import read_label_map, read_volume, write_label_map, write_volume

AFFINE = np.array([[-0.7, 0, 0, 90], [0, 0.8, 0, -70], [0, 0, -2.5, 40], [0, 0, 0, 1]])


def save(path, values, affine=AFFINE):
    nib.Nifti1Image(values, affine).to_filename(path)
    return path


def test_a_volume_comes_back_with_its_values_and_its_place(tmp_path):
    grid = Grid((4, 5, 6), AFFINE)
    hu = np.random.default_rng(0).integers(-1024, 3000, grid.shape).astype(np.int16)
    write_volume(CTVolume(hu, grid), tmp_path / "ct.nii.gz")
    back = read_volume(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(back.hu, hu)
    assert back.hu.dtype == np.int16
    np.testing.assert_allclose(back.grid.affine, AFFINE, atol=1e-5)


def test_a_label_map_comes_back_and_its_bytes_are_stable(tmp_path):
    values = np.random.default_rng(0).integers(0, 5, (4, 5, 6)).astype(np.uint8)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label_map(LabelMap(values, Grid(values.shape, AFFINE)), tmp_path / name)
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.nii.gz").values, values)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_padding_becomes_air_and_fractions_stay(tmp_path):
    values = np.full((3, 3, 3), -3024, np.float32)
    values[1] = 30.5
    volume = read_volume(save(tmp_path / "ct.nii", values))
    assert volume.hu.dtype == np.float32 and volume.hu[0].max() == -1024 and volume.hu[1].min() == 30.5


def test_a_fourth_axis_of_one_is_dropped_and_more_are_refused(tmp_path):
    values = np.full((3, 3, 3, 1), -50, np.int16)
    assert read_volume(save(tmp_path / "ct.nii", values)).grid.shape == (3, 3, 3)
    with pytest.raises(GeometryError, match="4 dimensions"):
        read_volume(save(tmp_path / "two.nii", np.repeat(values, 2, axis=3)))


@pytest.mark.parametrize("values", [np.zeros((3, 3, 3), np.uint8), np.full((3, 3, 3), 255, np.uint8)])
def test_a_picture_or_a_label_map_is_no_ct(tmp_path, values):
    with pytest.raises(NotCT, match="not CT numbers"):
        read_volume(save(tmp_path / "x.nii", values))


def test_values_that_are_no_label_are_named(tmp_path):
    values = np.zeros((3, 3, 3), np.int16)
    values[0, 0, 0] = 7
    with pytest.raises(LabelError, match="the value 7"):
        read_label_map(save(tmp_path / "x.nii", values))


def test_damaged_and_missing_files_are_said_to_be(tmp_path):
    (tmp_path / "x.nii.gz").write_bytes(b"no gzip")
    with pytest.raises(InputError, match="damaged"):
        read_volume(tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match="no file"):
        read_volume(tmp_path / "y.nii.gz")
    whole = save(tmp_path / "z.nii", np.full((9, 9, 9), -50, np.int16)).read_bytes()
    (tmp_path / "z.nii").write_bytes(whole[:-100])
    with pytest.raises(InputError, match="damaged"):
        read_volume(tmp_path / "z.nii")


def test_values_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(InputError, match="not finite"):
        read_volume(save(tmp_path / "x.nii", np.full((3, 3, 3), np.nan, np.float32)))


@pytest.mark.parametrize(
    ("start", "changed"),
    [(70, b"\x57\x00"), (108, b"\x00\x00\x00\x00"), (40, b"\x03\x00\xff\x7f\xff\x7f"), (344, b"none")],
    ids=["type", "offset", "shape", "magic"],
)
def test_a_damaged_header_is_an_error_of_the_input(tmp_path, start, changed):
    data = bytearray(save(tmp_path / "x.nii", np.full((3, 3, 3), -50, np.int16)).read_bytes())
    data[start : start + len(changed)] = changed
    (tmp_path / "x.nii").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.nii"):
        read_volume(tmp_path / "x.nii")


def test_labels_stored_as_fractions_of_whole_numbers_are_read(tmp_path):
    values = np.zeros((3, 3, 3), np.float64)
    values[1, 1, 1] = 3.0
    found = read_label_map(save(tmp_path / "x.nii", values)).values
    assert found.dtype == np.uint8 and found[1, 1, 1] == 3 and np.count_nonzero(found) == 1


def test_labels_that_a_scale_has_rounded_are_read_and_halves_are_not(tmp_path):
    values = np.zeros((3, 3, 3), np.float32)
    values[1, 1, 1] = 3 * np.float32(1 + 1e-6)
    assert read_label_map(save(tmp_path / "x.nii", values)).values[1, 1, 1] == 3
    for wrong in (2.5, 0.999, -0.5, 4.5, np.nan, np.inf):
        values[0, 0, 0] = wrong
        with pytest.raises(LabelError, match="label values are whole numbers from 0 to 4"):
            read_label_map(save(tmp_path / "y.nii", values))
