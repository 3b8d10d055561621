"""Any folder of labelled CT: what kind it is, which images and labels belong together, and how a pair is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from renalct.core.errors import InputError
from renalct.core.grid import Grid
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats import nifti
from renalct.formats.annotation import OUR_NAMES, read_annotation, refuse_other_grid
from renalct.formats.case_notes import CaseNotes
from renalct.formats.dicom.geometry import stack_slices
from renalct.formats.dicom.seg_reading import read_segmentation
from renalct.formats.dicom.series import load_series
from renalct.formats.dicom_pairs import find_dicom
from renalct.formats.kits import (
    SliceStack,
    read_single_slice,
    read_stack,
    single_slice_entries,
    stack_folders,
    stack_notes,
)
from renalct.formats.kits_cases import find_kits
from renalct.formats.labelled_pair import LabelledFolder, LabelledImage, LabelledKind, LabelledPair
from renalct.formats.monai_label import find_monai_label
from renalct.formats.nifti_pairs import find_nnunet, find_pairs

_KNOWN = (
    "KiTS cases (case_00000/imaging.nii.gz and segmentation.nii.gz), an nnU-Net data set (imagesTr and labelsTr), "
    "NIfTI pairs (images and labels, or X.nii.gz and X_seg.nii.gz), DICOM series with segmentations, a MONAI Label "
    "store (labels/final), or slice stacks (case_00000/case.json)"
)
_ENDINGS_LISTED = 4
_LFS = b"version https://git-lfs"


def find_labelled(folder: Path) -> LabelledFolder:
    """The labelled images in a folder, found without reading a voxel.

    Raises `InputError` that says what is there when the folder is of no kind that is known.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the folder of the labelled images")
    finders: tuple[Callable[[Path], LabelledFolder | None], ...] = (
        find_monai_label,
        _find_stacks,
        _find_single_slices,
        find_kits,
        find_nnunet,
        find_pairs,
        find_dicom,
    )
    if any(folder.iterdir()):
        for find in finders:
            found = find(folder)
            if found is not None:
                return found
    raise InputError(f"{folder} holds no labelled images that are known: {_contents(folder)}; give {_KNOWN}")


def read_labelled(pair: LabelledPair) -> tuple[LabelledImage, ...]:
    """The image of a pair with its labels on the image's own voxels; several where slices were left out.

    Raises an `InputError` that says what is wrong: a half that is missing or unreadable, values that are no HU or no
    labels, or labels on another grid.
    """
    if pair.kind is LabelledKind.STACKS:
        return tuple(_image(stack, f"{pair.name}_{n}") for n, stack in enumerate(read_stack(_existing(pair, "image"))))
    if pair.kind is LabelledKind.SINGLE_SLICES:
        entries = single_slice_entries(_existing(pair, "image").parent)
        return tuple(_image(read_single_slice(e), pair.name) for e in entries if e.image == pair.image)
    volume = read_image(pair)
    return (LabelledImage(pair.name, volume, read_labels(pair, volume.grid)),)


def read_image(pair: LabelledPair) -> CTVolume:
    """The CT of a pair that is a volume. Raises as `read_labelled`."""
    path = _existing(pair, "image")
    if pair.series is not None:
        return load_series(pair.series).volume
    _refuse_pointer(path)
    return nifti.read_volume(path)


def image_grid(pair: LabelledPair) -> Grid:
    """The grid of the image of a pair that is a volume, from headers alone. Raises as `read_labelled`."""
    path = _existing(pair, "image")
    if pair.series is not None:
        return stack_slices(pair.series).grid
    _refuse_pointer(path)
    return nifti.read_grid(path)


def read_labels(pair: LabelledPair, grid: Grid) -> LabelMap:
    """The labels of a pair that is a volume, on the grid of its image. Raises as `read_labelled`."""
    path = _existing(pair, "labels")
    _refuse_pointer(path)
    if pair.kind is LabelledKind.DICOM:
        try:
            return read_segmentation(path, grid)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:  # what pydicom finds missing
            raise InputError(f"{path.name} is a damaged DICOM segmentation ({error}); export it again") from error
    if pair.names or not nifti.is_nifti(path):
        return read_annotation(path, pair.names or OUR_NAMES, grid=grid)
    own = nifti.read_grid(path)
    refuse_other_grid(own, grid, path.name)
    return LabelMap(nifti.read_label_map(path).values, grid)


def _existing(pair: LabelledPair, half: str) -> Path:
    path = pair.image if half == "image" else pair.labels
    if path is None:
        what = "image is" if half == "image" else "labels are"
        raise InputError(f"the {what} missing; add what is missing, or leave the case out")
    return path


def _refuse_pointer(path: Path) -> None:
    """Raise `InputError` for what a clone leaves in place of a large file that was not downloaded."""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_LFS))
    except OSError as error:
        raise InputError(f"{path.name} cannot be read ({error.strerror}); copy or download it again") from error
    if start == _LFS:
        raise InputError(f"{path.name} is a Git LFS pointer, not the file itself; download it with git lfs pull")


def _find_stacks(folder: Path) -> LabelledFolder | None:
    if not any(folder.glob("*/case.json")):
        return None
    pairs = (
        LabelledPair(path.name, LabelledKind.STACKS, path, path, notes=stack_notes(path))
        for path in stack_folders(folder)
    )
    return LabelledFolder(LabelledKind.STACKS, tuple(pairs))


def _find_single_slices(folder: Path) -> LabelledFolder | None:
    if not (folder / "index.json").is_file() or not any(folder.glob("*_image.webp")):
        return None
    pairs = (
        LabelledPair(
            f"{entry.case}_single",
            LabelledKind.SINGLE_SLICES,
            entry.image if entry.image.is_file() else None,
            entry.labels if entry.labels.is_file() else None,
            notes=CaseNotes(patient=entry.case),
        )
        for entry in single_slice_entries(folder)
    )
    return LabelledFolder(LabelledKind.SINGLE_SLICES, tuple(pairs))


def _image(stack: SliceStack, name: str) -> LabelledImage:
    return LabelledImage(name, stack.volume, stack.label_map)


def _contents(folder: Path) -> str:
    """What is in a folder, in numbers: names of files may name patients."""
    entries = list(folder.iterdir())
    files = [entry for entry in entries if entry.is_file()]
    endings = Counter("".join(Path(file.name).suffixes[-2:]) or "no ending" for file in files)
    listed = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(_ENDINGS_LISTED))
    more = ", ..." if len(endings) > _ENDINGS_LISTED else ""
    return f"{len(entries) - len(files)} folders and {len(files)} files" + (f" ({listed}{more})" if files else "")
