"""A study without the identity of the patient, as new files that nothing of the old names or folders is left in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from renalct.core.errors import NotCT
from renalct.formats.dicom.bounded import read_dataset
from renalct.formats.dicom.deidentify import deidentify_dataset
from renalct.formats.dicom.deidentify_values import Deidentification
from renalct.formats.dicom.walk import FileReader, StudyFile, is_dicom, list_files
from renalct.formats.nifti import is_nifti, read_stored, write_array
from renalct.formats.quiet import quietly

_CT = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_SCREENS = frozenset({"SCREEN SAVE", "SCREENSAVE", "DOSE_INFO", "PASTED"})


@dataclass(frozen=True)
class DeidentifiedStudy:
    """Where the images are, how many, and why how many of the other files were left out."""

    path: Path
    images: int
    left_out: tuple[tuple[str, int], ...] = ()


class _LeftOut(Exception):
    """Why a file has no place among the de-identified images."""


def deidentify_study(source: Path, folder: Path, how: Deidentification) -> DeidentifiedStudy:
    """The study at `source` (a folder, a DICOMDIR, a zip, one DICOM or NIfTI file), de-identified, in `folder`.

    Only CT images are written, by `deidentify_dataset`, with their pixel data as they are, as IM000001.dcm and so on; a
    picture of a screen, or one that says that text was burned into it, is left out like all other objects. Of a NIfTI
    file the voxels and their place are written, and nothing else of the header.

    Raises `InputError` when there is nothing to read, and `NotCT` when no file is a CT image.
    """
    source = Path(source)
    if source.is_file() and is_nifti(source):
        return DeidentifiedStudy(_plain_nifti(source, folder / "volume.nii"), 1)
    listing = list_files(source)
    left_out = Counter({"cannot be opened": len(listing.skipped)} if listing.skipped else {})
    written = 0
    with quietly(), FileReader() as reader:
        for file in listing.files:
            try:
                image = deidentify_dataset(_image(reader, file), how)
                image.save_as(folder / f"IM{written + 1:06d}.dcm", enforce_file_format=True)
            except _LeftOut as reason:
                left_out[str(reason)] += 1
                continue
            written += 1
    if not written:
        reasons = "; ".join(f"{count}: {reason}" for reason, count in left_out.most_common(3))
        raise NotCT(f"no CT image can be de-identified among the files ({reasons}); give the folder of a CT study")
    return DeidentifiedStudy(folder, written, tuple(sorted(left_out.items())))


def _image(reader: FileReader, file: StudyFile) -> Dataset:
    """The CT image in a file, with its pixel data. Raises `_LeftOut` for every other file."""
    try:
        with reader.open(file) as stream:
            if not is_dicom(stream):
                raise _LeftOut("not a DICOM file")
            image = read_dataset(stream)
        _refuse(image)
    except _LeftOut:
        raise
    except Exception as error:  # pydicom and zipfile raise many types on damaged data
        raise _LeftOut(f"damaged ({type(error).__name__})") from error
    return image


def _refuse(image: Dataset) -> None:
    if image.get("SOPClassUID") not in _CT:
        raise _LeftOut("not a CT image")
    if "SOPInstanceUID" not in image or "TransferSyntaxUID" not in image.file_meta:
        raise _LeftOut("damaged (its header is incomplete)")
    kinds = {str(word).strip().upper() for word in image.get("ImageType") or []}
    if int(image.get("SamplesPerPixel") or 1) != 1 or kinds & _SCREENS:
        raise _LeftOut("a picture of a screen")
    if str(image.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        raise _LeftOut("with text burned into it")


def _plain_nifti(source: Path, target: Path) -> Path:
    """The voxels of a NIfTI file and their place under a new header."""
    values, grid = read_stored(source)
    write_array(values if values.dtype == np.int16 else values.astype(np.float32), grid, target)
    return target
