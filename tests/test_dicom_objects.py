import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_findings import (
    AXIAL,
    NOW,
    PRONE,
    SETTINGS,
    box_mask,
    made_activation,
    made_findings,
    made_mass,
    made_pictures,
    made_report,
    made_series,
)
from dicom_peers import dciodvfy_errors, dcmqi_map, dcmtk_errors
from pydicom import Dataset
from pydicom.dataelem import DataElement
from renalct.core.errors import GeometryError
from renalct.core.findings import Findings
from renalct.core.grid import Box, Grid
from renalct.core.labels import Side
from renalct.core.volume import CTVolume
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.objects import ObjectSettings, write_objects
from renalct.formats.dicom.written import text

NAMES = [
    "seg.dcm", "sr.dcm", "sr_diameters.dcm", "class_activation_1.dcm", "key_image_1.dcm", "key_image_2.dcm",
    "key_image_3.dcm", "key_objects.dcm",
]  # fmt: skip


def write_all(folder, series=None, settings=SETTINGS, report=None):
    """Everything that is written for the made findings, by file name."""
    series = series or made_series()
    report = report or made_report(made_findings(series.volume.grid))
    folder.mkdir(exist_ok=True)
    paths = write_objects(series, report, made_pictures(series, report), folder, settings=settings)
    return {path.name: pydicom.dcmread(path) for path in paths}


@pytest.mark.parametrize("multiframe", [False, True], ids=["single-frame", "enhanced"])
def test_every_object_is_written_under_a_plain_name_and_accepted_by_dciodvfy_and_dcmtk(multiframe, tmp_path):
    written = write_all(tmp_path, made_series(multiframe=multiframe))
    assert list(written) == NAMES and sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)
    assert [error for name in NAMES for error in dciodvfy_errors(tmp_path / name) + dcmtk_errors(tmp_path / name)] == []


def test_a_study_without_findings_gives_the_report_alone(tmp_path):
    written = write_all(tmp_path, report=made_report(Findings()))
    assert list(written) == ["sr.dcm"]


def test_equal_input_gives_equal_bytes_also_in_another_process(tmp_path):
    write_all(tmp_path / "here")
    code = (
        "import sys; from pathlib import Path; from dicom_findings import *; "
        "from renalct.formats.dicom.objects import write_objects; series = made_series(); "
        "report = made_report(made_findings(series.volume.grid)); "
        "write_objects(series, report, made_pictures(series, report), Path(sys.argv[1]), settings=SETTINGS)"
    )
    (tmp_path / "there").mkdir()
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parent), "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    for name in NAMES:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes(), name


def without_times(dataset):
    """The values of a dataset, without dates and times but for those of the study."""
    return {
        str(element.tag): [without_times(item) for item in element.value] if element.VR == "SQ" else element.value
        for element in dataset
        if element.VR not in ("DA", "TM", "DT") or element.keyword.startswith("Study")
    }


def test_another_time_changes_dates_and_times_only(tmp_path):
    first = write_all(tmp_path / "first")
    later = write_all(tmp_path / "later", settings=ObjectSettings(now=datetime(2027, 5, 6, 7, 8, 9)))
    for name in NAMES:
        assert without_times(first[name]) == without_times(later[name])
        assert (later[name].InstanceCreationDate, later[name].SeriesTime) == ("20270506", "070809.000000")
        assert first[name].SeriesDate == "20260304"


@pytest.mark.parametrize(
    "other",
    [
        {"settings": ObjectSettings(now=NOW, configuration="other")},
        {"series": made_series(SeriesInstanceUID="1.2.3.77")},
    ],
    ids=["configuration", "series"],
)
def test_another_analysis_has_other_identifiers(other, tmp_path):
    here, there = write_all(tmp_path / "here"), write_all(tmp_path / "there", **other)
    for name in NAMES:
        for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
            assert here[name][keyword].value != there[name][keyword].value


