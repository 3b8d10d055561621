"""Labels of a store as training cases: which count, what each assesses, and the parts that were looked at."""

import nibabel as nib
import numpy as np
import pytest
from made_loop import AFFINE, SHAPE, add_case, commit, made_ct, made_store
from renalct.core.errors import InputError
from renalct.core.labels import MassClass, Structure
from renalct.formats.study import open_study
from renalct.learning.image_source import InFolder
from renalct.learning.loop.labelled_cases import REVIEWED, case_files_of, labelled_cases, patient_key
from renalct.learning.store import ORIGINAL, CaseState, LabelStore, Presence, StoredImage, VersionNote
from renalct.models.cases import Origin

MASSES = {Structure.TUMOR, Structure.CYST, Structure.ANGIOMYOLIPOMA}


def loaded(store, folder, case):
    (file,) = case_files_of(store, [case], InFolder(folder / "images"))
    return file, file.load()


@pytest.mark.parametrize(
    ("states", "ids"),
    [
        ({}, ["ct 000", "ct 001", "ct 004"]),
        ({"states": REVIEWED}, ["ct 001", "ct 004"]),
        ({"states": (CaseState.GOLD,)}, ["ct 004"]),
    ],
)
def test_labels_count_by_the_state_of_their_case(tmp_path, states, ids):
    store = LabelStore(tmp_path / "store")
    for seed, state in enumerate((None, CaseState.APPROVED, CaseState.FLAGGED, None, CaseState.GOLD)):
        name = add_case(store, tmp_path, seed, approved=False)
        if state is CaseState.GOLD:
            store.set_state(name, CaseState.APPROVED, by="rita")
        if state:
            store.set_state(name, state, by="rita")
    store.set_state("ct 003", CaseState.FLAGGED, by="rita")
    assert [case.image_id for case in labelled_cases(store, **states)] == ids


def test_only_the_final_version_counts_and_never_a_prelabel_of_a_model(tmp_path):
    store = made_store(tmp_path, 1)
    _, values = made_ct(0)
    new = commit(store, "ct 000", np.roll(values, 1, axis=2))
    content = nib.Nifti1Image(values, AFFINE).to_bytes()
    for n, tag in ((0, ORIGINAL), (1, ORIGINAL)):
        store.register([StoredImage(f"ct {n:03d}", f"ct {n:03d}.nii", patient="x")])
        store.commit(f"ct {n:03d}", content, suffix=".nii", note=VersionNote("renalct"), tag=tag)
    (case,) = labelled_cases(store)
    assert (case.image_id, case.number, case.sha256) == ("ct 000", 2, new.sha256)


def test_what_was_not_assessed_is_unknown_and_what_is_absent_is_known(tmp_path):
    store = LabelStore(tmp_path / "store")
    _, values = made_ct(0)
    kidneys = np.minimum(values, 1)
    add_case(store, tmp_path, 0, values=kidneys, unseen=MASSES)
    add_case(store, tmp_path, 1, values=kidneys)
    add_case(store, tmp_path, 2, unseen={Structure.ANGIOMYOLIPOMA})
    unseen, absent, tumors = labelled_cases(store)
    assert set(unseen.assessed) == {Structure.BACKGROUND, Structure.KIDNEY} and unseen.stratum == ""
    assert set(absent.assessed) == set(Structure) and absent.present == (Structure.KIDNEY,)
    assert Structure.ANGIOMYOLIPOMA in tumors.assessed  # who looks for tumors finds them
    assert tumors.stratum == "cyst and tumor" and tumors.has_mass
    (case,) = loaded(store, tmp_path, unseen)[1]
    assert case.assessed == {Structure.BACKGROUND, Structure.KIDNEY}


def test_a_label_of_which_nothing_was_said_is_taken_as_it_is(tmp_path):
    store = LabelStore(tmp_path / "store")
    add_case(store, tmp_path, 0, presence=())
    (case,) = labelled_cases(store)
    assert set(case.present) == {Structure.KIDNEY, Structure.TUMOR, Structure.CYST}
    assert set(case.assessed) == set(Structure)


def test_a_case_in_which_nothing_was_assessed_is_left_out(tmp_path):
    store = LabelStore(tmp_path / "store")
    nothing = tuple((s, Presence.NOT_ASSESSED) for s in (Structure.KIDNEY, *sorted(MASSES)))
    add_case(store, tmp_path, 0, presence=nothing)
    assert labelled_cases(store) == ()


def test_a_case_is_the_image_and_the_label_on_its_voxels_with_its_masses(tmp_path):
    store = made_store(tmp_path, 1)
    hu, values = made_ct(0)
    file, (case,) = loaded(store, tmp_path, labelled_cases(store)[0])
    assert np.array_equal(case.volume.hu, hu) and np.array_equal(case.label_map.values, values)
    assert (file.origin, case.origin) == (Origin.VOLUME, Origin.VOLUME) and case.patient == file.patient
    assert sorted(mass.mass_class.value for mass in case.masses) == ["cystic", "solid"]
    assert MassClass.SOLID in {mass.mass_class for mass in case.masses}


