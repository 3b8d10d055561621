"""A study scanned by its headers: what is CT, what is not and why, from folders, archives and DICOMDIRs."""

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import (
    load,
    made_multiframe,
    made_scout,
    made_screenshot,
    made_slices,
    only_series,
    save,
    save_one,
    volume_hu,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import (
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    PositronEmissionTomographyImageStorage,
    SegmentationStorage,
)
from renalct.core.errors import GeometryError, InputError, NotCT, RenalctError
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series
from renalct.formats.study import load_choice


def reasons(path):
    return {file.name: file.reason for file in scan_study(path).skipped}


def other_object(sop_class, modality):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, f"1.2.9.{len(modality)}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.8"
    dataset.Modality = modality
    return dataset


def test_everything_that_is_no_ct_slice_is_listed_with_its_reason(tmp_path):
    save(made_slices(), tmp_path / "ct")
    save_one(made_scout(), tmp_path / "scout.dcm")
    save_one(made_screenshot(), tmp_path / "screen.dcm")
    save_one(other_object(EncapsulatedPDFStorage, "DOC"), tmp_path / "letter.dcm")
    save_one(other_object(BasicTextSRStorage, "SR"), tmp_path / "report.dcm")
    save_one(other_object(SegmentationStorage, "SEG"), tmp_path / "seg.dcm")
    save_one(other_object(PositronEmissionTomographyImageStorage, "PT"), tmp_path / "pet.dcm")
    (tmp_path / "readme.txt").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "damaged.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 50)
    assert len(only_series(tmp_path).slices) == 6
    assert reasons(tmp_path) == {
        "scout.dcm": "is a scout (localizer), not a slice",
        "screen.dcm": "is a Secondary Capture Image Storage object, not a CT image",
        "letter.dcm": "is a Encapsulated PDF Storage object, not a CT image",
        "report.dcm": "is a Basic Text SR Storage object, not a CT image",
        "seg.dcm": "is a Segmentation Storage object, not a CT image",
        "pet.dcm": "is a Positron Emission Tomography Image Storage object, not a CT image",
        "readme.txt": "is not a DICOM file",
        "empty": "is not a DICOM file",
        "damaged.dcm": reasons(tmp_path)["damaged.dcm"],
    }
    assert "damaged" in reasons(tmp_path)["damaged.dcm"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ImagePositionPatient": None}, "has no ImagePositionPatient"),
        ({"ImageOrientationPatient": [1, 0, 0]}, "has no ImageOrientationPatient with 6 numbers"),
        ({"PixelSpacing": None}, "has no PixelSpacing"),
        ({"Rows": 0}, "has no Rows"),
        ({"Modality": "MR"}, "has the modality MR"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is a color picture"),
        ({"SOPClassUID": "1.2.3"}, "not a CT image"),
        ({"ImagePositionPatient": [1, 2, 1e300]}, "has a damaged ImagePositionPatient"),
        ({"NumberOfFrames": 4}, "has several frames but no per-frame positions"),
    ],
)
def test_a_ct_image_that_cannot_be_placed_is_listed(tmp_path, change, reason):
    save(made_slices(), tmp_path / "good")
    (bad,) = made_slices(1, series="1.2.3.5")
    for keyword, value in change.items():
        setattr(bad, keyword, value)
    save_one(bad, tmp_path / "bad.dcm")
    assert reason in reasons(tmp_path)["bad.dcm"]


def test_a_header_with_values_that_are_no_numbers_is_listed(tmp_path):
    save(made_slices(), tmp_path)
    path = tmp_path / "IM0006.dcm"
    path.write_bytes(path.read_bytes().replace(b"-297.5", b"-2x7.5"))
    assert "damaged" in reasons(tmp_path)["IM0006.dcm"]


def test_damaged_values_that_do_not_matter_are_overlooked(tmp_path):
    save(made_slices(KVP=120, SliceThickness=1.75, GantryDetectorTilt=0.125), tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(
            path.read_bytes().replace(b"120 ", b"12x ").replace(b"1.75", b"1.y5").replace(b"0.125", b"o.125")
        )
    assert np.array_equal(load(tmp_path).volume.hu, volume_hu())


def test_an_empty_header_is_listed(tmp_path):
    save(made_slices(), tmp_path)
    (tmp_path / "none.dcm").write_bytes(bytes(128) + b"DICM")
    assert "no SOPClassUID" in reasons(tmp_path)["none.dcm"]


def test_a_missing_path_an_empty_folder_and_a_strange_file_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="there is no file or folder"):
        scan_study(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is empty"):
        scan_study(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"the file is neither DICOM nor a zip archive"):
        scan_study(tmp_path / "notes.txt")


def test_only_a_scout_is_not_ct(tmp_path):
    save_one(made_scout(), tmp_path / "scout.dcm")
    with pytest.raises(NotCT, match=r"no CT slices were found among 1 file \(1 file: is a scout"):
        scan_study(tmp_path)


def test_a_folder_of_text_files_is_not_ct(tmp_path):
    for n in range(5):
        (tmp_path / f"{n}.txt").write_text("hello")
    with pytest.raises(NotCT, match=r"among 5 files \(5 files: is not a DICOM file\)"):
        scan_study(tmp_path)


def test_the_same_instance_twice_counts_once(tmp_path):
    save(made_slices(), tmp_path / "a")
    save(made_slices(), tmp_path / "b")
    assert len(only_series(tmp_path).slices) == 6
    assert sorted(reasons(tmp_path).values()) == sorted(f"is a second copy of IM000{n}.dcm" for n in range(1, 7))


def test_of_two_copies_the_complete_one_is_read(tmp_path):
    save(made_slices(), tmp_path / "b")
    shutil.copytree(tmp_path / "b", tmp_path / "a")
    cut = tmp_path / "a" / "IM0003.dcm"
    cut.write_bytes(cut.read_bytes()[:-30])
    assert np.array_equal(load(tmp_path).volume.hu, volume_hu())


def test_files_without_preamble_and_with_any_name_are_read(tmp_path):
    for k, dataset in enumerate(made_slices()):
        path = save_one(dataset, tmp_path / f"{k}", ImplicitVRLittleEndian)
        header = dcmread(path)
        header.save_as(tmp_path / f"{k}", implicit_vr=True, little_endian=True)
        path.write_bytes(path.read_bytes()[132:] if path.read_bytes()[128:132] == b"DICM" else path.read_bytes())
    assert np.array_equal(load(tmp_path).volume.hu, volume_hu())


def test_folders_in_folders_and_links_that_lead_back_are_followed_once(tmp_path):
    save(made_slices()[:3], tmp_path / "a" / "b")
    save(made_slices()[3:], tmp_path / "c", prefix="X")
    os.symlink(tmp_path, tmp_path / "a" / "back")
    assert len(only_series(tmp_path).slices) == 6
    assert not scan_study(tmp_path).skipped


@pytest.fixture
def locked(monkeypatch):
    """Takes away the right to look into a folder (rights do not bind root, as whom tests may run)."""
    folders, look = set(), os.scandir

    def scandir(place):
        if Path(place) in folders:
            raise PermissionError(13, "Permission denied", str(place))
        return look(place)

    monkeypatch.setattr(os, "scandir", scandir)
    return folders.add


def test_a_folder_that_cannot_be_read_is_told_and_is_not_called_empty(tmp_path, locked):
    save(made_slices(), tmp_path / "study")
    locked(tmp_path / "study")
    with pytest.raises(InputError, match=r"the folder cannot be read \(Permission denied\); give the right"):
        scan_study(tmp_path / "study")


def test_what_nobody_could_look_into_is_listed_as_lost_and_the_report_says_so(tmp_path, locked):
    save(made_slices(), tmp_path / "study")
    save(made_slices(), tmp_path / "study" / "ser2")
    save(made_slices(), tmp_path / "study" / "Doe Jane")
    locked(tmp_path / "study" / "ser2")
    locked(tmp_path / "study" / "Doe Jane")
    (tmp_path / "study" / "IM7.dcm").symlink_to(tmp_path / "nowhere")
    (tmp_path / "study" / "IM8.dcm").write_bytes(b"")
    (tmp_path / "study" / "notes.txt").write_bytes(b"")
    scan = scan_study(tmp_path / "study")
    assert [(file.name, file.is_lost) for file in scan.skipped] == [
        ("IM7.dcm", True), ("IM8.dcm", True), ("a folder", True), ("notes.txt", False), ("ser2", True),
    ]  # fmt: skip
    notices = load_choice(scan, choose_series(scan)).notices
    assert [words for words in notices if words.startswith("Perhaps incomplete: 4 files or folders")]


def test_nothing_is_said_of_lost_images_where_every_file_was_read(tmp_path):
    save(made_slices(), tmp_path)
    (tmp_path / "readme.txt").write_text("hello")
    scan = scan_study(tmp_path)
    assert not [words for words in load_choice(scan, choose_series(scan)).notices if "incomplete" in words]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("x" * 300, "nothing can be looked at .*; check the path and the rights"),
        ("a\0b", "there is no file or folder"),
        ("file/below", "there is no file or folder"),
        ("pipe", "neither a file nor a folder"),
    ],
)
def test_a_place_that_cannot_be_a_study_is_refused(tmp_path, place, words):
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=words):
        scan_study(tmp_path / place)