def test_all_objects_are_in_the_study_and_each_kind_is_a_series_of_its_own(tmp_path):
    written = write_all(tmp_path)
    assert {seen.StudyInstanceUID for seen in written.values()} == {"1.2.3.1"}
    assert {seen.SeriesNumber: seen.Modality for seen in written.values()} == {
        9001: "SEG", 9002: "SR", 9003: "OT", 9004: "OT", 9005: "KO", 9006: "SR",
    }  # fmt: skip
    assert len({seen.SeriesInstanceUID for seen in written.values()}) == 6
    assert len({seen.SOPInstanceUID for seen in written.values()}) == len(NAMES)
    for seen in written.values():
        device = seen.ContributingEquipmentSequence
        assert any("DeviceUID" in item and "Trained on made" in item.ContributionDescription for item in device)
        assert "not for clinical use" in seen.SeriesDescription
        assert seen.get("BodyPartExamined", "ABDOMEN") == "ABDOMEN"


CHARACTER_SETS = {
    "Latin 1": ("ISO_IR 100", "Müller^Jörg"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Greek": ("ISO_IR 126", "Διονυσιος"),
}


def as_read(series, tmp_path):
    """The series with headers as a file gives them: raw bytes, decoded by their character set."""
    headers = []
    for k, header in enumerate(series.headers):
        header.save_as(tmp_path / f"{k}.dcm", implicit_vr=False, little_endian=True)
        headers.append(pydicom.dcmread(tmp_path / f"{k}.dcm", force=True))
    return LoadedSeries(series.volume, tuple(headers), series.frame_numbers)


@pytest.mark.parametrize(("character_set", "name"), CHARACTER_SETS.values(), ids=CHARACTER_SETS)
def test_patient_text_survives_every_character_set(character_set, name, tmp_path):
    description = name.split("=")[1].replace("^", " ") if "=" in name else name
    series = made_series(
        (40, 32, 20), SpecificCharacterSet=character_set, PatientName=name, StudyDescription=description
    )
    (tmp_path / "in").mkdir()
    written = write_all(tmp_path / "out", as_read(series, tmp_path / "in"))
    assert list(written) == NAMES
    for seen in written.values():
        assert seen.get("SpecificCharacterSet") == character_set
        assert str(seen.PatientName) == name and seen.StudyDescription == description
    assert dciodvfy_errors(tmp_path / "out" / "sr.dcm") == []


def test_bytes_without_a_character_set_are_copied_as_they_are(tmp_path):
    series = made_series()
    for header in series.headers:
        header["PatientName"] = DataElement("PatientName", "PN", "M\xfcller^J\xf6rg")  # Latin 1, unstated
    for seen in write_all(tmp_path, series).values():
        assert "SpecificCharacterSet" not in seen and str(seen.PatientName) == "M\xfcller^J\xf6rg"


OPTIONAL = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
    "StudyID", "ReferringPhysicianName", "StudyDescription", "Manufacturer", "BodyPartExamined", "SliceThickness",
)  # fmt: skip


@pytest.mark.parametrize("value", ["", None], ids=["empty", "missing"])
def test_optional_headers_may_be_empty_or_missing(value, tmp_path):
    series = made_series()
    for header in series.headers:
        for keyword in OPTIONAL:
            header[keyword] = DataElement(keyword, header[keyword].VR, "" if header[keyword].VR != "DS" else None)
            if value is None:
                del header[keyword]
    written = write_all(tmp_path, series)
    assert list(written) == NAMES
    for name, seen in written.items():
        assert seen.PatientName == "" and seen.StudyDate == "" and seen.StudyTime == ""
        assert dciodvfy_errors(tmp_path / name) == []


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_values_that_are_not_valid_are_left_empty_and_the_rest_is_kept(tmp_path):
    series = made_series()
    for header in series.headers:
        for keyword, vr, value in (
            ("PatientBirthDate", "DA", "1960.01.01"),
            ("StudyTime", "TM", "noon"),
            ("PatientSex", "CS", "MALE"),
            ("PatientName", "PN", "phantom 17"),
        ):
            header[keyword] = DataElement(keyword, vr, value)
    for seen in write_all(tmp_path, series).values():
        assert (seen.PatientBirthDate, seen.StudyTime, seen.PatientSex) == ("", "", "")
        assert seen.PatientName == "phantom 17"


