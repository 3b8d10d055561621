"""De-identified images: nothing of the patient survives in any attribute, and what refers to each other still does."""

import csv
import io
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import load, made_multiframe, made_scout, made_screenshot, made_slices, only_series, save, save_one
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from renalct.__main__ import main
from renalct.core.errors import InputError, NotCT
from renalct.formats.dicom import deidentify_rules
from renalct.formats.dicom.deidentify import deidentify_dataset
from renalct.formats.dicom.deidentify_rules import Action, basic_action, profile
from renalct.formats.dicom.deidentify_study import deidentify_study
from renalct.formats.dicom.deidentify_values import Deidentification, cleaned, dummy, read_or_make_key, shifted
from renalct.formats.nifti import read_stored, write_array
from shapes import grid_of

KEY = bytes(range(32))
HOW = Deidentification(KEY)
ALL_OPTIONS = Deidentification(KEY, modified_dates=True, clean_descriptors=True)
SENTINEL = "SENTINEL"
DAY, TIME = "20190817", "091847"
AGE, NUMBER, UID = "047Y", 4711, "1.2.3.4711"
TELLTALES = (SENTINEL, DAY, TIME, AGE, str(NUMBER), UID)


def telltale(vr: str):
    """A value of a representation that gives itself away."""
    return {
        "DA": DAY, "TM": TIME, "DT": DAY + TIME, "AS": AGE, "UI": UID, "DS": str(NUMBER), "IS": str(NUMBER),
        "FD": float(NUMBER), "FL": float(NUMBER), "US": NUMBER, "SS": NUMBER, "UL": NUMBER, "SL": NUMBER,
        "AT": 0x47114711,
    }.get(vr, SENTINEL.encode() if vr in ("OB", "OW", "UN", "OD", "OF", "OL") else SENTINEL)  # fmt: skip


def plant(dataset: Dataset, tag: int) -> None:
    """Put a telltale value at a tag; a sequence gets an item full of them."""
    vr = dictionary_VR(tag).split(" or ")[0]
    if vr == "SQ":
        item = Dataset()
        item.PersonName = item.TextValue = item.CodeMeaning = item.PatientID = SENTINEL
        item.ReferencedSOPInstanceUID = UID
        dataset[tag] = DataElement(tag, "SQ", Sequence([item]))
    else:
        dataset[tag] = DataElement(tag, vr, telltale(vr))


IDENTIFYING = sorted(tag for tag in profile() if keyword_for_tag(tag) and tag >> 16 > 4)


def image_full_of_telltales(*, enhanced=False) -> Dataset:
    """A CT image with every attribute of the profile, at its top and in sequences of sequences, and private ones."""
    slices = made_slices(3)
    image = made_multiframe(slices) if enhanced else slices[0]
    nested, deep = Dataset(), Dataset()
    for tag in IDENTIFYING:
        for place in (image, nested, deep):
            plant(place, tag)
    for place in (image, nested, deep):
        block = place.private_block(0x0009, "SENTINEL CREATOR", create=True)
        block.add_new(1, "LO", SENTINEL)
        place.add_new(0x50000010, "US", NUMBER)
        place.add_new(0x60004000, "LT", SENTINEL)
        place.add_new(0x60003000, "OW", SENTINEL.encode())
        place.add_new(0x00091234, "UN", SENTINEL.encode())
    del deep[0x00091234]
    nested.PixelMeasuresSequence = [deep]
    image.IrradiationEventIdentificationSequence = [nested]
    image.PatientName, image.PatientID = f"{SENTINEL}^GIVEN", f"{SENTINEL}0815"
    return image


