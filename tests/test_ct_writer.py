import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from renalct.core.grid import Grid
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume
from renalct.formats.dicom.ct_writer import SeriesSettings, SliceOrder, write_ct_series, write_scout

POSITIONS = ("HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL")
SYNTAXES = (
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
    JPEGLSLossless, JPEG2000Lossless,
)  # fmt: skip
PLAIN = SeriesSettings("a study")
needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="apt-get install dicom3tools")


def volume_of(shape=(9, 8, 5), spacing=(0.7, 0.9, 2.5), *, tilt=0.0, phase=Phase.NEPHROGRAPHIC):
    """Every voxel has another value; axes to the left, back and head, as DICOM series are read."""
    hu = (np.arange(np.prod(shape)) * 3 % 4001 - 1000).astype(np.int16).reshape(shape)
    turn = np.array(((1, 0, 0), (0, np.cos(tilt), -np.sin(tilt)), (0, np.sin(tilt), np.cos(tilt))))
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag((-spacing[0], -spacing[1], spacing[2]))
    affine[:3, 3] = (12.5, -34.25, 1000.125)
    return CTVolume(hu, Grid(shape, affine), PhaseEstimate(phase, 1.0, "made"))


def assert_same_voxels(paths, volume):
    """Every pixel, at the place that its header gives, has the HU of the volume at that place."""
    seen = 0
    for path in paths:
        image = pydicom.dcmread(path)
        row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        origin = np.array(image.ImagePositionPatient, float)
        j, i = np.indices((image.Rows, image.Columns))
        down, across = map(float, image.PixelSpacing)
        lps = origin + i[..., None] * across * row + j[..., None] * down * column
        index = volume.grid.to_index(lps * (-1, -1, 1))
        nearest = np.rint(index).astype(int)
        assert np.abs(index - nearest).max() < 1e-3
        hu = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        np.testing.assert_array_equal(hu, volume.hu[tuple(np.moveaxis(nearest, -1, 0))])
        seen += hu.size
    assert seen == volume.hu.size


@pytest.mark.parametrize("reversed_rows", [False, True])
@pytest.mark.parametrize("position", POSITIONS)
def test_every_voxel_stays_at_its_place_in_any_patient_position(tmp_path, position, reversed_rows):
    settings = SeriesSettings("a study", patient_position=position, reversed_rows=reversed_rows)
    paths = write_ct_series(volume_of(), tmp_path, settings=settings)
    assert_same_voxels(paths, volume_of())


def test_supine_and_prone_images_are_turned_by_half(tmp_path):
    supine, prone = (
        pydicom.dcmread(write_ct_series(volume_of(), tmp_path / p, settings=SeriesSettings("s", patient_position=p))[0])
        for p in ("HFS", "HFP")
    )
    assert supine.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    assert prone.ImageOrientationPatient == [-1, 0, 0, 0, -1, 0]
    np.testing.assert_array_equal(supine.pixel_array, prone.pixel_array[::-1, ::-1])


def test_an_oblique_grid_keeps_its_directions(tmp_path):
    volume = volume_of(tilt=0.1)
    assert_same_voxels(write_ct_series(volume, tmp_path, settings=PLAIN), volume)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize("signed", [True, False])
def test_every_lossless_transfer_syntax_gives_the_same_voxels(tmp_path, syntax, signed):
    settings = SeriesSettings("a study", transfer_syntax_uid=syntax, signed=signed)
    volume = volume_of((70, 66, 2))  # the JPEG 2000 encoder takes nothing much smaller
    paths = write_ct_series(volume, tmp_path, settings=settings)
    image = pydicom.dcmread(paths[0])
    assert image.file_meta.TransferSyntaxUID == syntax and image.PixelRepresentation == int(signed)
    assert_same_voxels(paths, volume)


def test_slices_can_run_up_down_or_at_random(tmp_path):
    heights = {}
    for order in SliceOrder:
        paths = write_ct_series(volume_of(), tmp_path / order.value, settings=SeriesSettings("s", slice_order=order))
        images = [pydicom.dcmread(path) for path in paths]
        assert [int(image.InstanceNumber) for image in images] == [1, 2, 3, 4, 5]
        heights[order] = [float(image.ImagePositionPatient[2]) for image in images]
    up = heights[SliceOrder.ASCENDING]
    assert up == sorted(up) and heights[SliceOrder.DESCENDING] == up[::-1]
    assert sorted(heights[SliceOrder.SHUFFLED]) == up and heights[SliceOrder.SHUFFLED] not in (up, up[::-1])