def test_a_source_without_a_frame_of_reference_gets_one_that_all_its_objects_share(tmp_path):
    made = made_series()
    grid = Grid(made.volume.grid.shape, made.volume.grid.affine)
    series = LoadedSeries(CTVolume(made.volume.hu, grid), made.headers)
    written = write_all(tmp_path, series)
    uid = written["seg.dcm"].FrameOfReferenceUID
    assert uid.startswith("2.25.") and written["class_activation_1.dcm"].FrameOfReferenceUID == uid


def test_times_are_given_in_the_time_zone_of_the_source(tmp_path):
    settings = ObjectSettings(now=datetime(2026, 1, 1, 22, 30, tzinfo=UTC))
    written = write_all(tmp_path, made_series(TimezoneOffsetFromUTC="+0530"), settings)
    for seen in written.values():
        assert seen.TimezoneOffsetFromUTC == "+0530"
        assert (seen.SeriesDate, seen.SeriesTime) == ("20260102", "040000.000000")


def test_an_activation_map_has_its_values_on_the_slices_of_its_box(tmp_path):
    series = made_series(directions=PRONE)
    written = write_all(tmp_path, series)["class_activation_1.dcm"]
    box = Box((7, 11, 7), (15, 17, 13))
    expected = made_activation(box).values
    shared = written.SharedFunctionalGroupsSequence[0]
    mapping = shared.RealWorldValueMappingSequence[0]
    values = np.frombuffer(written.FloatPixelData, np.float32).reshape(6, 6, 8)
    slices = []
    for frame, item in zip(values, written.PerFrameFunctionalGroupsSequence, strict=True):
        place = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float) * (-1, -1, 1)
        i, j, k = series.volume.grid.to_index(place)
        assert (i, j, k) == pytest.approx((7, 11, round(k)), abs=1e-3)
        np.testing.assert_array_equal(frame, expected[:, :, round(k) - 7].T)
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == series.headers[round(k)].SOPInstanceUID
        assert source.SpatialLocationsPreserved == "NO"  # pixel (1, 1) is not where the source's is
        slices.append(round(k))
    assert sorted(slices) == [7, 8, 9, 10, 11, 12]
    codes = {item.ConceptCodeSequence[0].CodeValue for item in mapping.QuantityDefinitionSequence}
    assert codes == {"130402"} and mapping.DoubleFloatRealWorldValueFirstValueMapped == 0.0
    assert "class solid" in mapping.LUTExplanation
    assert shared.FrameAnatomySequence[0].FrameLaterality == "R"
    volume = highdicom.imread(tmp_path / "class_activation_1.dcm").get_volume()
    assert volume.array.shape == (6, 6, 8)


@pytest.mark.parametrize("directions", [AXIAL, PRONE], ids=["supine", "prone"])
def test_dcmqi_reads_the_values_of_an_activation_map_at_their_places(tmp_path, directions):
    series = made_series(directions=directions)
    write_all(tmp_path, series)
    values, affine = dcmqi_map(tmp_path / "class_activation_1.dcm", tmp_path / "dcmqi")
    box = Box((7, 11, 7), (15, 17, 13))
    expected = made_activation(box).values
    assert values.shape == expected.shape and values.max() == 1.0
    places = np.argwhere(np.ones(values.shape)) @ affine[:3, :3].T + affine[:3, 3]
    indices = np.rint([series.volume.grid.to_index(place) for place in places]).astype(int) - box.start
    np.testing.assert_array_equal(values.ravel(), expected[tuple(indices.T)])


def test_an_activation_map_takes_the_bytes_of_its_box_not_of_the_image(tmp_path):
    write_all(tmp_path)
    small = (tmp_path / "class_activation_1.dcm").stat().st_size
    frames, values = 6, 8 * 6 * 6
    assert small < 4 * values + (frames + 6) * 1024  # values of four bytes; a kilobyte for each frame, and the header


