"""Folders of labelled images: each layout is recognised, paired and read; what is none is described."""

import json

import nrrd
import numpy as np
import pytest
from dicom_corpus import load, made_slices
from dicom_corpus import save as save_dicom
from dicom_findings import SETTINGS, box_mask, made_kidney, made_mass, made_report
from made_cases import AFFINE, kits_folder, made_hu, made_labels, save, save_pair, write_json
from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.findings import Findings
from renalct.core.labels import MassClass, Side, Structure
from renalct.formats import nifti
from renalct.formats.dicom.seg import segmentation, segments_of
from renalct.formats.dicom.written import Analysis
from renalct.formats.labelled import find_labelled, read_labelled
from renalct.formats.labelled_pair import LabelledKind
from renalct.formats.monai_label import names_of
from test_kits import write_stack


def names(found):
    return [pair.name for pair in found.pairs]


def only(folder):
    (pair,) = find_labelled(folder).pairs
    return pair


def labels_read(pair):
    (image,) = read_labelled(pair)
    return image.label_map.values


# KiTS


@pytest.mark.parametrize("inner", [".", "dataset"])
def test_kits23_is_found_with_its_histology_from_the_clone_or_its_data_folder(tmp_path, inner):
    found = find_labelled(kits_folder(tmp_path) / inner)
    assert found.kind is LabelledKind.KITS and names(found) == ["case_00000", "case_00001"]
    assert [p.notes.histology for p in found.pairs] == ["angiomyolipoma", "clear_cell_rcc"]
    assert [p.notes.diameter_mm for p in found.pairs] == [25.0, 25.0]
    assert [p.patient for p in found.pairs] == names(found) and found.notices == ()
    assert found.describe() == "KiTS cases: 2"


def test_a_kits_case_is_read_as_it_is(tmp_path):
    (image,) = read_labelled(find_labelled(kits_folder(tmp_path, 1)).pairs[0])
    np.testing.assert_array_equal(image.volume.hu, made_hu())
    np.testing.assert_array_equal(image.label_map.values, made_labels())
    assert image.volume.grid.same_as(image.label_map.grid)


def test_finding_reads_no_voxel(tmp_path, monkeypatch):
    kits_folder(tmp_path)
    monkeypatch.setattr(nifti, "_opened", None)
    assert len(find_labelled(tmp_path).pairs) == 2


def test_kits21_gives_its_majority_vote_and_its_annotations(tmp_path):
    case = tmp_path / "kits21" / "data" / "case_00003"
    save(case / "imaging.nii.gz", made_hu())
    for rule, value in (("AND", 1), ("MAJ", 2), ("OR", 3)):
        save(case / f"aggregated_{rule}_seg.nii.gz", made_labels(tumor=value))
    (case / "segmentations").mkdir()
    pair = only(tmp_path)
    assert pair.labels.name == "aggregated_MAJ_seg.nii.gz" and pair.annotations.name == "segmentations"
    assert labels_read(pair).max() == 2


def test_one_kits_case_alone_is_found(tmp_path):
    save_pair(tmp_path / "case_00007" / "imaging.nii.gz", tmp_path / "case_00007" / "segmentation.nii.gz")
    found = find_labelled(tmp_path / "case_00007")
    assert names(found) == ["case_00007"] and "histology of the tumors is not known" in found.notices[0]


def test_kits_cases_without_imaging_or_segmentation_are_found_as_halves(tmp_path):
    kits_folder(tmp_path, 3)
    (tmp_path / "dataset" / "case_00001" / "imaging.nii.gz").unlink()
    (tmp_path / "dataset" / "case_00002" / "segmentation.nii.gz").unlink()
    found = find_labelled(tmp_path)
    assert found.describe() == "KiTS cases: 3 (1 without image, 1 without labels)"
    for pair, half in zip(found.pairs[1:], ("image is", "labels are"), strict=True):
        with pytest.raises(InputError, match=f"the {half} missing"):
            read_labelled(pair)


def test_other_folders_beside_the_cases_are_told(tmp_path):
    save(kits_folder(tmp_path, 1) / "dataset" / "raw" / "x.nii.gz", made_hu())
    assert find_labelled(tmp_path).notices == ("1 other folders hold no case and are not read.",)


