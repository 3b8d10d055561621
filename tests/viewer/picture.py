"""Draws docs/pictures/ohif_label.png, a stored label in OHIF on made data: ``python tests/viewer/picture.py``."""

import sys
import tempfile
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from orthanc import running_orthanc
from PIL import Image
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
from viewer.looking import look

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "ohif_label.png"
COLORS = 48


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        phantom = make_phantom(demo_settings(), seed=1)
        files = write_phantom_study(phantom, folder)
        series = load_series(choose_series(scan_study(folder)).chosen)
        grid, made = series.volume.grid, phantom.label_map
        values = resample(made.values, made.grid, grid, order=Interpolation.NEAREST)
        origin = LabelOrigin("anna", 1, datetime(2026, 1, 2))
        label_segmentation(series, LabelMap(values, grid), origin).save_as(folder / "seg.dcm")
        slices = (values == Structure.TUMOR).sum(axis=(0, 1)) + (values == Structure.CYST).sum(axis=(0, 1))
        i, j, _ = (int(np.median(places)) for places in np.nonzero(values == Structure.TUMOR))
        with running_orthanc(folder / "orthanc") as orthanc:
            web = DicomWeb(WebSettings(orthanc.url))
            web.store([*(file for file in files if file.suffix == ".dcm"), folder / "seg.dcm"])
            point = (i, j, int(np.argmax(slices)))
            _, (seen,) = look(orthanc.url, series.volume, "renalct label v1", [point], folder)
        PICTURE.parent.mkdir(exist_ok=True)
        Image.open(seen["picture"]).convert("RGB").quantize(COLORS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
