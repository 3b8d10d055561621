"""Damaged studies end with results or one sentence and a code, in time, and leave nothing partial behind."""

import json
import logging
import os
import subprocess
import sys
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import load, made_multiframe, made_slices, save, save_one, set_pixels, slice_hu, volume_hu
from fuzz_cases import BASES, damaged_study
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels import compress
from pydicom.uid import RLELossless
from renalct.core.errors import ErrorCode, InputError
from renalct.formats.dicom.bounded import TooManyElements, read_dataset
from renalct.formats.dicom.codestreams import decode_rle
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.source_images import source_images
from renalct.formats.nifti import read_volume
from renalct.formats.quiet import quietly

CASES, ENOUGH = 150, 25
TESTS = Path(__file__).parent


@pytest.mark.timeout(900)
def test_a_slice_of_the_fuzzer_finds_no_problem():
    """`benchmarks/fuzz_dicom.py` runs thousands; the seeds are the same every time."""
    command = [sys.executable, "fuzz_runner.py", "100000", str(CASES)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False)
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(ended) == CASES, done.stderr
    assert [case for case in ended if case["problem"]] == []
    outcomes = Counter(case["outcome"].split()[0] for case in ended)
    assert outcomes["refused"] > ENOUGH and outcomes["ok"] > ENOUGH, "the damage is too mild, or too strong"


