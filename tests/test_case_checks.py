"""Every way in which a pair can be bad, found before anything starts; and the strata of the good cases."""

import nrrd
import numpy as np
import pytest
from made_cases import (
    AFFINE,
    KIDNEY_ML,
    SHAPE,
    TUMOR_ML,
    kits_folder,
    made_hu,
    made_labels,
    save,
    save_pair,
    write_json,
)
from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.models.case_checks import BadCase, check_cases, patients_of, survey_cases, without_bad
from renalct.models.cases import case_files, phantom_files
from renalct.models.splits import Stratify
from test_kits import write_stack
from test_labelled import dicom_study


def moved(by_mm, axis=0):
    affine = AFFINE.copy()
    affine[axis, 3] += by_mm
    return affine


def mirrored():
    affine = AFFINE.copy()
    affine[0] = [2, 0, 0, 90 - 2 * (SHAPE[0] - 1)]
    return affine


def with_value(value, dtype=np.int16):
    labels = made_labels().astype(dtype)
    labels[8, 8, 4] = value
    return labels


CASES = {
    "shape": (made_hu((20, 18, 9)), made_labels(), AFFINE, "20 x 18 x 8 voxels and its image 20 x 18 x 9"),
    "moved": (made_hu(), made_labels(), moved(0.5), "up to 0.50 mm away"),
    "mirrored": (made_hu(), made_labels(), mirrored(), "mm away from its image"),
    "unknown value": (made_hu(), with_value(9), AFFINE, "the value 9; label values are whole numbers from 0 to 4"),
    "negative value": (made_hu(), with_value(-1), AFFINE, "the value -1"),
    "fraction": (made_hu(), with_value(0.5, np.float32), AFFINE, "the value 0.5"),
    "not a number": (made_hu(), with_value(np.nan, np.float32), AFFINE, "the value nan"),
    "empty": (made_hu(), np.zeros(SHAPE, np.uint8), AFFINE, "the labels are empty"),
    "full": (made_hu(), np.ones(SHAPE, np.uint8), AFFINE, "no background"),
    "no kidney": (made_hu(), made_labels(kidney=3), AFFINE, "masses and no kidney"),
    "picture": (((made_hu() + 1000) // 5).astype(np.uint8), made_labels(), AFFINE, "not CT numbers"),
    "unscaled": (made_hu() + 1024, made_labels(), AFFINE, "not CT numbers"),
    "scaled to one": (np.float32(made_hu() / 1000), made_labels(), AFFINE, "not the CT numbers of a body"),
    "constant": (np.full(SHAPE, -1024, np.int16), made_labels(), AFFINE, "constant: every voxel is -1024"),
    "infinite": (np.where(made_hu() > 0, np.inf, -90.0), made_labels(), AFFINE, "not finite"),
    "two rescales": (made_hu() - 400, made_labels(), AFFINE, "nothing but air"),
}


@pytest.mark.parametrize("fault", CASES)
def test_each_fault_is_named_and_no_other(tmp_path, fault):
    image, labels, affine, words = CASES[fault]
    save(tmp_path / "images" / "a.nii.gz", image)
    save(tmp_path / "labels" / "a.nii.gz", labels, affine)
    (bad,) = check_cases(case_files(tmp_path))
    assert bad.name == bad.patient == "a" and len(bad.reasons) == 1
    assert words in bad.reasons[0] and str(bad) == f"a: {bad.reasons[0]}"


def test_labels_that_lie_in_air_show_that_the_image_has_another_scale(tmp_path):
    labels = made_labels()[::-1].copy()
    labels[:] = 0
    labels[0:2, :, 1:7] = Structure.KIDNEY
    save(tmp_path / "images" / "a.nii.gz", made_hu())
    save(tmp_path / "labels" / "a.nii.gz", labels)
    assert "a median of -1000" in check_cases(case_files(tmp_path))[0].reasons[0]


def test_two_faults_of_one_pair_are_both_told(tmp_path):
    save(tmp_path / "images" / "a.nii.gz", np.full(SHAPE, -1024, np.int16))
    save(tmp_path / "labels" / "a.nii.gz", with_value(9))
    (bad,) = check_cases(case_files(tmp_path))
    assert ["the value 9" in r for r in bad.reasons] == [True, False] and "constant" in bad.reasons[1]


def test_missing_halves_and_unreadable_files_are_told_and_the_good_case_is_left(tmp_path):
    kits_folder(tmp_path, 6)
    case = [tmp_path / "dataset" / f"case_{n:05d}" for n in range(6)]
    (case[0] / "imaging.nii.gz").unlink()
    (case[1] / "segmentation.nii.gz").unlink()
    (case[2] / "imaging.nii.gz").write_bytes(b"no NIfTI")
    whole = (case[3] / "segmentation.nii.gz").read_bytes()
    (case[3] / "segmentation.nii.gz").write_bytes(whole[: len(whole) // 2])
    (case[4] / "imaging.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\n")
    heard = []
    files = case_files(tmp_path)
    bad = check_cases(files, tell=lambda done, of: heard.append((done, of)))
    words = ["image is missing", "labels are missing", "imaging.nii.gz cannot be read", "segmentation.nii.gz cannot"]
    assert [len(b.reasons) for b in bad] == [1] * 5
    assert all(word in b.reasons[0] for word, b in zip([*words, "git lfs pull"], bad, strict=True))
    assert heard == [(n, 6) for n in range(1, 7)]
    assert [f.name for f in without_bad(files, bad)] == ["case_00005"]


def test_processes_find_the_same_in_the_same_order(tmp_path):
    kits_folder(tmp_path, 4)
    save(tmp_path / "dataset" / "case_00002" / "segmentation.nii.gz", with_value(9))
    files = case_files(tmp_path)
    survey = survey_cases(files, workers=2)
    assert survey == survey_cases(files) and [b.name for b in survey.bad] == ["case_00002"]


@pytest.mark.parametrize(
    ("notes", "labels", "words"),
    [
        ({"assessed": ["kidney"]}, {}, "hold tumor, and the notes say that it was not assessed"),
        ({"presence": {"tumor": "absent"}}, {}, "hold tumor, and the notes say that it is absent"),
        ({"presence": {"cyst": "present"}}, {}, "hold no cyst, and the notes say that it is present"),
        ({"presence": {"tumor": "present"}}, {"tumor": 4}, None),
        ({"assessed": ["tumor"]}, {"kidney": 2}, None),
        ({"presence": {"kidney": "absent"}}, {"kidney": 2}, None),
        ({"presence": {"kidney": "absent", "tumor": "absent", "cyst": "absent"}}, {"kidney": 0, "tumor": 0}, None),
        ({"presence": {"kidney": "absent", "cyst": "absent"}}, {"kidney": 0, "tumor": 0}, "the labels are empty"),
        ({"assessed": ["lung"]}, {}, "'lung'"),
    ],
)
def test_labels_are_held_against_their_notes(tmp_path, notes, labels, words):
    save_pair(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz", **labels)
    write_json(tmp_path / "labels" / "a.json", notes)
    bad = check_cases(case_files(tmp_path))
    if words is None:
        assert bad == ()
    else:
        assert words in bad[0].reasons[0]


def test_an_nrrd_of_overlapping_segments_is_told(tmp_path):
    save(tmp_path / "a.nii.gz", made_hu())
    header = {"space": "RAS", "space directions": [[np.nan] * 3, *AFFINE[:3, :3].T], "space origin": AFFINE[:3, 3]}
    contradicting = np.where(made_labels() == Structure.TUMOR, Structure.CYST, 0).astype(np.uint8)
    nrrd.write(str(tmp_path / "a.seg.nrrd"), np.stack([made_labels(), contradicting]), header)
    assert "one voxel can have one label" in check_cases(case_files(tmp_path))[0].reasons[0]


def test_slices_may_lie_beside_the_kidneys_and_are_bad_when_a_picture_is_missing(tmp_path):
    for n, label in enumerate((0, 1, 2)):
        write_stack(tmp_path / f"case_{n}", label=label)
    (tmp_path / "case_1" / "label_0012.png").unlink()
    survey = survey_cases(case_files(tmp_path))
    assert [b.name for b in survey.bad] == ["case_1"] and "label_0012.png" in survey.bad[0].reasons[0]
    assert [c.structures for c in survey.contents] == [frozenset(), {Structure.TUMOR}]


def test_dicom_pairs_are_checked_too(tmp_path):
    dicom_study(tmp_path / "a")
    dicom_study(tmp_path / "b", study="1.2.2", series="1.2.2.4")
    (tmp_path / "b" / "ct" / "IM0009.dcm").unlink()
    survey = survey_cases(case_files(tmp_path))
    assert [b.name for b in survey.bad] == ["1.2.2.4"] and len(survey.bad[0].reasons) == 1
    assert [c.name for c in survey.contents] == ["1.2.3.4"]


def test_phantoms_are_good_and_a_name_that_stands_twice_is_bad(tmp_path):
    phantoms = phantom_files(range(2))
    assert check_cases(phantoms) == () and without_bad(phantoms, ()) == phantoms
    files = case_files(kits_folder(tmp_path, 1))
    assert "more than one case" in check_cases([*files, *files])[0].reasons[0]


def test_no_case_left_is_an_error_that_names_the_first(tmp_path):
    files = case_files(kits_folder(tmp_path, 1))
    with pytest.raises(InputError, match="none of the 1 cases can be used; the first: case_00000: x"):
        without_bad(files, [BadCase("case_00000", "case_00000", ("x",))])
    assert check_cases([]) == ()


def test_contents_are_volumes_of_what_is_labelled(tmp_path):
    (content,) = survey_cases(case_files(kits_folder(tmp_path, 1))).contents
    assert dict(content.volumes_ml) == pytest.approx({Structure.KIDNEY: KIDNEY_ML, Structure.TUMOR: TUMOR_ML})
    assert content.masses_ml == pytest.approx(TUMOR_ML)


def test_patients_are_in_strata_of_histology_content_or_size(tmp_path):
    for n, tumor in enumerate((2, 3, 1)):
        case = tmp_path / f"p{n}"
        save_pair(case / "imaging.nii.gz", case / "segmentation.nii.gz", tumor=tumor)
        write_json(case / "segmentation.json", {"patient": "q" if n else "p", "histology": ("a", "", "b")[n]})
    files = case_files(tmp_path)
    contents = survey_cases(files).contents

    def strata(by, **given):
        return {patient.name: patient.stratum for patient in patients_of(files, by=by, **given)}

    assert strata(Stratify.NOTHING) == {"p": "", "q": ""}
    assert strata(Stratify.HISTOLOGY) == {"p": "a", "q": "b"}
    assert strata(Stratify.CONTENT, contents=contents) == {"p": "tumor", "q": "cyst"}
    assert strata(Stratify.SIZE, contents=contents) == {"p": "up to the median", "q": "up to the median"}
    for by in (Stratify.CONTENT, Stratify.SIZE):
        with pytest.raises(InputError, match="check the cases first"):
            patients_of(files, by=by, contents=contents[:2])
    assert patients_of((), by=Stratify.SIZE) == ()
