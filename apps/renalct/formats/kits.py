"""Slices of KiTS cases as pictures (WebP and PNG beside a `case.json`) to volumes and label maps.

Two layouts are read. A folder of *stacks* holds `case_XXXXX/` with `image_ZZZZ.webp` (8 bit), `label_ZZZZ.png` and
`case.json` with HU = hu_slope * (level + 0.5) + hu_intercept per slice. A folder of *single slices* holds
`case_XXXXX_image.webp`, `case_XXXXX_label.png` and `index.json`, 8 bit over the window -79 to 304 HU.
In both, row 0 is anterior, column 0 the patient's right, and slice numbers run from head to foot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from renalct.core.errors import GeometryError, InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.case_notes import CaseNotes, read_json

_SINGLE_LOW_HU, _SINGLE_HIGH_HU = -79.0, 304.0
_SINGLE_THICKNESS_MM = 5.0
_HIGHEST_LABEL = int(Structure.CYST)


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Consecutive axial slices of one case with their labels, and the histology of its tumor ("" if unknown)."""

    case: str
    volume: CTVolume = field(repr=False)
    label_map: LabelMap = field(repr=False)
    histology: str = ""


@dataclass(frozen=True)
class SingleSlice:
    """An entry of `index.json`: the case, and the distance of its pixels."""

    folder: Path
    case: str
    spacing_mm: float

    @property
    def image(self) -> Path:
        """The picture of the slice."""
        return self.folder / f"{self.case}_image.webp"

    @property
    def labels(self) -> Path:
        """The label values of its pixels."""
        return self.folder / f"{self.case}_label.png"


def stack_folders(folder: Path) -> tuple[Path, ...]:
    """The folders of the cases in a folder of stacks, by name. Raises `InputError` when there are none."""
    found = tuple(sorted(path.parent for path in folder.glob("*/case.json")))
    if not found:
        raise InputError(f"{folder} holds no slice stacks; a folder with case_XXXXX/case.json in it is needed")
    return found


def read_stack(folder: Path) -> tuple[SliceStack, ...]:
    """The slices of one case: one stack per run of equally spaced slices, for where slices were left out.

    Raises `InputError` for a case that lacks a file or a value, and `LabelError` for label values above 3.
    """
    data = read_json(folder / "case.json")
    try:
        numbers = [int(entry["z"]) for entry in data["slices"]]
        scales = [(float(entry["hu_slope"]), float(entry["hu_intercept"])) for entry in data["slices"]]
        z_mm, y_mm, x_mm = (float(v) for v in data["spacing_zyx_mm"])
        top, _, left, _ = (int(v) for v in data["crop_y0_y1_x0_x1"])
        case, histology = str(data["case"]), str(data.get("histology") or "")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'case.json'} lacks a value or holds a wrong one ({error})") from error
    stacks = []
    for run in _even_runs(numbers):
        step = numbers[run[1]] - numbers[run[0]] if len(run) > 1 else max(1, round(2.5 / z_mm))
        images = [_picture(folder / f"image_{numbers[n]:04d}.webp") for n in run]
        hu = np.stack(
            [s * (im + np.float32(0.5)) + b for im, (s, b) in zip(images, (scales[n] for n in run), strict=True)]
        )
        labels = np.stack([_labels(folder / f"label_{numbers[n]:04d}.png") for n in run])
        grid = _grid(hu.shape, (z_mm * step, y_mm, x_mm), (z_mm * numbers[run[0]], y_mm * top, x_mm * left))
        volume = CTVolume(np.rint(hu).astype(np.int16).transpose(2, 1, 0), grid)
        stacks.append(SliceStack(case, volume, _label_map(labels, grid, folder), histology))
    return tuple(stacks)


def stack_notes(folder: Path) -> CaseNotes:
    """What `case.json` says of a case beside its slices; nothing where it cannot be read."""
    try:
        data = read_json(folder / "case.json")
        diameter = data.get("tumor_max_axial_mm")
        return CaseNotes(
            histology=str(data.get("histology") or ""), diameter_mm=None if diameter is None else float(diameter)
        )
    except (InputError, AttributeError, TypeError, ValueError):
        return CaseNotes()


def single_slice_entries(folder: Path) -> tuple[SingleSlice, ...]:
    """The slices that `index.json` lists, not yet read. Raises `InputError` when it lacks a value."""
    try:
        return tuple(
            SingleSlice(folder, str(entry["case"]), float(entry["spacing_yx_mm"]))
            for entry in read_json(folder / "index.json")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / 'index.json'} lacks a value or holds a wrong one ({error})") from error


def read_single_slices(folder: Path) -> tuple[SliceStack, ...]:
    """Every full-field slice of a folder of single slices, each a volume of one slice of 5 mm."""
    return tuple(read_single_slice(entry) for entry in single_slice_entries(folder))


def read_single_slice(entry: SingleSlice) -> SliceStack:
    """One full-field slice, a volume of one slice of 5 mm. Raises as `read_stack`."""
    levels = _picture(entry.image)
    hu = _SINGLE_LOW_HU + levels * ((_SINGLE_HIGH_HU - _SINGLE_LOW_HU) / 255)
    labels = _labels(entry.labels)[None]
    grid = _grid(labels.shape, (_SINGLE_THICKNESS_MM, entry.spacing_mm, entry.spacing_mm), (0.0, 0.0, 0.0))
    volume = CTVolume(np.rint(hu)[None].astype(np.int16).transpose(2, 1, 0), grid)
    return SliceStack(entry.case, volume, _label_map(labels, grid, entry.folder))


def _even_runs(numbers: list[int]) -> list[list[int]]:
    """Positions of `numbers` in runs of equal steps; the commonest step is the case's own."""
    steps = np.diff(numbers)
    if steps.size and steps.min() <= 0:
        raise GeometryError(f"slice numbers must rise, not go from {numbers[int(steps.argmin())]} down")
    usual = int(np.bincount(steps).argmax()) if steps.size else 1
    runs: list[list[int]] = [[0]] if numbers else []
    for n, step in enumerate(steps, start=1):
        if step == usual:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs


def _grid(shape: tuple[int, ...], spacing_zyx: tuple[float, ...], first_zyx: tuple[float, ...]) -> Grid:
    """The grid of a (z, y, x) stack: x to the patient's left, y to the back, z to the feet."""
    affine = np.diag([-spacing_zyx[2], -spacing_zyx[1], -spacing_zyx[0], 1.0])
    affine[:3, 3] = [-first_zyx[2], -first_zyx[1], -first_zyx[0]]
    return Grid((shape[2], shape[1], shape[0]), affine)


def _label_map(labels: NDArray[np.uint8], grid: Grid, folder: Path) -> LabelMap:
    if labels.max(initial=0) > _HIGHEST_LABEL:
        raise LabelError(f"{folder} holds the label {labels.max()}; KiTS labels run from 0 to {_HIGHEST_LABEL}")
    return LabelMap(labels.transpose(2, 1, 0), grid)


def _picture(path: Path) -> NDArray[np.float32]:
    return _read(path).astype(np.float32)


def _labels(path: Path) -> NDArray[np.uint8]:
    return _read(path).astype(np.uint8)


def _read(path: Path) -> NDArray[Any]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L") if image.mode not in ("L", "P") else image)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.__class__.__name__}); the case is incomplete") from error
