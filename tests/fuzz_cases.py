"""Damaged studies, made from whole ones by seeded mutation: `damaged_study(seed, folder)` writes the one of a seed.

A whole study (DICOM in every transfer syntax, an enhanced image, a zip, a DICOMDIR, a NIfTI file) is damaged in one to
three ways: bytes, header values, lengths, pixel data, the container around the files, or what else lies beside them.
The same seed always gives the same study.
"""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from dicom_corpus import PLAIN, made_multiframe, made_scout, made_slices, save_one
from encoded_frames import frame
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.fileset import FileSet
from pydicom.pixels import compress
from pydicom.uid import (
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

SENTINEL = "SENTINELSURNAME"
"""The patient's name and ID in every whole study: no message may repeat it."""
ROWS, COLUMNS, SLICES = 40, 36, 5
Files = dict[str, bytes]
"""A study in memory: names below its folder, and their contents."""


@dataclass(frozen=True)
class DamagedStudy:
    """What to give to renalct, which whole study it was, and what was done to it."""

    path: Path
    base: str
    damage: tuple[str, ...]


def damaged_study(seed: int, folder: Path) -> DamagedStudy:
    """Write the damaged study of a seed into an empty folder."""
    chance = random.Random(seed)
    name = chance.choice(sorted(BASES))
    files = dict(whole_files(name))
    damage = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        ways = _ways(name, files)
        way = chance.choice(sorted(ways))
        ways[way](files, chance)
        damage.append(way)
    container = BASES[name][1]
    return DamagedStudy(container(files, folder, chance, damage), name, tuple(damage))


def whole_study(name: str, folder: Path) -> Path:
    """Write a whole study of a base that is a folder; returns its place."""
    for file, content in whole_files(name).items():
        _place(folder, f"study/{file}", content)
    return folder / "study"


# Whole studies


def _body(k: int) -> np.ndarray:
    """A slice of a body in air, with two bright kidneys."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    hu = np.full((ROWS, COLUMNS), -1000)
    hu[4:36, 3:33] = 40 + (row + column + k)[4:36, 3:33] % 5
    hu[18:26, 7:12] = hu[18:26, 24:29] = 200
    return hu


def _slices(**attributes) -> list[Dataset]:
    return made_slices(
        SLICES, values=_body, spacing=(8.0, 9.0), step=20.0, PatientName=f"{SENTINEL}^GIVEN",
        PatientID=f"{SENTINEL}01", **attributes,
    )  # fmt: skip


def _stored(datasets: list[Dataset], syntax: str = ExplicitVRLittleEndian) -> Files:
    return {f"IM{n:04d}.dcm": _bytes_of(dataset, syntax) for n, dataset in enumerate(datasets, start=1)}


def _bytes_of(dataset: Dataset, syntax: str) -> bytes:
    buffer = io.BytesIO()
    save_one(dataset, buffer, syntax)  # type: ignore[arg-type]
    return buffer.getvalue()


def _compressed(syntax: str) -> Callable[[], Files]:
    def made() -> Files:
        slices = _slices()
        for dataset in slices:
            dataset.file_meta = _meta(dataset)
            if syntax in (JPEGLosslessSV1, HTJ2KLossless):
                _encapsulated(dataset, syntax)
            else:
                compress(dataset, syntax)
            dataset["PixelData"].is_undefined_length = True
        return _stored(slices, syntax)

    return made


def _meta(dataset: Dataset) -> Dataset:
    from pydicom.dataset import FileMetaDataset

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    return meta


def _encapsulated(dataset: Dataset, syntax: str) -> None:
    coding = "JPEGLosslessSV1" if syntax == JPEGLosslessSV1 else "HTJ2KLossless"
    dataset.Rows, dataset.Columns = 6, 8
    dataset.PixelData = encapsulate([frame(coding, "int16")])
    dataset["PixelData"].VR = "OB"


def _enhanced(syntax: str) -> Callable[[], Files]:
    def made() -> Files:
        image = made_multiframe(_slices())
        if syntax == RLELossless:
            image.file_meta = _meta(image)
            compress(image, syntax)
            image["PixelData"].is_undefined_length = True
        return {"enhanced.dcm": _bytes_of(image, syntax)}

    return made


def _with_strangers() -> Files:
    scout = made_scout()
    return _stored(_slices()) | {"scout.dcm": _bytes_of(scout, ExplicitVRLittleEndian), "readme.txt": b"hello\n"}


def _nifti() -> Files:
    values = np.stack([_body(k) for k in range(SLICES)], axis=-1).astype(np.int16)
    image = nib.Nifti1Image(values, np.diag([9.0, 8.0, 20.0, 1.0]))
    image.header["descrip"] = SENTINEL.encode()
    return {"volume.nii": image.to_bytes()}


# How the files lie on the disk


def _place(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _in_folder(files: Files, folder: Path, chance: random.Random, damage: list[str]) -> Path:
    study = folder / "study"
    study.mkdir()
    for name, content in files.items():
        _place(study, name, content)
    if chance.random() < 0.1:
        damage.append(_beside(study, chance))
    return study


def _beside(study: Path, chance: random.Random) -> str:
    """Put something strange beside the files of a study; says what."""
    strange = chance.choice(("fifo", "loop", "broken link", "device", "folder named like a file", "odd names"))
    if strange == "fifo":
        os.mkfifo(study / "pipe.dcm")
    elif strange == "loop":
        (study / "again").symlink_to(study, target_is_directory=True)
    elif strange == "broken link":
        (study / "gone.dcm").symlink_to(study / "nowhere")
    elif strange == "device":
        (study / "endless.dcm").symlink_to("/dev/zero")
    elif strange == "odd names":
        os.fsencode(study) and (Path(os.fsdecode(os.fsencode(study) + b"/\xff\xfe.dcm"))).write_bytes(b"x")
    else:
        (study / "IM9999.dcm").mkdir()
    return f"beside it: {strange}"


def _single_file(files: Files, folder: Path, chance: random.Random, damage: list[str]) -> Path:
    ((name, content),) = files.items()
    compressed = chance.random() < 0.5
    path = folder / (name + ".gz" if compressed else name)
    content = gzip.compress(content, mtime=0) if compressed else content
    if compressed and chance.random() < 0.4:
        way = chance.choice(sorted(BYTE_DAMAGE))
        content = BYTE_DAMAGE[way](content, chance)
        damage.append(f"gzip: {way}")
    path.write_bytes(content)
    return path


def _in_zip(files: Files, folder: Path, chance: random.Random, damage: list[str]) -> Path:
    buffer = io.BytesIO()
    kind = chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(f"dicom/{name}"), content, kind)
        if chance.random() < 0.1:
            damage.append("zip: names that leave it")
            archive.writestr("../../escaped.dcm", next(iter(files.values())))
            archive.writestr("/absolute.dcm", b"x")
        if chance.random() < 0.1:
            damage.append("zip: a bomb")
            archive.writestr("bomb.dcm", bytes(128) + b"DICM" + bytes(64 << 20), zipfile.ZIP_DEFLATED)
    content = buffer.getvalue()
    if chance.random() < 0.7:
        way = chance.choice(sorted(ZIP_DAMAGE))
        content = ZIP_DAMAGE[way](content, chance)
        damage.append(f"zip: {way}")
    path = folder / "study.zip"
    path.write_bytes(content)
    return path


def _in_file_set(files: Files, folder: Path, chance: random.Random, damage: list[str]) -> Path:
    """A DICOMDIR over the whole files, whose files are then replaced by the damaged ones, and which is damaged too."""
    study = folder / "study"
    names = {}
    index = FileSet()
    for name, content in whole_files("folder").items():
        dataset = dcmread(io.BytesIO(content))
        dataset.PatientName = SENTINEL
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20200101", "10", "1", ""
        names[index.add(dataset).path] = name
    index.write(study)
    written = sorted(path for path in study.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    for path, content in zip(written, files.values(), strict=False):
        path.write_bytes(content)
    way = chance.choice(sorted(FILE_SET_DAMAGE))
    FILE_SET_DAMAGE[way](study / "DICOMDIR", chance)
    damage.append(f"DICOMDIR: {way}")
    return study / "DICOMDIR"


BASES: dict[str, tuple[Callable[[], Files], Callable[[Files, Path, random.Random, list[str]], Path]]] = {
    "folder": (lambda: _stored(_slices()), _in_folder),
    "folder with strangers": (_with_strangers, _in_folder),
    **{f"folder, {syntax.name}": ((lambda syntax=syntax: _stored(_slices(), syntax)), _in_folder) for syntax in PLAIN},
    **{
        f"folder, {syntax.name}": (_compressed(syntax), _in_folder)
        for syntax in (RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1, HTJ2KLossless)
    },
    "enhanced": (_enhanced(ExplicitVRLittleEndian), _in_folder),
    "enhanced, implicit": (_enhanced(ImplicitVRLittleEndian), _in_folder),
    "enhanced, RLE": (_enhanced(RLELossless), _in_folder),
    "zip": (lambda: _stored(_slices()), _in_zip),
    "zip, JPEG-LS": (_compressed(JPEGLSLossless), _in_zip),
    "DICOMDIR": (lambda: _stored(_slices()), _in_file_set),
    "NIfTI": (_nifti, _single_file),
    "NIfTI again": (_nifti, _single_file),
}


@cache
def whole_files(name: str) -> Files:
    """The undamaged files of a base."""
    return BASES[name][0]()


# Damage to bytes


def _flip(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 4, 32, 256))):
        if damaged:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def _flip_early(content: bytes, chance: random.Random) -> bytes:
    """Damage in the first kilobyte, where headers are."""
    return _flip(content[:1024], chance) + content[1024:]


def _truncate(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _remove(content: bytes, chance: random.Random) -> bytes:
    at, length = chance.randrange(len(content) + 1), chance.choice((1, 2, 7, 100))
    return content[:at] + content[at + length :]


def _insert(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content) + 1)
    return content[:at] + chance.randbytes(chance.choice((1, 2, 8, 300))) + content[at:]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    at, length = chance.randrange(len(content) + 1), chance.choice((8, 64, 512))
    return content[:at] + content[at : at + length] * chance.choice((2, 50)) + content[at + length :]


def _overwrite(content: bytes, chance: random.Random) -> bytes:
    """A 4-byte number becomes an extreme one: lengths, counts, offsets."""
    at = chance.randrange(max(1, len(content) - 4))
    extreme = chance.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, chance.getrandbits(32)))
    return content[:at] + struct.pack("<I", extreme) + content[at + 4 :]


def _overwrite_early(content: bytes, chance: random.Random) -> bytes:
    return _overwrite(content[:1200], chance) + content[1200:]


def _noise(content: bytes, chance: random.Random) -> bytes:
    return content[:140] + chance.randbytes(chance.choice((0, 10, 3000)))


BYTE_DAMAGE = {
    "bits flipped": _flip, "bits flipped early": _flip_early, "truncated": _truncate, "bytes removed": _remove,
    "bytes inserted": _insert, "bytes repeated": _repeat, "number overwritten": _overwrite,
    "number overwritten early": _overwrite_early, "noise": _noise,
}  # fmt: skip


def _zip_directory(content: bytes, chance: random.Random) -> bytes:
    """Damage in the directory at the end of an archive."""
    start = content.rfind(b"PK\x01\x02", 0, len(content) - 200)
    start = content.find(b"PK\x01\x02") if start < 0 else start
    return content[:start] + _flip(content[start:], chance)


def _zip_encrypted(content: bytes, chance: random.Random) -> bytes:
    at = content.find(b"PK\x01\x02")
    return content[: at + 8] + b"\x01\x00" + content[at + 10 :]


def _zip_sizes(content: bytes, chance: random.Random) -> bytes:
    """An archive whose directory promises another unpacked size or another coding."""
    at = content.find(b"PK\x01\x02")
    place, value = chance.choice(
        ((24, b"\xff\xff\xff\x7f"), (24, bytes(4)), (10, b"\x63\x00"), (42, b"\xff\xff\xff\xff"))
    )
    return content[: at + place] + value + content[at + place + len(value) :]


ZIP_DAMAGE = BYTE_DAMAGE | {
    "directory damaged": _zip_directory, "marked as encrypted": _zip_encrypted, "sizes and codings": _zip_sizes,
}  # fmt: skip


# Damage to the values of headers

_ODD_TEXT = (
    "",
    " ",
    "NaN",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1\\2",
    "9" * 60,
    "x" * 300,
    "\x00\x01",
    "1e-320",
    "ß漢\\",
)
_ODD_NUMBERS = (0, 1, 2, 7, 255, 32768, 65535)
_TEXTUAL = (
    "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "ImageType", "Modality", "InstanceNumber", "SeriesNumber", "PatientPosition",
    "SpecificCharacterSet", "PhotometricInterpretation", "StudyDate", "AcquisitionTime", "GantryDetectorTilt",
    "FrameOfReferenceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID", "SOPClassUID", "PatientName",
    "SeriesDescription", "NumberOfFrames", "ConvolutionKernel", "LossyImageCompression", "TimezoneOffsetFromUTC",
    "AccessionNumber", "PatientBirthDate", "PatientSex", "PatientAge",
)  # fmt: skip
_NUMERIC = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PlanarConfiguration", "PixelPaddingValue", "SmallestImagePixelValue",
)  # fmt: skip


def _raw(dataset: Dataset, keyword: str, value: bytes, vr: str | None = None) -> None:
    """Set the bytes of a value as they are, whatever the standard says of them."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    tag = Tag(tag_for_keyword(keyword))
    vr = vr or dictionary_VR(tag)[:2]
    dataset._dict[tag] = RawDataElement(tag, vr, len(value), value + b" " * (len(value) % 2), 0, False, True)


def _odd_value(dataset: Dataset, chance: random.Random) -> None:
    if chance.random() < 0.6:
        _raw(dataset, chance.choice(_TEXTUAL), chance.choice(_ODD_TEXT).encode("utf-8", "replace"))
    else:
        _raw(dataset, chance.choice(_NUMERIC), struct.pack("<H", chance.choice(_ODD_NUMBERS)), "US")


def _wrong_vr(dataset: Dataset, chance: random.Random) -> None:
    vr = chance.choice(("OB", "UN", "SH", "FD", "US", "AT", "UT", "DA"))
    _raw(dataset, chance.choice(_TEXTUAL + _NUMERIC), chance.randbytes(chance.choice((0, 1, 2, 4, 8, 30))), vr)


def _without(dataset: Dataset, chance: random.Random) -> None:
    keys = [tag for tag in list(dataset._dict) if tag.group != 0x7FE0]
    for _ in range(chance.choice((1, 1, 3, 20))):
        if keys:
            del dataset[keys.pop(chance.randrange(len(keys)))]


def _deep(dataset: Dataset, chance: random.Random) -> None:
    """Sequences within sequences."""
    inner = Dataset()
    inner.CodeValue = "1"
    for _ in range(chance.choice((5, 60, 200))):
        outer = Dataset()
        outer.AnatomicRegionSequence = [inner]
        inner = outer
    dataset.AnatomicRegionSequence = [inner]


def _private(dataset: Dataset, chance: random.Random) -> None:
    block = dataset.private_block(0x0019, "RENALCT TEST", create=True)
    block.add_new(1, "UN", chance.randbytes(40))
    block.add_new(2, "LO", SENTINEL)


def _large(dataset: Dataset, chance: random.Random) -> None:
    """An image that claims to be far larger than its pixel data."""
    dataset.Rows, dataset.Columns = chance.choice(((65535, 65535), (30000, 2), (1, 1), (512, 512)))


def _frames(dataset: Dataset, chance: random.Random) -> None:
    """Functional groups that are missing, empty, or of another number than the frames."""
    way = chance.randrange(4)
    if "PerFrameFunctionalGroupsSequence" not in dataset or way == 0:
        dataset.NumberOfFrames = chance.choice((0, 1, 2, 2**31 - 1))
        return
    groups = dataset.PerFrameFunctionalGroupsSequence
    if way == 1:
        dataset.PerFrameFunctionalGroupsSequence = list(groups)[:-1]
    elif way == 2:
        groups[chance.randrange(len(groups))].PlanePositionSequence = []
    else:
        dataset.SharedFunctionalGroupsSequence = []


def _meta_damage(dataset: Dataset, chance: random.Random) -> None:
    syntax = chance.choice(("", "1.2.3", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5",
                            "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.100"))  # fmt: skip
    dataset.file_meta.TransferSyntaxUID = syntax


def _pixels(dataset: Dataset, chance: random.Random) -> None:
    data = bytes(dataset.get("PixelData") or b"")
    way = chance.choice(sorted(BYTE_DAMAGE))
    changed = BYTE_DAMAGE[way](data, chance) if data else b""
    dataset["PixelData"].value = changed + b"\0" * (len(changed) % 2)


HEADER_DAMAGE = {
    "an odd value": _odd_value, "another odd value": _odd_value, "a wrong VR": _wrong_vr,
    "attributes missing": _without, "deep sequences": _deep, "private elements": _private, "a false size": _large,
    "frames": _frames, "another transfer syntax": _meta_damage, "pixel data": _pixels,
}  # fmt: skip


def _in_headers(change: Callable[[Dataset, random.Random], None]) -> Callable[[Files, random.Random], None]:
    """The change in one file of a study, or in all of them."""

    def damage(files: Files, chance: random.Random) -> None:
        names = sorted(files)
        chosen = names if chance.random() < 0.35 else [chance.choice(names)]
        seed = chance.getrandbits(32)
        for name in chosen:
            try:
                dataset = dcmread(io.BytesIO(files[name]), force=True)
                change(dataset, random.Random(seed))
                buffer = io.BytesIO()
                dataset.save_as(buffer, enforce_file_format=False)
            except Exception:  # what was damaged before, or cannot be written, stays as it is
                continue
            files[name] = buffer.getvalue()

    return damage


def _in_bytes(change: Callable[[bytes, random.Random], bytes]) -> Callable[[Files, random.Random], None]:
    def damage(files: Files, chance: random.Random) -> None:
        name = chance.choice(sorted(files))
        files[name] = change(files[name], chance)

    return damage


def _files_missing(files: Files, chance: random.Random) -> None:
    for name in chance.sample(sorted(files), chance.randrange(1, len(files) + 1)):
        del files[name]
    if not files:
        files["empty.dcm"] = b""


def _file_twice(files: Files, chance: random.Random) -> None:
    """A copy under another name, with another UID or the same one."""
    name = chance.choice(sorted(files))
    files[f"copy of {name}"] = files[name]
    if chance.random() < 0.5:
        try:
            dataset = dcmread(io.BytesIO(files[name]), force=True)
            dataset.SOPInstanceUID = generate_uid(None, entropy_srcs=[name])
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=False)
        except Exception:  # damaged before
            return
        files[f"copy of {name}"] = buffer.getvalue()