def test_a_zip_archive_is_read_like_its_folder(tmp_path):
    save(made_slices(), tmp_path / "study")
    (tmp_path / "study" / "note.txt").write_text("hello")
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted((tmp_path / "study").iterdir()):
            out.write(file, f"deep/er/{file.name}")
    assert np.array_equal(load(archive).volume.hu, volume_hu())
    assert reasons(archive) == {"note.txt": "is not a DICOM file"}


def test_an_enhanced_image_in_a_zip_archive_is_read(tmp_path):
    path = save_one(made_multiframe(made_slices()[::-1]), tmp_path / "enhanced.dcm")
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        out.write(path, "enhanced.dcm")
    assert np.array_equal(load(archive).volume.hu, volume_hu())


def test_a_damaged_member_of_an_archive_is_listed(tmp_path):
    save(made_slices(), tmp_path / "study")
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in sorted((tmp_path / "study").iterdir()):
            out.write(file, file.name)
    content = archive.read_bytes()
    at = content.index(b"1.2.3.4.9.3")
    archive.write_bytes(content[:at] + b"9" + content[at + 1 :])
    assert reasons(archive) == {"IM0003.dcm": "is damaged: its header cannot be read (BadZipFile)"}
    with pytest.raises(GeometryError, match="z = -305 mm"):
        load(archive)


