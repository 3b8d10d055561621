"""The images of a folder: NIfTI files and DICOM series, seen as they come and go."""

import shutil

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.grid import Grid
from renalct.core.volume import CTVolume
from renalct.formats.dicom.scan import scan_study
from renalct.formats.nifti import read_volume, write_volume
from renalct.learning.image_source import ImageFolder

GRID = Grid((3, 3, 3), np.eye(4))


def write(path, hu=-50):
    write_volume(CTVolume(np.full(GRID.shape, hu, np.int16), GRID), path)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "studies").mkdir()
    return tmp_path / "studies"


def source(folder):
    return ImageFolder(folder, cache=folder.parent / "cache")


def ids(folder):
    return [image.image_id for image in source(folder).images()]


def test_ids_keep_dots_spaces_and_what_looks_like_an_ending(folder):
    for name in ("a.nii", "b 1.5.nii.gz", "scan.nii.gz_v2.nii.gz"):
        write(folder / name)
    assert ids(folder) == ["a", "b 1.5", "scan.nii.gz_v2"]


def test_labels_our_own_files_and_hidden_ones_are_no_images(folder):
    for name in ("labels", "renalct", ".hidden"):
        (folder / name).mkdir()
        write(folder / name / "x.nii.gz")
    write(folder / ".x.nii.gz")
    (folder / "notes.txt").write_text("text")
    assert ids(folder) == []


def test_of_two_files_with_one_id_the_compressed_one_is_taken(folder):
    write(folder / "a.nii")
    write(folder / "a.nii.gz", hu=-70)
    (image,) = source(folder).images()
    assert image.location == "a.nii.gz"


def test_a_file_that_comes_or_changes_is_seen_and_gets_another_content_key(folder, monkeypatch):
    monkeypatch.setattr("renalct.learning.image_source._OLDEST_LIST_S", 0.0)
    monkeypatch.setattr("renalct.learning.image_source._SHARE_OF_TIME", 1e9)
    monkeypatch.setattr("renalct.learning.image_source._WAIT_S", 10.0)
    images = source(folder)
    assert images.images() == ()
    write(folder / "a.nii.gz")
    (first,) = images.images()
    assert images.images() is images.images(), "nothing changed"
    write(folder / "a.nii.gz", hu=-70)
    (second,) = images.images()
    assert first.image_id == second.image_id and first.content_key != second.content_key


def test_the_same_content_has_the_same_key_in_another_folder(folder, tmp_path):
    write(folder / "a.nii.gz")
    (tmp_path / "other").mkdir()
    shutil.copy(folder / "a.nii.gz", tmp_path / "other" / "a.nii.gz")
    assert source(folder).images()[0].content_key == source(tmp_path / "other").images()[0].content_key


def test_a_patient_named_beside_the_image_groups_its_images(folder):
    write(folder / "a.nii.gz")
    (folder / "a.json").write_text('{"patient": "p7"}')
    assert source(folder).images()[0].patient == "p7"


def test_notes_that_cannot_be_read_leave_the_image_without_them(folder):
    write(folder / "a.nii.gz")
    (folder / "a.json").write_text("{")
    assert [(image.image_id, image.patient) for image in source(folder).images()] == [("a", "")]


def test_series_of_a_study_are_called_by_their_uids_and_share_a_patient_without_a_name(folder, made_study):
    shutil.copytree(made_study.dicom, folder / "study of somebody")
    images = source(folder)
    found = images.images()
    series = scan_study(made_study.dicom).series
    assert {image.image_id for image in found} == {each.series_instance_uid for each in series}
    assert len({image.patient for image in found}) == 1
    assert series[0].text("PatientID") and series[0].text("PatientID") not in repr(found)
    viewable = images.viewable(found[0])
    assert viewable.name.endswith(".nii.gz") and viewable == images.viewable(found[0])
    assert np.array_equal(read_volume(viewable).hu, images.study(found[0]).volume.hu)
    assert images.details(found[0])["Modality"] == "CT"
    assert not {"PatientID", "PatientName"} & set(images.details(found[0]))


def test_an_image_that_is_added_is_a_ct_with_a_plain_name(folder, tmp_path):
    images = source(folder)
    added = images.add("new 1.5", write(tmp_path / "upload.nii.gz"))
    assert [image.image_id for image in images.images()] == [added.image_id] == ["new 1.5"]
    (tmp_path / "text.nii.gz").write_bytes(b"text")
    (tmp_path / "text.txt").write_bytes(b"text")
    for name, file, words in (
        ("new 1.5", "upload.nii.gz", "already"),
        ("../stolen", "upload.nii.gz", "cannot be the name"),
        (".hidden", "upload.nii.gz", "cannot be the name"),
        ("x", "text.nii.gz", "cannot be read"),
        ("x", "text.txt", "send NIfTI"),
    ):
        with pytest.raises(InputError, match=words):
            images.add(name, tmp_path / file)
    assert sorted(path.name for path in folder.iterdir()) == ["new 1.5.nii.gz"]
