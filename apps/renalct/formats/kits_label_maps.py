"""Label maps of KiTS23 cases without their images (`case_XXXXX.npz`), and the table of what was measured on the images.

Each npz file holds `label` (uint8, z y x, from head to foot, front to back, right to left), `spacing_zyx_mm`,
`offset_zyx` (of the first voxel in a volume of `volume_shape_zyx`), and `native_spacing_zyx_mm` (of the images).
The table is a CSV file with one row per case; its `hu_*` columns describe the CT numbers inside kidneys and masses.
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap

TABLE_NAME = "kits23_cases.csv"
_ARRAYS = ("label", "spacing_zyx_mm", "offset_zyx", "volume_shape_zyx", "native_spacing_zyx_mm")
_PERCENT = (5, 25, 50, 75, 95)
_HIGHEST_LABEL = int(Structure.CYST)


@dataclass(frozen=True, eq=False)
class KitsLabelMap:
    """The labels of one case about its kidneys, the middle of the image they were cut from, and its slice spacing.

    `midline_mm` is the patient coordinate x of the middle of the field of view.
    """

    case: str
    label_map: LabelMap = field(repr=False)
    midline_mm: float
    native_spacing_mm: tuple[float, float, float]


@dataclass(frozen=True)
class CaseRow:
    """What was measured on one case: HU inside kidneys and masses (percentiles 5, 25, 50, 75, 95; mean), volumes."""

    case: str
    histology: str
    percentiles_hu: tuple[float, float, float, float, float]
    mean_hu: float
    kidney_ml: float
    tumor_ml: float
    cyst_ml: float

    def __post_init__(self) -> None:
        values = (*self.percentiles_hu, self.mean_hu, self.kidney_ml, self.tumor_ml, self.cyst_ml)
        if not np.isfinite(values).all() or list(self.percentiles_hu) != sorted(self.percentiles_hu):
            raise ValueError("percentiles of HU are finite and rise")
        if min(self.kidney_ml, self.tumor_ml, self.cyst_ml) < 0:
            raise ValueError("volumes are not negative")


def label_map_paths(folder: Path) -> tuple[Path, ...]:
    """The label maps of a folder, by name. Raises `InputError` when there are none."""
    found = tuple(sorted(folder.glob("case_*.npz")))
    if not found:
        raise InputError(f"{folder} holds no label maps; a folder with files case_XXXXX.npz is needed")
    return found


def read_kits_label_map(path: Path) -> KitsLabelMap:
    """The labels of one file on their own grid (x to the left, y to the back, z to the feet, as KiTS images are).

    Raises `InputError` for a file that is damaged or lacks an array, and `LabelError` for labels that are none of KiTS.
    """
    label, spacing, offset, whole, native = _arrays(path)
    if label.ndim != 3 or label.dtype != np.uint8 or any(a.shape != (3,) for a in (spacing, offset, whole, native)):
        raise InputError(f"{path.name}: a label array (z, y, x) of uint8 and vectors of 3 are needed; export it again")
    if not (np.isfinite([spacing, native]).all() and min(spacing.min(), native.min()) > 0):
        raise InputError(f"{path.name} has a spacing of {spacing.tolist()} mm; positive numbers are needed")
    if int(label.max(initial=0)) > _HIGHEST_LABEL:
        raise LabelError(f"{path.name} holds the label {label.max()}; KiTS labels run from 0 to {_HIGHEST_LABEL}")
    if not label.any():
        raise InputError(f"{path.name} holds no kidney and no mass; leave it out")
    dz, dy, dx = (float(v) for v in spacing)
    affine = np.diag([-dx, -dy, -dz, 1.0])
    affine[:3, 3] = [-dx * float(offset[2]), -dy * float(offset[1]), -dz * float(offset[0])]
    nz, ny, nx = label.shape
    middle = -dx * (float(whole[2]) - 1) / 2
    z_mm, y_mm, x_mm = (float(v) for v in native)
    label_map = LabelMap(np.asarray(label.transpose(2, 1, 0), dtype=np.uint8), Grid((nx, ny, nz), affine))
    return KitsLabelMap(path.stem, label_map, middle, (x_mm, y_mm, z_mm))


def _arrays(path: Path) -> tuple[NDArray[np.generic], ...]:
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [name for name in _ARRAYS if name not in data.files]
            if missing:
                raise InputError(f"{path.name} lacks {', '.join(missing)}; it is no label map of a KiTS case")
            first, *rest = (np.asarray(data[name]) for name in _ARRAYS)
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path.name} cannot be read as npz ({error.__class__.__name__}); copy it again") from error
    return (first, *(np.asarray(a, dtype=np.float64) for a in rest))


def find_case_table(label_maps: Path) -> Path | None:
    """The table that lies in a folder of label maps or beside it, or None."""
    places = (label_maps / TABLE_NAME, label_maps.resolve().parent / TABLE_NAME)
    return next((path for path in places if path.is_file()), None)


def read_case_table(path: Path) -> tuple[CaseRow, ...]:
    """The rows of a table of cases. Raises `InputError` that names the row of a value that is missing or wrong."""
    rows = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    rows.append(_row(row))
                except (KeyError, TypeError, ValueError) as error:
                    raise InputError(f"{path.name}, line {number}: a value is missing or wrong ({error})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error.__class__.__name__})") from error
    return tuple(rows)


def _row(row: dict[str, str]) -> CaseRow:
    p05, p25, p50, p75, p95 = (float(row[f"hu_p{percent:02d}"]) for percent in _PERCENT)
    return CaseRow(
        case=row["case"],
        histology=row["tumor_histologic_subtype"],
        percentiles_hu=(p05, p25, p50, p75, p95),
        mean_hu=float(row["hu_fg_mean"]),
        kidney_ml=float(row["kidney_ml"]),
        tumor_ml=float(row["tumor_ml"]),
        cyst_ml=float(row["cyst_ml"]),
    )