def _nifti_header(files: Files, chance: random.Random) -> None:
    """A field of the NIfTI header (348 bytes) becomes an extreme one."""
    (name,) = files
    content = bytearray(files[name].ljust(352, b"\0"))
    at, kind, values = chance.choice((
        (0, "<i", (0, 1, 540, -1)), (40, "<h", (0, 1, 2, 4, 5, 7, 9, -1)),
        (42, "<h", (0, -1, 1, 32767)), (44, "<h", (0, -1, 32767)), (46, "<h", (0, 1, 32767)), (48, "<h", (0, 2, 32767)),
        (70, "<h", (0, 1, 2, 16, 32, 64, 128, 256, 512, 768, 1536, 1792, 2304, 9999)), (72, "<h", (0, 1, 8, 32, 999)),
        (80, "<f", (0.0, -1.0, float("nan"), float("inf"), 1e30)),
        (108, "<f", (0.0, -1.0, float("nan"), 1e9, 3.4e38, 352.0)),
        (112, "<f", (0.0, float("nan"), float("inf"), 1e30)),
        (116, "<f", (float("nan"), float("inf"), 1e30)), (252, "<h", (0, 5, -1)), (254, "<h", (0, 5, -1)),
        (280, "<f", (0.0, float("nan"), float("inf"), 1e30)),
        (284, "<f", (float("nan"), 9.0)), (344, "<I", (0, 0x6E6931)),
    ))  # fmt: skip
    struct.pack_into(kind, content, at, chance.choice(values))
    files[name] = bytes(content)


