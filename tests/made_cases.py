"""Labelled CT on disk, small and made: a body of fat with a block of soft tissue in air, a kidney and a tumor in it."""

import json

import nibabel as nib
import numpy as np

SHAPE = (20, 18, 8)
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2.0, 0, -70], [0, 0, -5.0, 40], [0, 0, 0, 1]])
KIDNEY_ML, TUMOR_ML = 27 * 8 * 0.02 - 8 * 0.02, 8 * 0.02
"""216 voxels of 2 x 2 x 5 mm, of which 8 are tumor."""


def made_hu(shape=SHAPE):
    hu = np.full(shape, -1000, np.int16)
    hu[2:-2, 2:-2] = -90
    hu[4:-4, 4:-4] = 60
    return hu


def made_labels(shape=SHAPE, kidney=1, tumor=2):
    labels = np.zeros(shape, np.uint8)
    labels[6:12, 6:12, 1:7] = kidney
    labels[7:9, 7:9, 3:5] = tumor
    return labels


def save(path, values, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(values, affine).to_filename(path)
    return path


def save_pair(image, labels, **values):
    save(image, made_hu())
    save(labels, made_labels(**values))


def kits_folder(folder, count=2):
    """KiTS23 as it is cloned: `dataset/case_XXXXX/` and `dataset/kits23.json`."""
    table = []
    for n in range(count):
        case = folder / "dataset" / f"case_{n:05d}"
        save_pair(case / "imaging.nii.gz", case / "segmentation.nii.gz")
        histology = "angiomyolipoma" if n == 0 else "clear_cell_rcc"
        table.append({"case_id": case.name, "tumor_histologic_subtype": histology, "radiographic_size": 2.5})
    write_json(folder / "dataset" / "kits23.json", table)
    return folder


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
    return path