def test_a_dicom_series_is_read_by_its_uid_from_the_folder_of_its_study(tmp_path, made_study):
    """The series before contrast is asked for, which nobody would choose of that study."""
    store = LabelStore(tmp_path / "store")
    usual = open_study(made_study.dicom)
    uid = usual.decisions["other_phases"][0]["series_instance_uid"]
    volume = open_study(made_study.dicom, series_instance_uid=uid).volume
    store.register([StoredImage("s", made_study.dicom.name, patient="p", series_instance_uid=uid)])
    values = np.zeros(volume.grid.shape, np.uint8)
    values[2:5, 2:5, 1:3] = 1
    content = nib.Nifti1Image(values, volume.grid.affine).to_bytes()
    store.commit("s", content, suffix=".nii", note=VersionNote("ann"))
    (file,) = case_files_of(store, labelled_cases(store), InFolder(made_study.dicom.parent))
    (case,) = file.load()
    assert np.array_equal(case.volume.hu, volume.hu) and not np.array_equal(case.volume.hu, usual.volume.hu)
    assert case.label_map.values.sum() == 18


def test_of_a_label_of_some_slices_only_those_are_seen(tmp_path):
    """Three of ten slices are done: what lies outside is neither kidney nor background, it is not there."""
    store = LabelStore(tmp_path / "store")
    hu, values = made_ct(0)
    x, y, _ = SHAPE
    boxes = {"assessed_region": {"boxes": [[0, x, 0, y, 3, 5], [0, x, 0, y, 7, 8]]}}
    partial = values.copy()
    partial[:, :, [0, 1, 2, 5, 6, 8, 9]] = 0  # nobody drew there
    add_case(store, tmp_path, 0, values=partial, info=boxes)
    (case,) = labelled_cases(store)
    assert not case.whole
    file, parts = loaded(store, tmp_path, case)
    assert [part.volume.grid.shape[2] for part in parts] == [2, 1] and file.origin is Origin.SLAB
    assert np.array_equal(parts[0].volume.hu, hu[:, :, 3:5]) and np.array_equal(
        parts[0].label_map.values, values[:, :, 3:5]
    )
    assert len({part.name for part in parts}) == 2 and {part.patient for part in parts} == {case.patient}
    corner = parts[1].volume.grid.to_patient(np.array([[0, 0, 0]]))
    assert np.allclose(corner, case_grid_point(store, tmp_path, (0, 0, 7)))


def case_grid_point(store, folder, index):
    from renalct.formats.nifti import read_grid

    return read_grid(folder / "images" / "ct 000.nii").to_patient(np.array([index]))


def test_a_missing_image_and_a_label_on_other_voxels_name_the_case(tmp_path):
    store = made_store(tmp_path, 1)
    store.register([StoredImage("gone", "gone.nii", patient="p")])
    commit(store, "gone", made_ct(0)[1])
    files = case_files_of(store, labelled_cases(store), InFolder(tmp_path / "images"))
    with pytest.raises(InputError, match=r"gone: the image gone is not in .* flag the case to leave it out"):
        next(file for file, case in zip(files, labelled_cases(store), strict=True) if case.image_id == "gone").load()
    commit(store, "ct 000", np.ones((4, 4, 4), np.uint8))
    case = next(each for each in labelled_cases(store) if each.image_id == "ct 000")
    with pytest.raises(InputError, match=r"ct 000: .*voxels.*flag the case to leave it out"):
        loaded(store, tmp_path, case)


def test_another_store_is_noticed_by_the_hash_of_a_version(tmp_path):
    store = made_store(tmp_path / "one", 1)
    (case,) = labelled_cases(store)
    other = LabelStore(tmp_path / "other")
    add_case(other, tmp_path / "two", 0, values=np.minimum(made_ct(0)[1], 1))
    with pytest.raises(InputError, match="give the store that the training was started with"):
        case_files_of(other, [case], InFolder(tmp_path / "two" / "images"))


def test_patients_are_known_by_a_hash_of_their_name_else_of_the_study_else_of_the_image():
    named = StoredImage("a", "a.nii", patient="Ann", study_instance_uid="1.2")
    same = StoredImage("b", "b.nii", patient="Ann", study_instance_uid="1.3")
    assert patient_key(named) == patient_key(same) and "Ann" not in patient_key(named)
    unnamed = [StoredImage(name, "x", study_instance_uid=uid) for name, uid in (("c", "1.4"), ("d", "1.4"), ("e", ""))]
    keys = [patient_key(image) for image in unnamed]
    assert keys[0] == keys[1] != keys[2]


def test_cases_are_files_that_other_processes_can_read(tmp_path):
    import pickle

    store = made_store(tmp_path, 1)
    (file,) = case_files_of(store, labelled_cases(store), InFolder(tmp_path / "images"))
    (case,) = pickle.loads(pickle.dumps(file)).load()
    assert case.label_map.values.any()