def test_metadata_of_another_shape_is_told_and_not_fatal(tmp_path):
    write_json(kits_folder(tmp_path) / "dataset" / "kits23.json", {"cases": 1})
    assert "is no KiTS metadata" in find_labelled(tmp_path).notices[0]


# NIfTI pairs


def test_nnunet_channels_and_names_are_understood(tmp_path):
    for case in ("a", "b_0001"):
        save_pair(tmp_path / "imagesTr" / f"{case}_0000.nii.gz", tmp_path / "labelsTr" / f"{case}.nii.gz", tumor=4)
    save(tmp_path / "imagesTr" / "a_0001.nii.gz", made_hu())
    save(tmp_path / "imagesTs" / "c_0000.nii.gz", made_hu())
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "kidney": 1, "cyst": 4}})
    found = find_labelled(tmp_path)
    assert found.kind is LabelledKind.NNUNET and names(found) == ["a", "b_0001"]
    assert "1 cases have further channels" in found.notices[0]
    assert np.unique(labels_read(found.pairs[0])).tolist() == [0, Structure.KIDNEY, Structure.CYST]


def test_decathlon_names_run_from_value_to_name(tmp_path):
    save_pair(tmp_path / "imagesTr" / "kits_1.nii.gz", tmp_path / "labelsTr" / "kits_1.nii.gz", kidney=2, tumor=1)
    write_json(tmp_path / "dataset.json", {"labels": {"0": "background", "1": "tumor", "2": "kidney"}})
    np.testing.assert_array_equal(labels_read(only(tmp_path)), made_labels())


def test_regions_of_nnunet_name_no_values(tmp_path):
    save_pair(tmp_path / "imagesTr" / "a_0000.nii.gz", tmp_path / "labelsTr" / "a.nii.gz")
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "kidney": [1, 2, 3], "tumor": 2}})
    found = find_labelled(tmp_path)
    assert "regions" in found.notices[0] and labels_read(found.pairs[0]).max() == 2


def test_a_name_that_is_unknown_is_refused_when_it_occurs(tmp_path):
    save_pair(tmp_path / "imagesTr" / "a.nii.gz", tmp_path / "labelsTr" / "a.nii.gz")
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "liver": 1, "tumor": 2}})
    with pytest.raises(LabelError, match="'liver'"):
        read_labelled(only(tmp_path))


@pytest.mark.parametrize("label", ["a.nii.gz", "a_seg.nii.gz", "a-label.nii"])
def test_images_and_labels_in_two_folders_are_paired_by_name(tmp_path, label):
    save_pair(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / label)
    save(tmp_path / "labels" / "z.nii.gz", made_labels())
    found = find_labelled(tmp_path)
    assert found.kind is LabelledKind.PAIRS and found.describe() == "NIfTI pairs: 2 (1 without image)"
    np.testing.assert_array_equal(labels_read(found.pairs[0]), made_labels())


def test_images_and_labels_beside_each_other_are_paired_by_ending(tmp_path):
    for name, ending in (("a", "_seg"), ("b_ct", "_label"), ("c_0000", "-label")):
        stem = name.removesuffix("_ct").removesuffix("_0000")
        save_pair(tmp_path / f"{name}.nii.gz", tmp_path / f"{stem}{ending}.nii.gz")
    save(tmp_path / "._a.nii.gz", made_hu())
    found = find_labelled(tmp_path)
    assert names(found) == ["a", "b", "c"] and all(p.image and p.labels for p in found.pairs)


def test_a_folder_for_each_patient_keeps_a_patients_cases_together(tmp_path):
    for patient, case in (("p1", "early"), ("p1", "late"), ("p2", "early")):
        save_pair(tmp_path / patient / f"{case}.nii.gz", tmp_path / patient / f"{case}_seg.nii.gz")
    found = find_labelled(tmp_path)
    assert names(found) == ["late", "p1_early", "p2_early"]
    assert [p.patient for p in found.pairs] == ["p1", "p1", "p2"]