def told(dataset: Dataset) -> str:
    """All that a data set says, at every depth, and as the file would hold it."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return str(dataset) + buffer.getvalue().decode("latin-1")


def saved(dataset, tmp_path):
    return dcmread(save_one(dataset, tmp_path / "one.dcm"))


@pytest.mark.parametrize("enhanced", [False, True])
@pytest.mark.parametrize("how", [HOW, ALL_OPTIONS], ids=["basic", "all options"])
def test_nothing_planted_in_any_identifying_attribute_survives(tmp_path, enhanced, how):
    image = saved(image_full_of_telltales(enhanced=enhanced), tmp_path)
    assert len(IDENTIFYING) > 600
    words = told(deidentify_dataset(image, how))
    allowed = {TIME, "4711"} if how is ALL_OPTIONS else {"4711"}
    assert [word for word in TELLTALES if word in words and word not in allowed] == []
    planted = [e for e in image.iterall() if e.VR not in ("SQ", "OB", "OW") and e.value in (NUMBER, str(NUMBER))]
    assert planted == []


def test_the_sentinels_are_found_where_nothing_was_done(tmp_path):
    words = told(saved(image_full_of_telltales(), tmp_path))
    assert [word for word in TELLTALES if word not in words] == []


def test_what_the_image_shows_and_how_it_was_made_stays(tmp_path):
    image = saved(made_slices(1, KVP=120, ConvolutionKernel="B30f", AcquisitionNumber=2)[0], tmp_path)
    keywords = (
        "PixelData", "PixelSpacing", "ImagePositionPatient", "RescaleIntercept", "KVP", "ImageType", "SOPClassUID",
        "ConvolutionKernel", "AcquisitionNumber", "Modality", "InstanceNumber",
    )  # fmt: skip
    before = {keyword: image[keyword].value for keyword in keywords}
    after = deidentify_dataset(image, HOW)
    assert {keyword: after[keyword].value for keyword in before} == before


def test_the_image_says_that_it_was_de_identified_and_how(tmp_path):
    image = deidentify_dataset(saved(made_slices(1)[0], tmp_path), ALL_OPTIONS)
    assert image.PatientIdentityRemoved == "YES"
    assert [item.CodeValue for item in image.DeidentificationMethodCodeSequence] == ["113100", "113107", "113105"]
    assert image.LongitudinalTemporalInformationModified == "MODIFIED"
    assert image.DeidentificationMethod[0] == "DICOM PS3.15 2026c"
    plain = deidentify_dataset(saved(made_slices(1)[0], tmp_path), HOW)
    assert [item.CodeValue for item in plain.DeidentificationMethodCodeSequence] == ["113100"]
    assert plain.LongitudinalTemporalInformationModified == "REMOVED"


def test_what_an_earlier_de_identification_said_is_written_anew(tmp_path):
    image = saved(made_slices(1, DeidentificationMethod=SENTINEL)[0], tmp_path)
    assert SENTINEL not in told(deidentify_dataset(image, HOW))


def test_the_files_preamble_and_meta_information_tell_nothing(tmp_path):
    (image,) = made_slices(1)
    save_one(image, tmp_path / "one.dcm")
    image.file_meta.SourceApplicationEntityTitle = SENTINEL
    image.file_meta.ImplementationVersionName = SENTINEL
    image.preamble = SENTINEL.encode().ljust(128)
    image.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    assert SENTINEL in (tmp_path / "one.dcm").read_text("latin-1")
    after = deidentify_dataset(dcmread(tmp_path / "one.dcm"), HOW)
    assert SENTINEL not in told(after) and after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID


def test_a_value_that_cannot_be_read_is_removed(tmp_path):
    path = save_one(made_slices(1, ImageComments="x", BodyPartExamined="ABDOMEN")[0], tmp_path / "one.dcm")
    path.write_bytes(path.read_bytes().replace(b"120.5", b"SENTI", 1))
    assert "SENTI" not in told(deidentify_dataset(dcmread(path), HOW))


def test_the_same_key_gives_the_same_uids_and_another_key_others():
    other = Deidentification(bytes(32))
    assert HOW.uid(UID) == HOW.uid(UID) != other.uid(UID)
    assert HOW.uid(UID) != HOW.uid(UID + "1")
    assert HOW.uid(UID).is_valid and HOW.uid(UID).startswith("2.25.")
    assert HOW.pseudonym("A1") == HOW.pseudonym(" A1 ") != other.pseudonym("A1")


def test_uids_of_the_standard_stay():
    assert HOW.uid("1.2.840.10008.5.1.4.1.1.2") == "1.2.840.10008.5.1.4.1.1.2"


def test_a_coding_scheme_keeps_its_uid():
    assert basic_action(Tag(0x0008010C), "UI", is_enhanced=False) is Action.KEEP
    assert (
        basic_action(Tag(0x00081150), "UI", is_enhanced=False) is Action.UID
    )  # a class UID of the standard then stays


def test_references_between_images_still_meet(tmp_path):
    first, second = made_slices(2)
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = second.SOPClassUID, second.SOPInstanceUID
    first.SourceImageSequence = [reference]
    first, second = (deidentify_dataset(saved(image, tmp_path), HOW) for image in (first, second))
    assert first.SourceImageSequence[0].ReferencedSOPInstanceUID == second.SOPInstanceUID
    assert first.SourceImageSequence[0].ReferencedSOPClassUID == second.SOPClassUID
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID != "1.2.3.77"


def test_days_of_a_patient_are_shifted_together(tmp_path):
    images = [saved(made_slices(1, StudyDate=day, StudyTime="101500")[0], tmp_path) for day in ("20200101", "20200301")]
    first, second = (deidentify_dataset(image, ALL_OPTIONS) for image in images)
    shift = ALL_OPTIONS.shift("MADE")
    assert timedelta(days=365) <= shift < timedelta(days=3650)
    assert first.StudyDate == shifted("20200101", "DA", shift) != "20200101"
    apart = [np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:]}") for d in (first.StudyDate, second.StudyDate)]
    assert apart[1] - apart[0] == np.timedelta64(60, "D")  # January and February 2020
    assert first.StudyTime == "101500"


@pytest.mark.parametrize(
    ("value", "vr", "expected"),
    [
        ("20200301", "DA", "20200229"),
        ("20200301101500.25+0100", "DT", "20200229101500.25+0100"),
        ("101500", "TM", "101500"),
        ("202003", "DT", ""),
        ("2020.03.01", "DA", ""),
        ("20201399", "DA", ""),
        ("20200301-20200401", "DA", ""),
        ("00010101", "DA", ""),
        ("noon", "TM", ""),
    ],
)
def test_a_shifted_value_is_a_day_earlier_or_nothing(value, vr, expected):
    assert shifted(value, vr, timedelta(days=1)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CT Abd/Pelvis w IV contrast 5.0 mm", "CT Abd Pelvis w IV contrast 5.0 mm"),
        ("Nephrographic MUELLER, Hans 19620304", "Nephrographic"),
        ("Dr. Smith 70s venous", "70 s venous"),
        ("MRN 12345678", ""),
        ("", ""),
    ],
)
def test_cleaned_descriptions_keep_the_words_of_the_trade_and_small_numbers(text, expected):
    assert cleaned(text) == expected


def test_without_the_option_descriptions_go(tmp_path):
    image = saved(made_slices(1, SeriesDescription="Nephrographic Mueller")[0], tmp_path)
    assert "SeriesDescription" not in deidentify_dataset(image, HOW)
    image = saved(made_slices(1, SeriesDescription="Nephrographic Mueller")[0], tmp_path)
    assert deidentify_dataset(image, ALL_OPTIONS).SeriesDescription == "Nephrographic"


@pytest.mark.parametrize("vr", ["LO", "DA", "TM", "DT", "AS", "DS", "FD", "US", "OB", "UN", "UR", "PN"])
def test_a_dummy_fits_its_representation(vr):
    dataset = Dataset()
    dataset[0x00104000] = DataElement(0x00104000, vr, dummy(vr))
    assert dataset[0x00104000].value not in (None, "")


@pytest.mark.parametrize(
    ("tag", "vr", "classic", "enhanced"),
    [
        (0x00080050, "SH", Action.EMPTY, Action.EMPTY),  # Z: Accession Number
        (0x00080020, "DA", Action.EMPTY, Action.EMPTY),  # Z: Study Date
        (0x00080022, "DA", Action.EMPTY, Action.EMPTY),  # X/Z: Acquisition Date
        (0x00080023, "DA", Action.EMPTY, Action.DUMMY),  # Z/D: Content Date
        (0x0008002A, "DT", Action.EMPTY, Action.DUMMY),  # X/Z/D: Acquisition DateTime
        (0x0008103E, "LO", Action.REMOVE, Action.REMOVE),  # X: Series Description
        (0x00081140, "SQ", Action.UID, Action.UID),  # X/Z/U*: Referenced Image Sequence
        (0x0020000D, "UI", Action.UID, Action.UID),  # U: Study Instance UID
        (0x00180060, "DS", Action.KEEP, Action.KEEP),  # not in the table: KVP
        (0x00091001, "LO", Action.REMOVE, Action.REMOVE),  # private
        (0x00081235, "LO", Action.REMOVE, Action.REMOVE),  # no attribute of the standard
        (0x60123000, "OW", Action.REMOVE, Action.REMOVE),  # overlay data, in any of its groups
        (0x60120010, "US", Action.KEEP, Action.KEEP),  # the size of an overlay
        (0x50040010, "US", Action.REMOVE, Action.REMOVE),  # a curve
    ],
)
def test_actions_are_those_of_the_table(tag, vr, classic, enhanced):
    assert basic_action(Tag(tag), vr, is_enhanced=False) is classic
    assert basic_action(Tag(tag), vr, is_enhanced=True) is enhanced


def test_the_table_is_that_of_another_project_that_keeps_it():
    databases = pytest.importorskip(
        "dicomanonymizer.dicomfields_selector", reason="pip install dicom-anonymizer==2.1.0"
    )
    theirs = databases.dicom_anonymization_database_selector(f"dicomfields_{deidentify_rules.EDITION}")
    names = {
        "D": "D_TAGS", "Z": "Z_TAGS", "X": "X_TAGS", "U": "U_TAGS", "Z/D": "Z_D_TAGS", "X/Z": "X_Z_TAGS",
        "X/D": "X_D_TAGS", "X/Z/D": "X_Z_D_TAGS", "X/Z/U*": "X_Z_U_STAR_TAGS",
    }  # fmt: skip
    for code, name in names.items():
        ours = {tag for tag, row in profile().items() if row.basic == code}
        assert ours == {(tag[0] << 16) + tag[1] for tag in theirs[name] if len(tag) == 2}
    with (Path(deidentify_rules.__file__).with_name("confidentiality_profile.csv")).open() as file:
        assert len(list(csv.DictReader(file))) == len(theirs["ALL_TAGS"]) == 655


def test_a_study_is_read_as_before_but_for_its_identity(tmp_path):
    save(made_slices(SeriesDescription="Nephrographic", AcquisitionTime="101500"), tmp_path / "in" / "MUELLER_HANS")
    save_one(made_scout(), tmp_path / "in" / "scout.dcm")
    save_one(made_screenshot(), tmp_path / "in" / "screen.dcm")
    (tmp_path / "in" / "notes.txt").write_text(SENTINEL)
    (tmp_path / "out").mkdir()
    done = deidentify_study(tmp_path / "in", tmp_path / "out", ALL_OPTIONS)
    assert done.images == 7 and dict(done.left_out) == {"not a CT image": 1, "not a DICOM file": 1}
    assert sorted(path.name for path in done.path.iterdir()) == [f"IM{n:06d}.dcm" for n in range(1, 8)]
    before, after = load(tmp_path / "in" / "MUELLER_HANS").volume, load(done.path).volume
    assert np.array_equal(before.hu, after.hu) and np.allclose(before.grid.affine, after.grid.affine)
    assert after.phase.phase is before.phase.phase
    assert after.source.study_instance_uid == ALL_OPTIONS.uid("1.2.3")


def test_studies_of_one_patient_stay_together(tmp_path):
    for number in (1, 2):
        save(made_slices(2, study=f"1.2.{number}", PatientID="4711"), tmp_path / f"in{number}")
        (tmp_path / f"out{number}").mkdir()
        deidentify_study(tmp_path / f"in{number}", tmp_path / f"out{number}", HOW)
    first, second = (only_series(tmp_path / f"out{number}") for number in (1, 2))
    assert first.text("PatientID") == second.text("PatientID") == HOW.pseudonym("4711")
    assert first.study_instance_uid != second.study_instance_uid


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "with text burned into it"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "a picture of a screen"),
        ({"SamplesPerPixel": 3}, "a picture of a screen"),
    ],
)
def test_an_image_with_text_in_its_pixels_is_left_out(tmp_path, change, reason):
    save(made_slices(2), tmp_path / "in")
    (bad,) = made_slices(1, series="1.2.3.9", **change)
    save_one(bad, tmp_path / "in" / "bad.dcm")
    (tmp_path / "out").mkdir()
    assert deidentify_study(tmp_path / "in", tmp_path / "out", HOW).left_out == ((reason, 1),)


def test_a_folder_without_ct_images_is_refused(tmp_path):
    save_one(made_screenshot(), tmp_path / "in" / "screen.dcm") if (tmp_path / "in").mkdir() is None else None
    (tmp_path / "out").mkdir()
    with pytest.raises(NotCT, match="1: not a CT image"):
        deidentify_study(tmp_path / "in", tmp_path / "out", HOW)


def test_a_nifti_file_keeps_its_voxels_and_place_alone(tmp_path):
    values, grid = np.arange(-60, 60, dtype=np.int16).reshape(4, 5, 6), grid_of((4, 5, 6), (1.0, 2.0, 3.0), (7, 8, 9))
    write_array(values, grid, tmp_path / "MUELLER.nii")
    content = bytearray((tmp_path / "MUELLER.nii").read_bytes())
    content[148 : 148 + len(SENTINEL)] = SENTINEL.encode()  # the field descrip
    (tmp_path / "MUELLER.nii").write_bytes(content)
    (tmp_path / "out").mkdir()
    done = deidentify_study(tmp_path / "MUELLER.nii", tmp_path / "out", HOW)
    again, place = read_stored(done.path)
    assert np.array_equal(again, values) and place.same_as(grid) and again.dtype == np.int16
    assert SENTINEL.encode() not in done.path.read_bytes() and done.path.name == "volume.nii"


def test_a_key_file_is_made_for_its_owner_alone_and_read_again(tmp_path):
    path = tmp_path / "new" / "cohort.key"
    key = read_or_make_key(path)
    assert len(key) == 32 and read_or_make_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "no key", "abcd"])
def test_a_file_that_holds_no_key_is_refused(tmp_path, content):
    (tmp_path / "key").write_text(content)
    with pytest.raises(InputError, match="key"):
        read_or_make_key(tmp_path / "key")


def test_a_key_that_is_too_short_cannot_be_used():
    with pytest.raises(ValueError, match="32 bytes"):
        Deidentification(b"short")


def test_the_command_writes_the_images_and_says_what_it_left_out(tmp_path, capsys):
    save(made_slices(2), tmp_path / "in")
    save_one(made_screenshot(), tmp_path / "in" / "screen.dcm")
    words = ["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--key", str(tmp_path / "k")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "2 images written" in said and "1 left out: not a CT image" in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["IM000001.dcm", "IM000002.dcm"]


def test_a_key_among_the_results_is_refused(tmp_path, capsys):
    save(made_slices(2), tmp_path / "in")
    words = ["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--key", str(tmp_path / "out" / "k")]
    assert main(words) == 2
    assert "among the results" in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="apt install dicom3tools")
@pytest.mark.parametrize("how", [HOW, ALL_OPTIONS], ids=["basic", "all options"])
def test_a_valid_image_is_valid_afterwards(tmp_path, how):
    from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series
    from scripted_networks import two_kidneys

    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    write_ct_series(two_kidneys(), tmp_path / "in", settings=SeriesSettings("valid", description="Nephrographic"))
    deidentify_study(tmp_path / "in", tmp_path / "out", how)

    def errors(path):
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, check=False)
        return {line for line in done.stderr.splitlines() if line.startswith("Error")}

    before, after = (min((tmp_path / name).iterdir()) for name in ("in", "out"))
    assert errors(after) <= errors(before)
