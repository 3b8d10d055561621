"""Cases: what they are made of."""

import pickle

import numpy as np
import pytest
from made_cases import kits_folder, made_hu, made_labels, save, save_pair, write_json
from renalct.core.errors import InputError
from renalct.core.labels import MassClass, Structure
from renalct.formats.case_notes import ALL_STRUCTURES
from renalct.imaging.sinus import SinusSettings
from renalct.models.cases import Origin, case_files, components, phantom_files, single_slice_files, stack_files
from test_kits import write_stack


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


def big_labels(tumor):
    """A kidney of 10 x 10 x 6 voxels with a mass of 4 x 4 x 3, 0.96 ml: over 5 mm."""
    labels = made_labels(tumor=1)
    labels[5:15, 5:13, 1:7] = Structure.KIDNEY
    labels[6:10, 6:10, 2:5] = tumor
    return labels


@pytest.mark.parametrize(
    ("value", "histology", "wanted"),
    [
        (2, "clear_cell_rcc", MassClass.SOLID),
        (2, "", MassClass.SOLID),
        (2, "angiomyolipoma", None),  # without fat in the images
        (3, "angiomyolipoma", MassClass.CYSTIC),
        (4, "", MassClass.AML),
        (2, "mest", None),
    ],
)
def test_masses_of_a_volume_have_the_class_of_their_label_and_histology(tmp_path, value, histology, wanted):
    save_pair(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz")
    save(tmp_path / "labels" / "a.nii.gz", big_labels(value))
    write_json(tmp_path / "labels" / "a.json", {"patient": "p", "histology": histology})
    (file,) = case_files(tmp_path)
    (case,) = file.load()
    assert (file.patient, case.patient, case.origin) == ("p", "p", Origin.VOLUME)
    assert [(m.mass_class, m.mask.count) for m in case.masses] == ([(wanted, 48)] if wanted else [])


def test_an_angiomyolipoma_by_histology_is_one_where_its_fat_is_seen(tmp_path):
    save_pair(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz")
    labels = big_labels(2)
    save(tmp_path / "images" / "a.nii.gz", np.where(labels == Structure.TUMOR, -80, made_hu()))
    save(tmp_path / "labels" / "a.nii.gz", labels)
    write_json(tmp_path / "labels" / "a.json", {"histology": "angiomyolipoma"})
    (case,) = case_files(tmp_path)[0].load()
    assert [(m.mass_class, m.mask.count) for m in case.masses] == [(MassClass.AML, 48)]


def test_what_a_case_does_not_assess_comes_from_its_notes(tmp_path):
    save_pair(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz", tumor=1)
    (file,) = case_files(tmp_path)
    assert file.load()[0].assessed == file.notes.assessed == ALL_STRUCTURES
    write_json(tmp_path / "labels" / "a.json", {"assessed": ["kidney"]})
    (file,) = case_files(tmp_path)
    assert file.load()[0].assessed == {Structure.BACKGROUND, Structure.KIDNEY}
    assert phantom_files(range(1))[0].notes.assessed == ALL_STRUCTURES


def test_case_files_travel_between_processes_and_read_nothing_before_they_are_loaded(tmp_path):
    (file,) = case_files(kits_folder(tmp_path, 1))
    (case,) = pickle.loads(pickle.dumps(file)).load()
    assert case.name == "case_00000"
    (tmp_path / "dataset" / "case_00000" / "imaging.nii.gz").unlink()
    with pytest.raises(InputError, match=r"imaging\.nii\.gz"):
        file.load()


def test_the_sinus_is_filled_on_request_and_masses_stay(tmp_path):
    save_pair(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz")
    labels = big_labels(2)
    labels[11:15, 8:10, 2:6] = 0  # 4 mm wide, open to the side
    save(tmp_path / "labels" / "a.nii.gz", labels)
    (plain,) = case_files(tmp_path)[0].load()
    (filled,) = case_files(tmp_path, sinus=SinusSettings(min_kidney_ml=0.1))[0].load()
    assert not plain.label_map.values[11:14, 8:10, 3:5].any()
    assert (filled.label_map.values[11:14, 8:10, 3:5] == Structure.KIDNEY).all()
    assert [m.mask.count for m in filled.masses] == [m.mask.count for m in plain.masses] == [48]


def test_a_folder_of_another_kind_is_no_folder_of_stacks(tmp_path):
    kits_folder(tmp_path)
    for files in (stack_files, single_slice_files):
        with pytest.raises(InputError, match="holds KiTS cases"):
            files(tmp_path)
