import nibabel as nib
import numpy as np
import pytest
from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.volume import LabelMap
from renalct.formats.annotation import read_annotation
from renalct.formats.nrrd_labels import write_label_map

AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
GRID = Grid((5, 1, 1), AFFINE)


def nifti(tmp_path, values, affine=AFFINE, dtype=np.uint8):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.array(values, dtype).reshape(-1, 1, 1), affine), path)
    return path


def read(path, *names):
    return read_annotation(path, tuple(names), grid=GRID).values.ravel().tolist()


def test_values_are_understood_by_name_and_not_by_position(tmp_path):
    path = nifti(tmp_path, [0, 1, 2, 3, 4])
    assert read(path, ("cyst", 1), ("AML", 2), ("Kidney", 3), ("renal_mass", 4)) == [0, 3, 4, 1, 2]


def test_several_values_may_mean_one_structure(tmp_path):
    path = nifti(tmp_path, [0, 10, 20, 20, 0])
    assert read(path, ("left kidney", 10), ("right kidney", 20)) == [0, 1, 1, 1, 0]


def test_a_value_beyond_a_byte_keeps_its_meaning(tmp_path):
    assert read(nifti(tmp_path, [300, 0, 0, 0, 0], dtype=np.int16), ("tumor", 300)) == [2, 0, 0, 0, 0]


def test_an_empty_label_file_is_an_empty_label_map(tmp_path):
    assert read(nifti(tmp_path, [0] * 5)) == [0] * 5


def test_the_name_of_a_value_that_does_not_occur_is_ignored(tmp_path):
    assert read(nifti(tmp_path, [0, 1, 0, 0, 0]), ("kidney", 1), ("Segment_9", 9)) == [0, 1, 0, 0, 0]


def test_a_voxel_named_background_is_background(tmp_path):
    assert read(nifti(tmp_path, [0, 1, 2, 0, 0]), ("background", 1), ("cyst", 2)) == [0, 0, 3, 0, 0]


def test_nrrd_is_read_too(tmp_path):
    write_label_map(LabelMap(np.array([0, 1, 2, 0, 0], np.uint8).reshape(5, 1, 1), GRID), tmp_path / "a.nrrd")
    assert read(tmp_path / "a.nrrd", ("tumor", 1), ("kidney", 2)) == [0, 2, 1, 0, 0]


def test_a_value_without_a_name_is_refused(tmp_path):
    with pytest.raises(LabelError, match=r"a\.nii\.gz holds the value 7 without a name"):
        read(nifti(tmp_path, [0, 1, 7, 0, 0]), ("kidney", 1))


def test_an_unknown_name_is_refused_and_the_nearest_proposed(tmp_path):
    with pytest.raises(LabelError, match="did you mean 'kidney'"):
        read(nifti(tmp_path, [1, 0, 0, 0, 0]), ("kidny", 1))


def test_a_value_with_two_meanings_is_refused(tmp_path):
    with pytest.raises(LabelError, match="'tumor', 'cyst'"):
        read(nifti(tmp_path, [1, 0, 0, 0, 0]), ("tumor", 1), ("cyst", 1))


def test_two_names_of_one_meaning_are_not_a_conflict(tmp_path):
    assert read(nifti(tmp_path, [1, 0, 0, 0, 0]), ("tumor", 1), ("renal mass", 1)) == [2, 0, 0, 0, 0]


@pytest.mark.parametrize("values", [[0.5, 0, 0, 0, 0], [-1, 0, 0, 0, 0], [np.nan, 0, 0, 0, 0]])
def test_values_that_are_not_whole_numbers_from_zero_are_refused(tmp_path, values):
    with pytest.raises(LabelError, match="not whole numbers from 0"):
        read(nifti(tmp_path, values, dtype=np.float32), ("kidney", 1))


def test_labels_of_another_size_are_refused(tmp_path):
    with pytest.raises(GeometryError, match="4 x 1 x 1 voxels and its image 5 x 1 x 1"):
        read(nifti(tmp_path, [0, 0, 0, 0]))


def test_labels_at_another_place_are_refused_with_the_distance(tmp_path):
    moved = AFFINE.copy()
    moved[2, 3] = 5.0
    with pytest.raises(GeometryError, match=r"up to 5\.00 mm away"):
        read(nifti(tmp_path, [0] * 5, affine=moved))


def test_labels_whose_axes_run_otherwise_are_refused_with_that_reason(tmp_path):
    turned = AFFINE.copy()
    turned[0] = [1, 0, 0, -4]  # the same five voxels, from the last to the first
    with pytest.raises(GeometryError, match=r"up to 4\.00 mm away from its image; its axes are mirrored or exchanged"):
        read(nifti(tmp_path, [0] * 5, affine=turned))


def test_a_difference_of_rounding_is_not_a_difference_of_place(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] = 0.01
    assert read(nifti(tmp_path, [0] * 5, affine=moved)) == [0] * 5


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.py").write_text("print()")
    with pytest.raises(InputError, match=r"a\.py is not a label file"):
        read(tmp_path / "a.py")