def test_a_process_that_never_ends_is_a_hang_and_one_on_a_busy_computer_is_not():
    program = (
        "import time; from fuzz_runner import run_cases\n"
        "def endless(study, output):\n"
        "    while True: pass\n"
        "def waiting(study, output):\n"
        "    time.sleep(1.5); return 2\n"  # more than its second on the clock, and nothing of the processor's
        "print(*[e.outcome for e in run_cases(range(2), lambda seed: (endless, waiting)[seed], seconds=1)], sep=', ')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=TESTS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "hang, exit 2"


def test_the_same_seed_damages_the_same_study_in_the_same_way(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = []
        for folder in (tmp_path / "a", tmp_path / "b"):
            folder.mkdir()
            study = damaged_study(7, folder)
            made.append((study.base, study.damage, {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}))
    assert made[0] == made[1] and made[0][0] in BASES


# What it found, each once


def test_zeros_that_call_themselves_dicom_are_given_up_in_a_moment(tmp_path):
    save(made_slices(), tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in (tmp_path / "in").iterdir():
            archive.write(path, path.name)
        archive.writestr("zeros.dcm", bytes(128) + b"DICM" + bytes(64 << 20))
    skipped = scan_study(tmp_path / "in.zip").skipped  # eight million elements, had they been read
    assert [file.reason for file in skipped] == ["is damaged: its header cannot be read (TooManyElements)"]


def test_a_header_of_endless_elements_is_given_up(tmp_path):
    path = tmp_path / "many.dcm"
    path.write_bytes(b"\x08\x00\x60\x00\x00\x00\x00\x00" * 30000)  # Modality, empty, implicit VR, again and again
    with path.open("rb") as stream, pytest.raises(TooManyElements):
        read_dataset(stream)


def test_a_length_that_the_file_cannot_hold_takes_no_memory(tmp_path):
    asked = []

    class Counting:
        def __init__(self, stream):
            self.stream, self.seek, self.tell, self.close = stream, stream.seek, stream.tell, stream.close

        def read(self, size=-1):
            asked.append(size)
            return self.stream.read(size)

    path = save_one(made_slices(1)[0], tmp_path / "one.dcm")
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00OW") + 8
    path.write_bytes(content[:at] + b"\xf0\xff\xff\x7f" + content[at + 4 :])
    with path.open("rb") as stream, quietly():
        read_dataset(Counting(stream))
    assert max(asked) <= len(content)


@pytest.mark.parametrize("enhanced", [False, True])
def test_an_image_larger_than_its_file_is_refused_before_memory_is_taken(tmp_path, enhanced):
    slices = made_slices()
    for dataset in [made_multiframe(slices)] if enhanced else slices:
        dataset.Rows = dataset.Columns = 65535
        save_one(dataset, tmp_path / f"{dataset.SOPInstanceUID}.dcm")
    with pytest.raises(InputError, match="more than its file") as refused:
        load(tmp_path)
    assert refused.value.code is ErrorCode.DAMAGED_PIXELS


def rle_frame(values):
    (dataset,) = made_slices(1)
    set_pixels(dataset, values)
    dataset.file_meta = meta_of(dataset)
    compress(dataset, RLELossless)
    return dataset


def meta_of(dataset):
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    return meta


def test_run_lengths_are_decoded_by_hand():
    # one byte a pixel: three literal bytes (2 = 3 - 1), then four times 9 (257 - 4 = 253)
    frame = np.array([1, 64, *[0] * 14], "<u4").tobytes() + bytes([2, 5, 6, 7, 253, 9])
    assert decode_rle(frame, (1, 7), 1).tolist() == [[5, 6, 7, 9, 9, 9, 9]]
    # two bytes a pixel: the high bytes 1 and 1, then the low ones 2 and 3
    frame = np.array([2, 64, 66, *[0] * 13], "<u4").tobytes() + bytes([255, 1, 1, 2, 3])
    assert decode_rle(frame, (1, 2), 2).tolist() == [[0x102, 0x103]]


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        bytes(64),
        np.array([1, 64, *[0] * 14], "<u4").tobytes(),
        np.array([1, 64, *[0] * 14], "<u4").tobytes() + bytes([5, 1]),
        np.array([1, 10**6, *[0] * 14], "<u4").tobytes() + bytes([2, 5, 6, 7]),
        np.array([2, 64, 65, *[0] * 13], "<u4").tobytes() + bytes([2, 5, 6, 7]),
        np.array([99, *[64] * 15], "<u4").tobytes() + bytes([2, 5, 6, 7]),
    ],
)
def test_damaged_run_lengths_raise_and_print_nothing(frame, capfd):
    with pytest.raises(ValueError):
        decode_rle(frame, (1, 7), 1)
    assert capfd.readouterr() == ("", "")


def test_damaged_run_lengths_in_a_study_are_refused(tmp_path):
    slices = made_slices()
    save(slices[:5], tmp_path)
    bad = rle_frame(slice_hu(5))
    bad.SOPInstanceUID, bad.ImagePositionPatient = slices[5].SOPInstanceUID, slices[5].ImagePositionPatient
    bad.PixelData = encapsulate([np.array([2, 64, 64, *[0] * 13], "<u4").tobytes() + bytes([1, 1])])
    bad["PixelData"].is_undefined_length = True
    save_one(bad, tmp_path / "IM0006.dcm", RLELossless)
    with pytest.raises(InputError, match="damaged"):
        load(tmp_path)


def test_a_class_that_only_the_files_meta_information_tells_is_known_to_the_results(tmp_path):
    image = made_multiframe(made_slices())
    path = save_one(image, tmp_path / "enhanced.dcm")
    again = dcmread(path)
    del again.SOPClassUID
    again.save_as(path, enforce_file_format=False)
    assert source_images(load(tmp_path)).references[0].sop_class_uid == image.SOPClassUID


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("damage", ["missing", "of bytes"])
def test_an_image_without_an_identity_is_listed(tmp_path, keyword, damage):
    save(made_slices(), tmp_path)
    path = tmp_path / "IM0001.dcm"
    image = dcmread(path)
    del image[keyword]
    if damage == "of bytes":
        image.add_new(keyword, "OB", b"\x97\xd6")
    image.save_as(path, enforce_file_format=False)
    (skipped,) = scan_study(tmp_path).skipped
    assert keyword in skipped.reason


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        ("AccessionNumber", "FD", b"6\xab" + bytes(6)),
        ("SliceThickness", "DS", b"1\\2 "),
        ("SliceThickness", "DS", b"thin"),
        ("SliceThickness", "DS", b"1e400 "),
        ("StudyDate", "SQ", b""),
        ("PatientSize", "DS", b"tall"),
    ],
)
def test_damaged_values_that_results_repeat_are_left_out(tmp_path, tag, vr, value):
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    slices = made_slices()
    for dataset in slices:
        key = Tag(tag_for_keyword(tag))
        dataset._dict[key] = RawDataElement(key, vr, len(value), value, 0, False, True)
    save(slices, tmp_path)
    loaded = load(tmp_path)
    assert np.array_equal(loaded.volume.hu, volume_hu())
    assert source_images(loaded).first.SliceThickness == 2.5


def test_readers_say_nothing_of_a_patient(tmp_path, caplog, capfd):
    with quietly():
        save(made_slices(PatientName="SENTINEL^" * 20), tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"1.2.3.77", b"1.2.\x97.77"))  # a UID of which pydicom complains
    with caplog.at_level(logging.DEBUG, "pydicom"):
        assert len(load(tmp_path).headers) == 6
    assert "SENTINEL" not in caplog.text + "".join(capfd.readouterr())
    (tmp_path / "x.nii").write_bytes(bytes(400))
    with pytest.raises(InputError):
        read_volume(tmp_path / "x.nii")
    assert capfd.readouterr() == ("", "")


def test_readers_speak_again_afterwards(caplog):
    with quietly():
        logging.getLogger("pydicom").warning("hidden")
    logging.getLogger("pydicom").warning("shown")
    assert [record.message for record in caplog.records] == ["shown"]


def test_a_name_that_is_no_text_is_not_repeated(tmp_path):
    save(made_slices(), tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.dcm")).write_bytes(b"x")
    json.dumps([file.name for file in scan_study(tmp_path).skipped]).encode()
    assert all(file.name.isascii() for file in scan_study(tmp_path).skipped)