def _ways(base: str, files: Files) -> dict[str, Callable[[Files, random.Random], None]]:
    """All damage that fits the files of a base."""
    ways = {f"file: {name}": _in_bytes(change) for name, change in BYTE_DAMAGE.items()}
    if base.startswith("NIfTI"):
        return ways | {f"NIfTI header {n}": _nifti_header for n in range(9)}
    ways |= {f"header: {name}": _in_headers(change) for name, change in HEADER_DAMAGE.items()}
    if len(files) > 1:
        ways |= {"files missing": _files_missing, "a file twice": _file_twice}
    return ways


# Damage to a DICOMDIR


def _index_bytes(path: Path, chance: random.Random) -> None:
    path.write_bytes(BYTE_DAMAGE[chance.choice(sorted(BYTE_DAMAGE))](path.read_bytes(), chance))


def _index_names(path: Path, chance: random.Random) -> None:
    """Names that are absolute, leave the folder, are empty, or point at the index itself."""
    index = dcmread(path)
    odd = chance.choice((["..", "..", "etc", "passwd"], ["/etc/passwd"], ["DICOMDIR"], [""], ["x" * 16] * 8, ["."]))
    for record in index.DirectoryRecordSequence:
        if "ReferencedFileID" in record and chance.random() < 0.7:
            record.ReferencedFileID = odd
    index.save_as(path)


def _index_records(path: Path, chance: random.Random) -> None:
    """No records, or offsets that run in a circle."""
    index = dcmread(path)
    if chance.random() < 0.5:
        index.DirectoryRecordSequence = []
    else:
        for record in index.DirectoryRecordSequence:
            record.OffsetOfTheNextDirectoryRecord = record.OffsetOfReferencedLowerLevelDirectoryEntity = 400
    index.save_as(path)


FILE_SET_DAMAGE = {
    "bytes": _index_bytes, "names": _index_names, "records": _index_records, "none": lambda path, chance: None,
}  # fmt: skip
