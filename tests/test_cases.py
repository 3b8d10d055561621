"""Cases: what they are made of, and splits by patient."""

import numpy as np
from renalct.core.labels import MassClass
from renalct.models.cases import Origin, Split, components, phantom_files, split_patients, stack_files
from test_kits import write_stack


def test_a_split_holds_each_patient_once_and_is_the_same_for_the_same_patients():
    names = [f"case_{n:05d}" for n in range(20)]
    split = split_patients([*names, *names], validation=5, seed=1)
    assert len(split.validation) == 5 and sorted(split.training + split.validation) == names
    assert split == split_patients(names[::-1], validation=5, seed=1)
    assert split != split_patients(names, validation=5, seed=2)


def test_a_split_comes_back_from_its_file_with_its_hash(tmp_path):
    split = split_patients(["a", "b", "c"], validation=1, seed=0)
    (tmp_path / "split.json").write_text(split.to_text())
    found = Split.read(tmp_path / "split.json")
    assert found == split and found.sha256 == split.sha256


def test_masses_of_a_stack_have_the_class_of_their_label_and_histology(tmp_path):
    for name, label in (("case_00001", 2), ("case_00002", 3)):
        write_stack(tmp_path / name, label=label)
    for file, wanted in zip(stack_files(tmp_path), (MassClass.SOLID, MassClass.CYSTIC), strict=True):
        (case,) = file.load()
        assert case.origin is Origin.SLAB and case.patient == file.name
        assert case.masses == ()  # three voxels of 1.7 microlitres: under 5 mm
        grown = np.zeros((20, 20, 10), bool)
        grown[3:9, 3:9, 3:6] = True
        assert [m.count for m in components(grown, 65)] == [108]
        assert wanted in MassClass


def test_components_come_largest_first_and_small_ones_not_at_all():
    filled = np.zeros((10, 10, 10), bool)
    filled[0:2, 0, 0] = True
    filled[5:9, 5, 5] = True
    filled[9, 9, 9] = True
    assert [m.count for m in components(filled, 2)] == [4, 2]
    assert list(components(np.zeros((2, 2, 2), bool), 1)) == []


def test_a_phantom_is_made_when_it_is_loaded_and_the_same_each_time():
    (file,) = phantom_files(range(3, 4), spacing_mm=(4.0, 4.0, 6.0))
    (case,), (again,) = file.load(), file.load()
    assert case.origin is Origin.PHANTOM and np.array_equal(case.volume.hu, again.volume.hu)
    for mass in case.masses:
        inside = case.label_map.values[mass.mask.box.slices][mass.mask.voxels]
        assert np.count_nonzero(inside == mass.mass_class.structure) > 0


def test_no_mass_of_a_phantom_is_under_5_mm_even_where_the_field_cuts_it_off():
    for file in phantom_files(range(900_105, 900_109), spacing_mm=(3.0, 3.0, 3.0)):
        for case in file.load():
            assert all(mass.mask.count * case.volume.grid.voxel_ml >= 0.065 for mass in case.masses)
