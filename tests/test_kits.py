"""Slice stacks: HU, positions and labels, and stacks that are incomplete."""

import json

import numpy as np
import pytest
from PIL import Image
from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.formats.kits import read_single_slices, read_stack, stack_folders


def write_stack(folder, numbers=(10, 12, 14), label=1):
    folder.mkdir(parents=True, exist_ok=True)
    for n, z in enumerate(numbers):
        image = np.full((6, 8), 100 + n, np.uint8)
        image[1, 5] = 200
        labels = np.zeros((6, 8), np.uint8)
        labels[1, 5] = label
        Image.fromarray(image).save(folder / f"image_{z:04d}.webp", lossless=True)
        Image.fromarray(labels).save(folder / f"label_{z:04d}.png")
    about = {
        "case": folder.name,
        "spacing_zyx_mm": [1.5, 0.8, 0.7],
        "crop_y0_y1_x0_x1": [20, 26, 30, 38],
        "slices": [{"z": z, "hu_slope": 8.0, "hu_intercept": -1000.0} for z in numbers],
        "histology": "papillary_rcc",
    }
    (folder / "case.json").write_text(json.dumps(about))


def test_a_stack_is_a_volume_in_hu_with_its_labels_in_place(tmp_path):
    write_stack(tmp_path / "case_00001")
    (stack,) = read_stack(tmp_path / "case_00001")
    assert stack.case == "case_00001" and stack.histology == "papillary_rcc"
    assert stack.volume.grid.shape == (8, 6, 3)
    assert stack.volume.grid.spacing_mm == pytest.approx((0.7, 0.8, 3.0))  # every second slice of 1.5 mm
    assert stack.volume.hu[0, 0].tolist() == [8 * 100.5 - 1000, 8 * 101.5 - 1000, 8 * 102.5 - 1000]
    assert stack.volume.hu[5, 1, 0] == 8 * 200.5 - 1000
    assert np.argwhere(stack.label_map.values).tolist() == [[5, 1, 0], [5, 1, 1], [5, 1, 2]]


def test_columns_run_to_the_left_rows_to_the_back_and_slices_to_the_feet(tmp_path):
    write_stack(tmp_path / "case_00001")
    grid = read_stack(tmp_path / "case_00001")[0].volume.grid
    assert grid.to_patient((0, 0, 0)) == pytest.approx((-30 * 0.7, -20 * 0.8, -10 * 1.5))
    assert grid.to_patient((1, 1, 1)) == pytest.approx((-31 * 0.7, -21 * 0.8, -12 * 1.5))


def test_slices_left_out_end_a_stack(tmp_path):
    write_stack(tmp_path / "case_00001", numbers=(25, 26, 27, 35, 36))
    stacks = read_stack(tmp_path / "case_00001")
    assert [s.volume.grid.shape[2] for s in stacks] == [3, 2]
    assert stacks[1].volume.grid.to_patient((0, 0, 0))[2] == pytest.approx(-35 * 1.5)


def test_slices_out_of_order_are_refused(tmp_path):
    write_stack(tmp_path / "case_00001", numbers=(3, 2, 1))
    with pytest.raises(GeometryError, match="slice numbers must rise"):
        read_stack(tmp_path / "case_00001")


def test_a_label_that_kits_does_not_have_is_refused(tmp_path):
    write_stack(tmp_path / "case_00001", label=4)
    with pytest.raises(LabelError, match="the label 4"):
        read_stack(tmp_path / "case_00001")


def test_a_missing_picture_is_named(tmp_path):
    write_stack(tmp_path / "case_00001")
    (tmp_path / "case_00001" / "label_0012.png").unlink()
    with pytest.raises(InputError, match=r"label_0012\.png cannot be read"):
        read_stack(tmp_path / "case_00001")


@pytest.mark.parametrize("text", ["{", "{}", '{"case": "a", "slices": [{}]}'])
def test_a_case_file_that_lacks_something_is_refused(tmp_path, text):
    (tmp_path / "case.json").write_text(text)
    with pytest.raises(InputError, match=r"case\.json"):
        read_stack(tmp_path)


def test_a_folder_without_stacks_says_what_is_needed(tmp_path):
    with pytest.raises(InputError, match=r"case_XXXXX/case\.json"):
        stack_folders(tmp_path)


def test_cases_come_in_order(tmp_path):
    for name in ("case_00002", "case_00001"):
        write_stack(tmp_path / name)
    assert [path.name for path in stack_folders(tmp_path)] == ["case_00001", "case_00002"]


def test_a_single_slice_spans_the_window_and_5_mm(tmp_path):
    levels = np.asarray([[0, 255], [51, 102]], np.uint8)
    Image.fromarray(levels).save(tmp_path / "case_00007_image.webp", lossless=True)
    Image.fromarray(np.eye(2, dtype=np.uint8)).save(tmp_path / "case_00007_label.png")
    (tmp_path / "index.json").write_text(json.dumps([{"case": "case_00007", "spacing_yx_mm": 0.9}]))
    (stack,) = read_single_slices(tmp_path)
    assert stack.volume.grid.spacing_mm == pytest.approx((0.9, 0.9, 5.0))
    assert stack.volume.hu[..., 0].tolist() == [[-79, round(-79 + 51 * 383 / 255)], [304, round(-79 + 102 * 383 / 255)]]