def test_an_image_called_ct_is_paired_with_its_own_labels(tmp_path):
    save_pair(tmp_path / "p1" / "ct.nii.gz", tmp_path / "p1" / "ct_seg.nii.gz")
    save_pair(tmp_path / "p2" / "ct.nii.gz", tmp_path / "p2" / "ct_seg.nii.gz")
    found = find_labelled(tmp_path)
    assert found.kind is LabelledKind.PAIRS and names(found) == ["p1_ct", "p2_ct"]
    assert found.describe() == "NIfTI pairs: 2"


def test_case_folders_with_other_usual_names_are_cases(tmp_path):
    save_pair(tmp_path / "p1" / "ct.nii.gz", tmp_path / "p1" / "label.nii.gz")
    assert only(tmp_path).kind is LabelledKind.KITS and labels_read(only(tmp_path)).max() == 2


def test_a_sidecar_says_patient_and_what_was_assessed(tmp_path):
    save_pair(tmp_path / "images" / "a.nii.gz", tmp_path / "labels" / "a.nii.gz")
    write_json(tmp_path / "labels" / "a.json", {"patient": "p9", "assessed": ["kidney"]})
    pair = only(tmp_path)
    assert pair.patient == "p9" and Structure.CYST not in pair.notes.assessed and pair.fault == ""
    write_json(tmp_path / "labels" / "a.json", {"assessed": ["lung"]})
    assert "'lung'" in only(tmp_path).fault


def test_a_segmentation_of_slicer_is_read_by_its_names(tmp_path):
    save(tmp_path / "a.nii.gz", made_hu())
    header = {
        "space": "right-anterior-superior",
        "space directions": AFFINE[:3, :3].T,
        "space origin": AFFINE[:3, 3],
        "Segment0_Name": "Kidney tumour",
        "Segment0_LabelValue": "1",
        "Segment1_Name": "Left kidney",
        "Segment1_LabelValue": "7",
    }
    nrrd.write(str(tmp_path / "a.seg.nrrd"), made_labels(kidney=7, tumor=1), header)
    np.testing.assert_array_equal(labels_read(only(tmp_path)), made_labels())


def test_an_nrrd_without_names_has_our_values(tmp_path):
    save(tmp_path / "a.nii.gz", made_hu())
    header = {"space": "RAS", "space directions": AFFINE[:3, :3].T, "space origin": AFFINE[:3, 3]}
    nrrd.write(str(tmp_path / "a_label.nrrd"), made_labels(), header)
    np.testing.assert_array_equal(labels_read(only(tmp_path)), made_labels())


def test_labels_on_another_grid_are_refused(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] += 2
    save(tmp_path / "a.nii.gz", made_hu())
    save(tmp_path / "a_seg.nii.gz", made_labels(), moved)
    with pytest.raises(GeometryError, match=r"up to 2\.00 mm away"):
        read_labelled(only(tmp_path))


def test_a_pointer_in_place_of_a_file_says_how_to_get_the_file(tmp_path):
    kits_folder(tmp_path, 1)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"
    (tmp_path / "dataset" / "case_00000" / "segmentation.nii.gz").write_text(pointer)
    with pytest.raises(InputError, match="git lfs pull"):
        read_labelled(only(tmp_path))


# MONAI Label


def monai_store(folder, label_info, **image):
    save(folder / "a.nii.gz", made_hu())
    save(folder / "b.nii.gz", made_hu())
    save(folder / "labels" / "final" / "a.nii.gz", made_labels(**image))
    save(folder / "labels" / "original" / "b.nii.gz", made_labels())
    entry = {"image": {"ext": ".nii.gz"}, "labels": {"final": {"ext": ".nii.gz", "info": label_info}}}
    write_json(folder / "datastore_v2.json", {"images_dir": ".", "labels_dir": "labels", "objects": {"a": entry}})
    return find_labelled(folder)


def test_final_labels_of_monai_label_are_read_by_name(tmp_path):
    info = {"label_info": [{"name": "tumor", "idx": 1}, {"name": "kidney", "idx": 2}]}
    found = monai_store(tmp_path, info, kidney=2, tumor=1)
    assert found.kind is LabelledKind.MONAI_LABEL and names(found) == ["a"]
    assert found.notices == ("1 images have no final label yet.",)
    np.testing.assert_array_equal(labels_read(found.pairs[0]), made_labels())


