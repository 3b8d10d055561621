"""Pixels as stored: every transfer syntax without loss gives the same numbers; what cannot be right is refused."""

import numpy as np
import pytest
from dicom_corpus import (
    COLUMNS,
    PLAIN,
    ROWS,
    load,
    made_multiframe,
    made_slices,
    save,
    save_compressed,
    save_one,
    set_pixels,
    slice_hu,
    volume_hu,
)
from encoded_frames import VALUES, frame
from pydicom import dcmread
from pydicom.pixels import compress
from pydicom.uid import (
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from renalct.core.errors import InputError
from renalct.formats.dicom.codestreams import codestream_shape
from renalct.formats.dicom.pixels import PixelFormat


def large_slice(k):
    """JPEG 2000 wants more than 32 pixels for its six resolutions."""
    return slice_hu(k, rows=40, columns=36)


CODINGS = {
    JPEGLossless: "JPEGLossless",
    JPEGLosslessSV1: "JPEGLosslessSV1",
    HTJ2KLossless: "HTJ2KLossless",
    HTJ2KLosslessRPCL: "HTJ2KLossless",
}


@pytest.mark.parametrize("syntax", PLAIN, ids=lambda uid: uid.name)
@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_every_plain_syntax_gives_the_same_numbers(tmp_path, syntax, dtype):
    slices = made_slices()
    for k, dataset in enumerate(slices):
        set_pixels(dataset, slice_hu(k), dtype=dtype, intercept=-1024 if dtype is np.uint16 else 0)
    assert np.array_equal(load(save(slices, tmp_path, syntax)).volume.hu, volume_hu())


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize(
    ("dtype", "intercept", "bits"), [(np.int16, 0, 16), (np.uint16, -1024, 16), (np.uint16, -1024, 12)]
)
def test_lossless_compressions_give_the_same_numbers(tmp_path, syntax, dtype, intercept, bits):
    for k, dataset in enumerate(made_slices(3)):
        set_pixels(dataset, large_slice(k), dtype=dtype, intercept=intercept, bits_stored=bits)
        path = save_one(dataset, tmp_path / f"{k}.dcm")
        dataset = dcmread(path)
        compress(dataset, syntax, generate_instance_uid=False)
        dataset.save_as(path)
    assert np.array_equal(load(tmp_path).volume.hu, np.stack([large_slice(k).T for k in range(3)], axis=-1))


@pytest.mark.parametrize("syntax", CODINGS, ids=lambda uid: uid.name)
@pytest.mark.parametrize("sample", ["int16", "uint16", "uint12"])
def test_lossless_jpeg_and_high_throughput_jpeg_2000_are_decoded(tmp_path, syntax, sample):
    if (syntax, sample) in [(HTJ2KLossless, "uint12"), (HTJ2KLosslessRPCL, "uint12")]:
        sample = "uint16"
    signed = sample == "int16"
    for k, dataset in enumerate(made_slices(2)):
        set_pixels(
            dataset,
            VALUES - 1024,
            dtype=np.int16 if signed else np.uint16,
            intercept=0 if signed else -1024,
            bits_stored=12 if sample == "uint12" else 16,
        )
        save_compressed(dataset, tmp_path / f"{k}.dcm", syntax, [frame(CODINGS[syntax], sample)])
    hu = load(tmp_path).volume.hu
    assert np.array_equal(hu[:, :, 0], (VALUES - 1024).T) and np.array_equal(hu[:, :, 1], (VALUES - 1024).T)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_frames_of_a_compressed_enhanced_image_are_told_apart(tmp_path, syntax):
    image = made_multiframe(made_slices(values=large_slice)[::-1])
    path = save_one(image, tmp_path / "enhanced.dcm")
    image = dcmread(path)
    compress(image, syntax)
    image.save_as(path)
    assert np.array_equal(load(tmp_path).volume.hu, np.stack([large_slice(k).T for k in range(6)], axis=-1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint32])
def test_other_sample_sizes_are_read(tmp_path, dtype):
    hu = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    slices = made_slices(2)
    for dataset in slices:
        set_pixels(dataset, hu - 1000, dtype=dtype, intercept=-1000)
    assert np.array_equal(load(save(slices, tmp_path)).volume.hu[:, :, 1], (hu - 1000).T)


def test_bits_that_are_not_stored_are_ignored_and_the_sign_is_restored(tmp_path):
    slices = made_slices(2)
    for dataset in slices:
        set_pixels(dataset, np.full((ROWS, COLUMNS), -700), bits_stored=12)
        stored = np.frombuffer(dataset.PixelData, "<u2") & 0x0FFF | 0xA000  # an old overlay in the upper bits
        dataset.PixelData = stored.astype("<u2").tobytes()
    assert (load(save(slices, tmp_path)).volume.hu == -700).all()


def test_a_value_written_with_the_wrong_sign_is_interpreted():
    signed = PixelFormat(1, 1, 16, 16, 15, True)
    unsigned = PixelFormat(1, 1, 16, 16, 15, False)
    assert signed.interpret(63536) == -2000 and signed.interpret(-2000) == -2000
    assert unsigned.interpret(-2000) == 63536


def refusal(slices, folder, syntax=None):
    """What loading the slices is refused with."""
    save(slices, folder, *([syntax] if syntax else []))
    with pytest.raises(InputError) as error:
        load(folder)
    return str(error.value)


def test_truncated_pixels_name_slice_and_bytes(tmp_path):
    slices = made_slices()
    slices[3].PixelData = slices[3].PixelData[:-10]
    message = refusal(slices, tmp_path)
    assert "z = -302.5 mm (InstanceNumber 4, IM0004.dcm)" in message and "60 of 70 bytes" in message


def test_a_file_cut_off_in_its_pixels_names_the_slice(tmp_path):
    path = save(made_slices(), tmp_path) / "IM0002.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"z = -307\.5 mm \(InstanceNumber 2, IM0002\.dcm\)"):
        load(tmp_path)


def test_a_slice_without_pixels_is_named(tmp_path):
    slices = made_slices()
    del slices[5].PixelData
    assert "z = -297.5 mm (InstanceNumber 6, IM0006.dcm) has no pixel data" in refusal(slices, tmp_path)


@pytest.mark.parametrize("missing_bytes", [1, 40, 400])
def test_an_enhanced_image_cut_off_names_the_frame(tmp_path, missing_bytes):
    path = save_one(made_multiframe(made_slices()), tmp_path / "enhanced.dcm")
    path.write_bytes(path.read_bytes()[:-missing_bytes])
    with pytest.raises(InputError, match=r"frame \d of enhanced\.dcm"):
        load(tmp_path)


def test_an_enhanced_image_without_pixels_is_refused(tmp_path):
    image = made_multiframe(made_slices())
    del image.PixelData
    save_one(image, tmp_path / "enhanced.dcm")
    with pytest.raises(InputError, match="no pixel data"):
        load(tmp_path)


def test_damaged_compressed_pixels_name_the_slice(tmp_path):
    slices = made_slices(3)
    save(slices[:2], tmp_path)
    save_compressed(slices[2], tmp_path / "bad.dcm", JPEG2000Lossless, [b"\xff\x4f\xff\x51nonsense"])
    with pytest.raises(InputError, match=r"z = -305 mm \(InstanceNumber 3, bad\.dcm\).*damaged"):
        load(tmp_path)


def test_a_damaged_codestream_that_claims_a_huge_image_is_not_decoded(tmp_path):
    """The claimed size is checked first: a decoder would allocate memory for it."""
    slices = made_slices(2)
    good = frame("HTJ2KLossless", "int16")
    huge = good[:8] + b"\x00\xff\xff\xff\x00\xff\xff\xff" + good[16:]
    for k, (dataset, coded) in enumerate(zip(slices, (good, huge), strict=True)):
        set_pixels(dataset, VALUES)
        save_compressed(dataset, tmp_path / f"{k}.dcm", HTJ2KLossless, [coded])
    with pytest.raises(InputError, match=r"1\.dcm.*damaged"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("coded", "shape"),
    [
        (frame("HTJ2KLossless", "int16"), (6, 8)),
        (frame("JPEGLossless", "int16"), (6, 8)),
        (frame("HTJ2KLossless", "int16")[:30], (0, 0)),
        (frame("JPEGLossless", "int16")[:12], (0, 0)),
        (b"", (0, 0)),
        (b"\xff\xd8\xff\xe0\x00\x00\xff\xe0\x00\x00", (0, 0)),
        (b"no codestream at all", (0, 0)),
    ],
)
def test_a_codestream_says_its_rows_and_columns(coded, shape):
    assert codestream_shape(coded) == shape


def test_a_compressed_image_of_another_size_is_refused(tmp_path):
    slices = made_slices(2)
    for k, dataset in enumerate(slices):
        dataset.Rows = dataset.Columns = 6  # the frame holds 6 rows of 8
        save_compressed(dataset, tmp_path / f"{k}.dcm", HTJ2KLossless, [frame("HTJ2KLossless", "int16")])
    with pytest.raises(InputError, match="z = -3"):
        load(tmp_path)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSNearLossless], ids=lambda uid: uid.name)
