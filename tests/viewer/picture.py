"""Draws the pictures of OHIF in docs/pictures on made data: ``python tests/viewer/picture.py``."""

import sys
import tempfile
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from orthanc import running_orthanc
from PIL import Image
from renalct.commands.predict import PredictOptions, predict
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.label_seg import LabelOrigin, label_segmentation
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series
from renalct.formats.dicom.web import DicomWeb, WebSettings
from renalct.imaging.resample import Interpolation, resample
from renalct.synthetic.phantom import demo_settings, make_phantom
from renalct.synthetic.study import write_phantom_study
from viewer.looking import View, look

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SIZE, COLORS = (900, 600), 200


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        phantom = make_phantom(demo_settings(), seed=1)
        (folder / "study").mkdir()
        files = write_phantom_study(phantom, folder / "study")
        series = load_series(choose_series(scan_study(folder / "study")).chosen)
        grid, made = series.volume.grid, phantom.label_map
        values = resample(made.values, made.grid, grid, order=Interpolation.NEAREST)
        origin = LabelOrigin("anna", 1, datetime(2026, 1, 2))
        label_segmentation(series, LabelMap(values, grid), origin).save_as(folder / "label.dcm")
        report = predict(
            folder / "study", folder / "result", options=PredictOptions(), progress=lambda stage, done: None
        )
        slices = (values == Structure.TUMOR).sum(axis=(0, 1)) + (values == Structure.CYST).sum(axis=(0, 1))
        i, j, _ = (int(np.median(places)) for places in np.nonzero(values == Structure.TUMOR))
        line = max(report.findings.masses, key=lambda mass: mass.volume_ml).longest_axial
        views = {
            "ohif_label.png": View("renalct label v1", ((i, j, int(np.argmax(slices))),)),
            "ohif_segmentation.png": View("AI kidney and mass segm", (line.start,)),
            "ohif_measurements.png": View("AI kidney and mass meas", (line.start,)),
        }
        with running_orthanc(folder / "orthanc") as orthanc:
            images = [file for file in files if file.suffix == ".dcm"]
            results = sorted((folder / "result").glob("*.dcm"))
            DicomWeb(WebSettings(orthanc.url)).store([*images, folder / "label.dcm", *results])
            answers = look(orthanc.url, series.volume, list(views.values()), folder)
        PICTURES.mkdir(exist_ok=True)
        for name, (_, (seen,)) in zip(views, answers, strict=True):
            small(Image.open(seen.picture)).save(PICTURES / name, optimize=True)


def small(picture: Image.Image) -> Image.Image:
    """The picture at three quarters of its size, in few colors."""
    shrunk = picture.convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
    return shrunk.quantize(COLORS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


if __name__ == "__main__":
    main()