def test_the_store_may_say_what_was_assessed(tmp_path):
    (pair,) = monai_store(tmp_path, {"presence": {"cyst": "not assessed"}, "patient": "p1"}).pairs
    assert Structure.CYST not in pair.notes.assessed and pair.patient == "p1"
    np.testing.assert_array_equal(labels_read(pair), made_labels())


def test_names_that_cannot_be_read_make_the_pair_bad(tmp_path):
    (pair,) = monai_store(tmp_path, {"label_info": [{"name": "tumor"}]}).pairs
    assert "send label_info" in pair.fault


def test_a_store_without_its_index_still_pairs_by_name(tmp_path):
    monai_store(tmp_path, {})
    (tmp_path / "datastore_v2.json").write_text("{")
    found = find_labelled(tmp_path)
    assert names(found) == ["a"] and "datastore_v2.json was not used" in found.notices[0]


def test_a_models_names_count_where_a_viewer_gives_none():
    assert names_of({"params": {"label_names": {"kidney": 1}}}) == (("kidney", 1),)
    assert names_of({}) == ()


# Slices


def test_stacks_are_found_with_their_histology_and_give_a_case_per_run(tmp_path):
    write_stack(tmp_path / "case_00001", numbers=(25, 26, 27, 35, 36))
    pair = only(tmp_path)
    assert pair.kind is LabelledKind.STACKS and pair.notes.histology == "papillary_rcc"
    assert [image.name for image in read_labelled(pair)] == ["case_00001_0", "case_00001_1"]


def test_single_slices_are_read_one_by_one_and_belong_to_their_patient(tmp_path):
    from PIL import Image

    for n in (1, 2):
        Image.fromarray(np.full((2, 3), 100 * n, np.uint8)).save(tmp_path / f"case_{n}_image.webp", lossless=True)
        Image.fromarray(np.ones((2, 3), np.uint8)).save(tmp_path / f"case_{n}_label.png")
    entries = [{"case": f"case_{n}", "spacing_yx_mm": 0.9} for n in (1, 2, 3)]
    (tmp_path / "index.json").write_text(json.dumps(entries))
    found = find_labelled(tmp_path)
    assert found.describe() == "single slices: 3 (1 without image, 1 without labels)"
    assert (names(found)[1], found.pairs[1].patient) == ("case_2_single", "case_2")
    (image,) = read_labelled(found.pairs[1])
    assert image.volume.hu[0, 0, 0] == round(-79 + 200 * 383 / 255)


# DICOM


def ct_slice(_):
    return made_hu((40, 32, 1))[..., 0].T


def dicom_study(folder, *, study="1.2.3", series="1.2.3.4", patient="HIDDEN", slices=20):
    """A CT series of 40 columns and 32 rows, and its segmentation of a kidney with a cyst."""
    datasets = made_slices(slices, study=study, series=series, values=ct_slice, PatientID=patient)
    save_dicom(datasets, folder / "ct")
    loaded = load(folder / "ct")
    grid = loaded.volume.grid
    kidney = made_kidney(grid, Side.LEFT, box_mask((8, 8, 4), (18, 15, 16)))
    cyst = made_mass(grid, 1, Side.LEFT, box_mask((20, 8, 2), (24, 14, 7)), MassClass.CYSTIC)
    analysis = Analysis.of(loaded, made_report(Findings((kidney,), (cyst,))), SETTINGS)
    (folder / "seg").mkdir()
    seg = segmentation(analysis, segments_of(analysis))
    seg.save_as(folder / "seg" / "seg.dcm")
    return seg