def test_a_damaged_and_an_empty_archive_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(InputError, match="zip archive is empty"):
        scan_study(tmp_path / "empty.zip")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="is neither DICOM nor a zip"):
        scan_study(tmp_path / "cut.zip")


def media(tmp_path):
    """A DICOMDIR with the files that it lists, as on a disc."""
    index = Dataset()
    index.SOPClassUID, index.SOPInstanceUID = MediaStorageDirectoryStorage, "1.2.9.9"
    index.DirectoryRecordSequence = [Dataset()]
    index.DirectoryRecordSequence[0].DirectoryRecordType = "PATIENT"
    (tmp_path / "disc" / "SERIES1").mkdir(parents=True)
    for k, dataset in enumerate(made_slices()):
        save_one(dataset, tmp_path / "disc" / "SERIES1" / f"IMG{k}")
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = ["SERIES1", f"IMG{k}"]
        index.DirectoryRecordSequence.append(record)
    save_one(index, tmp_path / "disc" / "DICOMDIR")
    return tmp_path / "disc"


def test_a_dicomdir_is_read_by_its_index(tmp_path):
    disc = media(tmp_path)
    save(made_slices(series="1.2.3.99"), disc / "unlisted")
    assert np.array_equal(load(disc / "DICOMDIR").volume.hu, volume_hu())


