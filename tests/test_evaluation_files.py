"""Label files are found by the name of their case, in every layout, and never guessed."""

from pathlib import Path

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.volume import LabelMap
from renalct.formats.nifti import write_label_map
from renalct.formats.nrrd_labels import write_label_map as write_nrrd
from renalct.learning.evaluation_files import case_name, find_label_files, read_label_file
from shapes import grid_of


def a_map() -> LabelMap:
    values = np.zeros((4, 3, 2), np.uint8)
    values[1, 1, 0], values[2, 1, 1] = 1, 3
    return LabelMap(values, grid_of(values.shape, (1.0, 2.0, 3.0)))


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("case_00012.nii.gz", "case_00012"),
        ("case_00012_seg.nii.gz", "case_00012"),
        ("P7_LABEL.nii", "P7"),
        ("KiTS_3_0000_pred.nii.gz", "KiTS_3"),
        ("a.seg.nrrd", "a"),
        ("b_labels.nrrd", "b"),
        ("seg.dcm", "seg"),
        ("_seg.nii.gz", "_seg"),
    ],
)
def test_the_tail_of_a_file_name_is_no_part_of_the_case(name, case):
    assert case_name(Path("folder") / name) == case


@pytest.mark.parametrize("inner", ["label_map.nii.gz", "segmentation.nii.gz"])
def test_a_folder_per_case_is_found(tmp_path, inner):
    for case in ("case_00001", "case_00002"):
        (tmp_path / case).mkdir()
        write_label_map(a_map(), tmp_path / case / inner)
    (tmp_path / "notes").mkdir()
    found = find_label_files(tmp_path)
    assert list(found) == ["case_00001", "case_00002"]
    assert found["case_00001"].folder == tmp_path / "case_00001"


@pytest.mark.parametrize("inner", ["", "labelsTr", "predictions"])
def test_a_file_per_case_is_found(tmp_path, inner):
    folder = tmp_path / inner
    folder.mkdir(exist_ok=True)
    write_label_map(a_map(), folder / "case_00001_seg.nii.gz")
    (folder / ".hidden.nii.gz").write_bytes(b"")
    assert list(find_label_files(tmp_path)) == ["case_00001"]


def test_two_files_of_one_case_are_refused_with_both_names(tmp_path):
    for name in ("a_seg.nii.gz", "a_pred.nii.gz"):
        write_label_map(a_map(), tmp_path / name)
    with pytest.raises(InputError, match=r"a_pred.nii.gz and a_seg.nii.gz"):
        find_label_files(tmp_path)


def test_a_place_without_label_maps_is_refused_with_what_is_needed(tmp_path):
    with pytest.raises(InputError, match=r"CASE/label_map\.nii\.gz"):
        find_label_files(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        find_label_files(tmp_path / "nowhere")


def test_nifti_and_nrrd_give_the_same_map(tmp_path):
    write_label_map(a_map(), tmp_path / "a.nii.gz")
    write_nrrd(a_map(), tmp_path / "a.nrrd")
    for name in ("a.nii.gz", "a.nrrd"):
        read = read_label_file(tmp_path / name)
        np.testing.assert_array_equal(read.values, a_map().values)
        assert read.grid.same_as(a_map().grid)


def test_a_dicom_segmentation_without_a_grid_is_refused(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(InputError, match="need the grid of the other side"):
        read_label_file(tmp_path / "a.dcm")