def test_a_series_and_its_segmentation_are_a_pair_without_the_patients_id(tmp_path):
    dicom_study(tmp_path / "a")
    dicom_study(tmp_path / "b", study="1.2.2", series="1.2.2.4")
    dicom_study(tmp_path / "c", study="1.2.9", series="1.2.9.4", patient="OTHER")
    found = find_labelled(tmp_path)
    assert found.kind is LabelledKind.DICOM and names(found) == ["1.2.2.4", "1.2.3.4", "1.2.9.4"]
    assert [p.patient for p in found.pairs] == ["1.2.2", "1.2.2", "1.2.9"]
    assert "HIDDEN" not in repr(found)
    (image,) = read_labelled(found.pairs[1])
    counts = np.bincount(image.label_map.values.reshape(-1), minlength=4)
    assert counts[Structure.KIDNEY] == 10 * 7 * 12 and counts[Structure.CYST] == 4 * 6 * 5
    assert image.volume.hu[20, 16, 3] == 60


def test_a_study_without_patient_id_is_a_patient_of_its_own(tmp_path):
    dicom_study(tmp_path / "a", patient="")
    dicom_study(tmp_path / "b", study="1.2.2", series="1.2.2.4", patient="")
    assert [p.patient for p in find_labelled(tmp_path).pairs] == ["1.2.2", "1.2.3"]


def test_a_series_without_segmentation_and_a_segmentation_without_series_are_told(tmp_path):
    dicom_study(tmp_path / "a")
    save_dicom(made_slices(20, series="1.2.3.5", values=ct_slice), tmp_path / "more", prefix="X")
    seg = dicom_study(tmp_path / "b", study="1.2.2", series="1.2.2.4")
    for path in (tmp_path / "b" / "ct").iterdir():
        path.unlink()
    found = find_labelled(tmp_path)
    assert found.describe() == "DICOM series with segmentations: 2 (1 without image)"
    assert str(seg.SOPInstanceUID) in names(found)
    assert found.notices == ("1 CT series have no segmentation and are not used.",)


def test_two_segmentations_of_one_series_are_a_fault(tmp_path):
    seg = dicom_study(tmp_path)
    seg.SOPInstanceUID += ".1"
    seg.file_meta.MediaStorageSOPInstanceUID = seg.SOPInstanceUID
    seg.save_as(tmp_path / "seg" / "second.dcm")
    assert "2 segmentations refer to this series" in only(tmp_path).fault


def test_a_segmentation_that_names_no_series_belongs_to_the_only_one_in_its_place(tmp_path):
    seg = dicom_study(tmp_path)
    del seg.ReferencedSeriesSequence
    seg.save_as(tmp_path / "seg" / "seg.dcm")
    assert only(tmp_path).name == "1.2.3.4"
    save_dicom(made_slices(20, series="1.2.3.5", values=ct_slice), tmp_path / "more", prefix="X")
    assert only(tmp_path).image is None


def test_a_damaged_segmentation_is_an_error_of_the_input(tmp_path):
    seg = dicom_study(tmp_path)
    del seg.SegmentSequence
    seg.save_as(tmp_path / "seg" / "seg.dcm")
    with pytest.raises(InputError, match="damaged DICOM segmentation"):
        read_labelled(only(tmp_path))


def test_segmentations_alone_are_found_without_images(tmp_path):
    dicom_study(tmp_path)
    for path in (tmp_path / "ct").iterdir():
        path.unlink()
    assert only(tmp_path).image is None


# None of these


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ((), "0 folders and 0 files"),
        (("a.txt", "b.txt", "c.png"), r"3 files \(2 \.txt, 1 \.png\)"),
        (("a.nii.gz",), r"1 files \(1 \.nii\.gz\)"),
    ],
)
def test_a_folder_of_another_kind_says_what_is_in_it_and_what_is_needed(tmp_path, files, told):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=told) as error:
        find_labelled(tmp_path)
    assert "imagesTr and labelsTr" in str(error.value)


def test_names_in_a_folder_that_is_not_understood_stay_untold(tmp_path):
    (tmp_path / "Jane_Doe").mkdir()
    (tmp_path / "Doe.txt").touch()
    with pytest.raises(InputError) as error:
        find_labelled(tmp_path)
    assert "Doe" not in str(error.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        find_labelled(tmp_path / "none")


def test_dicom_images_alone_are_no_labelled_images(tmp_path):
    save_dicom(made_slices(3), tmp_path)
    with pytest.raises(InputError, match="no labelled images"):
        find_labelled(tmp_path)
