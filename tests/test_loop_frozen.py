"""The frozen validation set: whole patients, every kind of mass, one hash, and never trained on."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.learning.loop.frozen import (
    FreezeSettings,
    freeze,
    grow,
    keep_frozen,
    read_frozen,
    renew,
    without_frozen,
)
from renalct.learning.loop.labelled_cases import LabelledCase

KIDNEY, TUMOR, CYST = Structure.KIDNEY, Structure.TUMOR, Structure.CYST


def case(number, *, patient=None, present=(KIDNEY, TUMOR), whole=True, version=1):
    owner = f"p{number}" if patient is None else patient
    sha256 = f"{number:032d}{version:032d}"
    return LabelledCase(f"ct {number}", owner, version, sha256, 0.0, tuple(Structure), present, whole)


def patients(count, start=0):
    """A half with tumors, a quarter with cysts, a quarter with nothing; two scans of each."""
    kinds = [(KIDNEY, TUMOR), (KIDNEY, TUMOR), (KIDNEY, CYST), (KIDNEY,)]
    return [
        case(2 * n + scan, patient=f"p{n}", present=kinds[n % 4])
        for n in range(start, start + count)
        for scan in (0, 1)
    ]


def test_a_fifth_of_the_patients_of_every_kind_of_mass_is_frozen_with_all_their_scans():
    cases = patients(40)
    frozen = freeze(cases)
    assert len(frozen.patients) == 8 and len(frozen.cases) == 16
    kinds = Counter(each.stratum for each in frozen.cases)
    assert kinds == {"tumor": 8, "cyst": 4, "": 4}
    trained = without_frozen(cases, frozen)
    assert len(trained) == 64 and not {each.patient for each in trained} & frozen.patients


def test_the_choice_depends_on_the_seed_alone_and_not_on_the_order():
    cases = patients(40)
    one, same = freeze(cases), freeze(cases[::-1])
    assert one.sha256 == same.sha256 and one.patients == same.patients
    assert freeze(cases, FreezeSettings(seed=1)).sha256 != one.sha256


def test_the_hash_knows_patients_images_and_label_versions():
    frozen = freeze(patients(20))
    first, *others = frozen.cases
    for changed in (replace(first, sha256="f" * 64), replace(first, patient="x"), replace(first, image_id="y")):
        assert replace(frozen, cases=(changed, *others)).sha256 != frozen.sha256
    assert replace(frozen, cases=frozen.cases[::-1]).sha256 == frozen.sha256


def test_a_patient_with_a_label_of_some_slices_only_is_never_chosen():
    cases = [case(n, whole=n > 3) for n in range(12)]
    frozen = freeze(cases, FreezeSettings(share=0.5))
    assert not frozen.patients & {"p0", "p1", "p2", "p3"} and len(frozen.patients) == 4


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_patients_for_a_set_and_a_training_are_refused(count):
    with pytest.raises(InputError, match="too few to freeze"):
        freeze(patients(count))


def test_the_fewest_patients_leave_one_to_train_on():
    cases = patients(4)
    assert len(freeze(cases).patients) == 3


def test_training_refuses_a_case_of_a_frozen_patient_by_patient_and_by_image():
    frozen = freeze(patients(20))
    held = frozen.cases[0]
    other_scan = case(999, patient=held.patient)
    renamed = replace(held, patient="somebody else")  # the store learned another name for the patient later
    for bad in (held, other_scan, renamed):
        with pytest.raises(InputError, match="1 cases are of patients of the frozen validation set"):
            frozen.refuse_trained([bad])
    frozen.refuse_trained(without_frozen(patients(20), frozen))


def test_a_patient_whose_name_changed_after_the_freeze_stays_out_of_the_training():
    cases = patients(20)
    frozen = freeze(cases)
    name = frozen.cases[0].patient
    renamed = [replace(each, patient="new name") if each.patient == name else each for each in cases]
    more = [*renamed, case(998, patient="new name")]
    assert "new name" not in {each.patient for each in without_frozen(more, frozen)}


def test_a_set_is_chosen_once_and_grows_only_from_the_one_that_is_there(tmp_path):
    cases = patients(20)
    first = freeze(cases)
    keep_frozen(tmp_path, first)
    assert read_frozen(tmp_path) == first
    keep_frozen(tmp_path, first)  # the same again is nothing new
    with pytest.raises(InputError, match="a set is chosen once"):
        keep_frozen(tmp_path, freeze(cases, FreezeSettings(seed=5)))
    grown = grow(first, cases + patients(10, start=20), trained_on=frozenset(f"p{n}" for n in range(20)))
    keep_frozen(tmp_path, grown)
    assert read_frozen(tmp_path) == grown and grown.grown_from == first.sha256 != grown.sha256
    assert grown.cases[: len(first.cases)] == first.cases
    assert read_frozen(tmp_path, first.sha256) == first
    stale = grow(first, cases + patients(10, start=40))
    with pytest.raises(InputError, match="a set is chosen once"):
        keep_frozen(tmp_path, stale)


def test_a_set_does_not_grow_by_patients_that_a_version_has_seen():
    cases = patients(20)
    first = freeze(cases)
    seen = frozenset(each.patient for each in cases) - first.patients
    with pytest.raises(InputError, match="too few to freeze"):
        grow(first, cases, trained_on=seen)
    grown = grow(first, cases + patients(5, start=20), trained_on=seen)
    assert grown.patients - first.patients and not grown.patients & seen


def test_corrected_labels_make_a_new_set_with_another_hash():
    cases = patients(20)
    first = freeze(cases)
    name = first.cases[0].image_id
    corrected = [replace(each, sha256="e" * 64, number=2) if each.image_id == name else each for each in cases]
    new = renew(first, corrected)
    assert new.patients == first.patients and new.sha256 != first.sha256 and new.grown_from == first.sha256
    with pytest.raises(InputError, match="no label of the frozen validation set has changed"):
        renew(first, cases)


def test_a_changed_file_is_refused(tmp_path):
    keep_frozen(tmp_path, freeze(patients(20)))
    (path,) = (tmp_path / "frozen").iterdir()
    data = json.loads(path.read_text())
    data["cases"] = data["cases"][1:]
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="it does not have its hash"):
        read_frozen(tmp_path)
    path.write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_frozen(tmp_path)


def test_no_set_is_nothing(tmp_path):
    assert read_frozen(tmp_path) is None


@pytest.mark.parametrize("changes", [{"share": 0}, {"share": 1}, {"least_patients": 0}, {"most_patients": 2}])
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(InputError):
        FreezeSettings(**changes)