def test_an_activation_map_that_reaches_outside_the_image_is_refused(tmp_path):
    series = made_series()
    outside = made_activation(Box((30, 20, 20), (35, 25, 26)))
    mass = made_mass(series.volume.grid, 1, Side.LEFT, box_mask((30, 20, 20), (33, 23, 22)), activation=outside)
    with pytest.raises(GeometryError, match="activation map of Mass L1 reaches outside"):
        write_all(tmp_path, series, report=made_report(Findings((), (mass,))))


def test_a_key_image_has_its_colors_its_source_slice_and_a_warning(tmp_path):
    written = write_all(tmp_path)
    for number, k in ((1, 8), (2, 9), (3, 6)):
        image = written[f"key_image_{number}.dcm"]
        assert image.pixel_array.shape == (32, 40, 3) and (image.pixel_array == 40 * number).all()
        assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == f"1.2.3.9.{k + 1}"
        assert image.BurnedInAnnotation == "YES" and "not for clinical use" in image.DerivationDescription
        assert list(image.PatientOrientation) == ["L", "P"] and list(image.PixelSpacing) == [0.7, 0.8]
        assert image.InstanceNumber == number


def test_a_picture_of_another_size_has_no_pixel_spacing_and_one_that_is_no_picture_is_refused(tmp_path):
    series = made_series()
    report = made_report(made_findings(series.volume.grid))
    write_objects(series, report, {2: np.zeros((64, 64, 3), np.uint8)}, tmp_path, settings=SETTINGS)
    assert "PixelSpacing" not in pydicom.dcmread(tmp_path / "key_image_2.dcm")
    assert not (tmp_path / "key_image_1.dcm").exists()
    with pytest.raises(ValueError, match="uint8 with three colors"):
        write_objects(series, report, {1: np.zeros((64, 64), np.uint8)}, tmp_path, settings=SETTINGS)


@pytest.mark.parametrize("multiframe", [False, True], ids=["single-frame", "enhanced"])
def test_key_objects_point_at_the_key_images_and_at_their_slices(multiframe, tmp_path):
    written = write_all(tmp_path, made_series(multiframe=multiframe))
    selection = written["key_objects.dcm"]
    assert selection.ConceptNameCodeSequence[0].CodeValue == "113000"
    pointed = [item.ReferencedSOPSequence[0] for item in selection.ContentSequence if item.ValueType == "IMAGE"]
    assert [item.ReferencedSOPInstanceUID for item in pointed[:3]] == [
        written[f"key_image_{n}.dcm"].SOPInstanceUID for n in (1, 2, 3)
    ]
    if multiframe:
        assert [item.ReferencedFrameNumber for item in pointed[3:]] == [24 - 6, 24 - 8, 24 - 9]
    else:
        assert [item.ReferencedSOPInstanceUID for item in pointed[3:]] == ["1.2.3.9.7", "1.2.3.9.9", "1.2.3.9.10"]


def test_our_own_text_fits_every_character_set_and_its_length():
    assert text("Nierentumor größer als 3 cm\\ µ") == "Nierentumor groer als 3 cm/"
    assert text("a" * 70) == "a" * 61 + "..."
    assert text(" two\n lines ") == "two lines"


def test_a_long_release_name_and_notices_in_any_script_do_not_stop_the_writing(tmp_path):
    series = made_series()
    report = made_report(made_findings(series.volume.grid), notices=("相位未知", "x" * 3000))
    long = replace(report.provenance, release_name="é" * 90, release_version="", release_digest="")
    report = made_report(report.findings, notices=report.notices)
    report = type(report)(report.findings, long, report.source, report.phase, ("相位未知", "x" * 3000))
    assert list(write_all(tmp_path, series, report=report)) == NAMES
    for name in NAMES:
        assert dciodvfy_errors(tmp_path / name) == []


def test_the_source_headers_are_not_changed(tmp_path):
    series = made_series(multiframe=True)
    before = [Dataset(header) for header in series.headers]
    write_all(tmp_path, series)
    assert list(series.headers) == before