def test_in_a_folder_a_dicomdir_is_only_an_index(tmp_path):
    disc = media(tmp_path)
    assert np.array_equal(load(disc).volume.hu, volume_hu())
    assert reasons(disc) == {"DICOMDIR": "is an index (DICOMDIR), not an image"}


def test_names_of_a_dicomdir_may_differ_in_case(tmp_path):
    disc = media(tmp_path)
    for file in [path for path in disc.rglob("*") if path.is_file() and path.name != "DICOMDIR"]:
        file.rename(file.with_name(file.name.lower()))
    assert np.array_equal(load(disc / "DICOMDIR").volume.hu, volume_hu())


def test_a_file_that_a_dicomdir_lists_in_vain_is_named(tmp_path):
    disc = media(tmp_path)
    listed = sorted(path for path in disc.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    listed[0].unlink()
    (missing,) = scan_study(disc / "DICOMDIR").skipped
    assert missing.name.endswith(listed[0].name) and "is listed in the DICOMDIR but is not there" in missing.reason


def test_a_single_file_of_a_series_is_scanned_alone(tmp_path):
    save(made_slices(), tmp_path)
    with pytest.raises(GeometryError, match="give the folder of the complete series"):
        load(tmp_path / "IM0002.dcm")


def test_a_single_enhanced_file_is_a_volume(tmp_path):
    path = save_one(made_multiframe(made_slices()), tmp_path / "enhanced.dcm")
    assert np.array_equal(load(path).volume.hu, volume_hu())


def test_a_piece_of_a_concatenated_image_is_listed(tmp_path):
    save(made_slices(), tmp_path / "good")
    save_one(made_multiframe(made_slices(series="1.2.3.5"), ConcatenationUID="1.2.3.4"), tmp_path / "piece.dcm")
    assert "is one piece of a concatenated image" in reasons(tmp_path)["piece.dcm"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_to_a_file_ends_in_anything_but_our_own_errors(tmp_path_factory, data):
    folder = save(made_slices(3), tmp_path_factory.mktemp("study"))
    path = folder / "IM0002.dcm"
    syntax = data.draw(st.sampled_from([None, DeflatedExplicitVRLittleEndian]))
    if syntax:
        save_one(made_slices(3)[1], path, syntax)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(128, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        for series in scan_study(folder).series:
            load_series(series)
    except RenalctError as error:
        assert str(error)


def test_no_damaged_value_representation_ends_in_anything_but_our_own_errors(tmp_path):
    folder = save(made_slices(3), tmp_path)
    path = folder / "IM0002.dcm"
    whole = path.read_bytes()
    dataset = dcmread(path)
    elements = [dataset.get_item(tag) for tag in dataset.keys()]  # noqa: SIM118
    raw = [element for element in elements if element.is_raw and element.value]
    assert len(raw) > 20
    for element in raw:
        at = whole.rindex(element.VR.encode(), 0, element.value_tell)
        path.write_bytes(whole[: at + 1] + b"\0" + whole[at + 2 :])
        try:
            for series in scan_study(folder).series:
                load_series(series)
        except RenalctError as error:
            assert str(error)


def test_a_scan_does_not_depend_on_the_names_of_files(tmp_path):
    slices = made_slices()
    first = scan_study(save(slices, tmp_path / "a")).series[0]
    second = scan_study(save(slices[::-1], tmp_path / "b")).series[0]
    assert [s.sop_instance_uid for s in first.slices] == [s.sop_instance_uid for s in second.slices]
    assert first.example.SOPInstanceUID == second.example.SOPInstanceUID
