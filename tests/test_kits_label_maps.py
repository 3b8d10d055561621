import numpy as np
import pytest
from renalct.core.errors import InputError, LabelError
from renalct.formats.kits_label_maps import (
    find_case_table,
    label_map_paths,
    read_case_table,
    read_kits_label_map,
)

HEADER = "case,kidney_ml,tumor_ml,cyst_ml,tumor_histologic_subtype,hu_fg_mean,hu_p05,hu_p25,hu_p50,hu_p75,hu_p95"


def arrays(**changes):
    label = np.zeros((4, 5, 6), np.uint8)
    label[1, 2, 3] = 1  # z, y, x
    values = {
        "label": label,
        "spacing_zyx_mm": np.float32([3, 2, 1]),
        "offset_zyx": np.int16([10, 20, 30]),
        "volume_shape_zyx": np.int16([50, 100, 101]),
        "native_spacing_zyx_mm": np.float32([1.5, 1, 0.5]),
    }
    return {**values, **changes}


def saved(tmp_path, **changes):
    path = tmp_path / "case_00007.npz"
    np.savez(path, **{k: v for k, v in arrays(**changes).items() if v is not None})
    return path


def test_a_voxel_lies_where_the_image_had_it(tmp_path):
    found = read_kits_label_map(saved(tmp_path))
    assert found.case == "case_00007" and found.native_spacing_mm == (0.5, 1.0, 1.5)
    (index,) = np.argwhere(found.label_map.values)
    assert index.tolist() == [3, 2, 1]
    np.testing.assert_allclose(found.label_map.grid.to_patient(index), (-(30 + 3), -2 * (20 + 2), -3 * (10 + 1)))
    assert found.midline_mm == -50.0  # the middle of 101 voxels of 1 mm that run to the left


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"offset_zyx": None}, InputError, "lacks offset_zyx"),
        ({"label": np.zeros((4, 5, 6), np.uint8)}, InputError, "no kidney"),
        ({"label": np.full((1, 1, 1), 4, np.uint8)}, LabelError, "label 4"),
        ({"label": np.ones((4, 5), np.uint8)}, InputError, "label array"),
        ({"spacing_zyx_mm": np.float32([0, 1, 1])}, InputError, "positive"),
        ({"native_spacing_zyx_mm": np.float32([np.nan, 1, 1])}, InputError, "positive"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        read_kits_label_map(saved(tmp_path, **changes))


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "case_00001.npz"
    path.write_bytes(b"PK not a zip")
    with pytest.raises(InputError, match="cannot be read as npz"):
        read_kits_label_map(path)


def test_a_folder_without_label_maps_says_what_is_needed(tmp_path):
    with pytest.raises(InputError, match=r"case_XXXXX\.npz"):
        label_map_paths(tmp_path)


def test_the_table_is_found_beside_the_folder_and_read(tmp_path):
    folder = tmp_path / "maps"
    folder.mkdir()
    assert find_case_table(folder) is None
    (tmp_path / "kits23_cases.csv").write_text(f"{HEADER}\ncase_00007,300,20,5,papillary_rcc,100,0,50,110,140,170\n")
    path = find_case_table(folder)
    assert path is not None
    (row,) = read_case_table(path)
    assert (row.case, row.histology, row.percentiles_hu) == ("case_00007", "papillary_rcc", (0, 50, 110, 140, 170))
    assert (row.kidney_ml, row.tumor_ml, row.cyst_ml, row.mean_hu) == (300, 20, 5, 100)


@pytest.mark.parametrize(
    "values", ["300,20,5,x,100,0,50,40,140,170", "300,20,5,x,,0,50,110,140,170", "-1,2,5,x,9,0,5,6,7,8"]
)
def test_a_wrong_row_is_named_by_its_line(tmp_path, values):
    (tmp_path / "t.csv").write_text(f"{HEADER}\ncase_1,{values}\n")
    with pytest.raises(InputError, match="line 2"):
        read_case_table(tmp_path / "t.csv")