@pytest.mark.parametrize("value", [-2000, -3024])
def test_the_corners_hold_the_padding_value_and_the_middle_does_not(tmp_path, value):
    settings = SeriesSettings("a study", padding_value=value)
    image = pydicom.dcmread(write_ct_series(volume_of((20, 20, 1)), tmp_path, settings=settings)[0])
    assert image.PixelPaddingValue == value and image["PixelPaddingValue"].VR == "SS"
    padded = image.pixel_array == value
    assert padded[0, 0] and padded[-1, -1] and not padded[10].any()
    assert padded.sum() == pytest.approx(400 * (1 - np.pi / 4), rel=0.1)  # a square less its circle


def test_unsigned_pixels_refuse_padding_below_their_intercept():
    with pytest.raises(ValueError, match="lower padding"):
        SeriesSettings("a study", signed=False, padding_value=-2000)


def test_an_unknown_patient_position_is_refused():
    with pytest.raises(ValueError, match="one of HFS"):
        SeriesSettings("a study", patient_position="UP")


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Syntétique^Fantôme"),
        ("ISO_IR 192", "Synthetic^王小东"),
        ("GB18030", "Synthetic^王小东"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_survive_their_character_set(tmp_path, character_set, name):
    settings = SeriesSettings("a study", character_set=character_set, patient_name=name)
    assert str(pydicom.dcmread(write_ct_series(volume_of(), tmp_path, settings=settings)[0]).PatientName) == name


def test_the_same_volume_gives_the_same_bytes_and_another_key_other_uids(tmp_path):
    one, same, other = (
        write_ct_series(volume_of(), tmp_path / name, settings=SeriesSettings(key))
        for name, key in (("a", "s"), ("b", "s"), ("c", "t"))
    )
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in same]
    uids = [pydicom.dcmread(path).StudyInstanceUID for path in (one[0], other[0])]
    assert uids[0] != uids[1]
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in one + other}) == 10


def test_every_file_says_that_it_is_made_data_and_names_its_contrast(tmp_path):
    for phase, contrast in ((Phase.NEPHROGRAPHIC, True), (Phase.NON_CONTRAST, False)):
        paths = write_ct_series(volume_of(phase=phase), tmp_path / phase.value, settings=PLAIN)
        image = pydicom.dcmread(paths[0])
        assert "Synthetic" in image.ImageComments and "synthetic" in image.Manufacturer
        assert str(image.PatientName) == "Synthetic^Phantom"
        assert ("ContrastBolusAgent" in image) == contrast


def test_a_scout_shows_the_volume_from_the_front(tmp_path):
    hu = np.full((9, 8, 5), -1000, np.int16)
    hu[0, :, 4] = 500  # i = 0 is the patient's right, k = 4 the top
    volume = CTVolume(hu, volume_of().grid)
    image = pydicom.dcmread(write_scout(volume, tmp_path, settings=PLAIN))
    assert list(image.ImageType) == ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    assert image.pixel_array.shape == (5, 9) and list(image.PixelSpacing) == [2.5, 0.7]
    assert image.pixel_array[0, 0] == 500 and (image.pixel_array.ravel()[1:] == -1000).all()


@needs_dciodvfy
@pytest.mark.parametrize(
    "settings",
    [
        PLAIN,
        SeriesSettings("a study", patient_position="FFDR", padding_value=-2000),
        SeriesSettings("a study", transfer_syntax_uid=RLELossless, signed=False),
        SeriesSettings("a study", character_set="ISO_IR 192", patient_name="Synthetic^王小东"),
    ],
    ids=["plain", "feet first, padded", "RLE, unsigned", "UTF-8"],
)
def test_dciodvfy_reports_no_error(tmp_path, settings):
    paths = [
        write_ct_series(volume_of(), tmp_path / "ct", settings=settings)[0],
        write_scout(volume_of(), tmp_path / "scout", settings=settings),
    ]
    for path in paths:
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace", check=False)
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []
        assert "CTImage" in done.stderr + done.stdout