def test_lossy_compression_is_refused(tmp_path, syntax):
    for k, dataset in enumerate(made_slices(2)):
        save_compressed(dataset, tmp_path / f"{k}.dcm", syntax, [b"\xff\xd8\xff\xd9"])
    with pytest.raises(InputError, match="compressed with loss"):
        load(tmp_path)


def test_an_irreversible_jpeg_2000_is_refused_though_its_header_is_silent(tmp_path):
    coded = bytearray(frame("HTJ2KLossless", "int16"))
    coded[coded.index(b"\xff\x52") + 13] = 0  # the 9-7 transform instead of the 5-3
    for k, dataset in enumerate(made_slices(2)):
        set_pixels(dataset, VALUES - 1024)
        save_compressed(dataset, tmp_path / f"{k}.dcm", JPEG2000, [bytes(coded)])
    with pytest.raises(InputError, match=r"z = -3.*compressed with loss \(JPEG 2000, irreversible\)"):
        load(tmp_path)


def test_an_image_that_was_lossy_once_is_refused(tmp_path):
    assert "compressed with loss" in refusal(made_slices(LossyImageCompression="01"), tmp_path)


def test_inverted_gray_is_refused(tmp_path):
    slices = made_slices()
    slices[1].PhotometricInterpretation = "MONOCHROME1"
    message = refusal(slices, tmp_path)
    assert "MONOCHROME1" in message and "InstanceNumber 2" in message


@pytest.mark.parametrize(
    "change", [{"BitsAllocated": 12}, {"BitsStored": 17}, {"HighBit": 3}, {"PixelRepresentation": 2}]
)
def test_a_pixel_format_that_does_not_fit_together_is_refused(tmp_path, change):
    assert "do not fit together" in refusal(made_slices(**change), tmp_path)


def test_a_header_that_does_not_say_how_pixels_are_stored_is_refused(tmp_path):
    slices = made_slices()
    del slices[0].BitsAllocated
    assert "does not say how its pixels are stored" in refusal(slices, tmp_path)
