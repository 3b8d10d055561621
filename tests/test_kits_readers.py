"""Single readers of a KiTS case as label maps."""

import numpy as np
import pytest
from made_cases import AFFINE, SHAPE, save
from renalct.core.errors import GeometryError, InputError
from renalct.core.labels import Structure
from renalct.formats.kits_readers import complete_readers, instances_of, read_readers


def annotate(folder, name, number, start, stop, affine=AFFINE):
    values = np.zeros(SHAPE, np.uint8)
    values[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = 1
    save(folder / f"{name}_annotation-{number}.nii.gz", values, affine)


def readers(folder):
    """A kidney and a tumor in it by three readers, who differ by a column each; a cyst by two of them."""
    for n in (1, 2, 3):
        annotate(folder, "kidney_instance-1", n, (2, 2, 1), (10, 9 + n, 5))
        annotate(folder, "tumor_instance-1", n, (4, 4, 2), (6, 6 + n, 4))
        if n < 3:
            annotate(folder, "cyst_instance-1", n, (5, 4, 2), (8, 6, 3))
        annotate(folder, "ureter_instance-1", n, (0, 0, 0), (20, 18, 8))
    return folder


def test_instances_come_in_painting_order_and_only_renal_ones(tmp_path):
    found = instances_of(readers(tmp_path))
    assert [i.structure for i in found] == [Structure.KIDNEY, Structure.CYST, Structure.TUMOR]
    assert [len(i.annotations) for i in found] == [3, 2, 3]
    assert complete_readers(found) == (1, 2)
    assert complete_readers(()) == ()


def test_each_complete_reader_gives_a_map_in_which_the_tumor_lies_on_top(tmp_path):
    maps = read_readers(readers(tmp_path))
    assert len(maps) == 2
    for n, label_map in enumerate(maps, start=1):
        counts = np.bincount(label_map.values.reshape(-1), minlength=4)
        tumor, cyst_left = 2 * (2 + n) * 2, 2 * 2 * 1  # the cyst's first column lies under the tumor
        assert counts[Structure.TUMOR] == tumor and counts[Structure.CYST] == cyst_left
        assert counts[Structure.KIDNEY] == 8 * (7 + n) * 4 - tumor - cyst_left


def test_an_incomplete_instance_leaves_its_reader_out_and_without_cyst_all_three_count(tmp_path):
    readers(tmp_path)
    for path in tmp_path.glob("cyst*"):
        path.unlink()
    assert len(read_readers(tmp_path)) == 3
    (tmp_path / "tumor_instance-1_annotation-2.nii.gz").unlink()
    assert complete_readers(instances_of(tmp_path)) == (1, 3)
    for path in tmp_path.glob("kidney*-[13].nii.gz"):
        path.unlink()
    assert read_readers(tmp_path) == ()


def test_shuffled_maps_use_every_annotation_once(tmp_path):
    readers(tmp_path)
    mixed = set()
    for seed in range(8):
        maps = read_readers(tmp_path, seed=seed)
        tumors = [int(np.count_nonzero(m.values == Structure.TUMOR)) for m in maps]
        wholes = [int(np.count_nonzero(m.values)) for m in maps]
        assert sorted(tumors) == [12, 16] and sorted(wholes) == [8 * 8 * 4, 8 * 9 * 4]
        mixed.add(tumors.index(12) == wholes.index(8 * 8 * 4))
        np.testing.assert_array_equal(maps[0].values, read_readers(tmp_path, seed=seed)[0].values)
    assert mixed == {True, False}


def test_annotations_on_another_grid_are_refused(tmp_path):
    moved = AFFINE.copy()
    moved[2, 3] += 5
    for n, affine in ((1, AFFINE), (2, moved)):
        annotate(tmp_path, "kidney_instance-1", n, (2, 2, 1), (4, 4, 2), affine)
    with pytest.raises(GeometryError, match="annotation-2"):
        read_readers(tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_annotations_says_what_is_needed(tmp_path, there):
    with pytest.raises(InputError, match="kidney_instance-1_annotation-1"):
        instances_of(tmp_path if there else tmp_path / "none")
