"""Makes `clicks.png`, the picture of docs/annotator.md, from a phantom: python docs/pictures/make_clicks.py"""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.learning.interaction import Click, with_clicks
from renalct.synthetic.phantom import demo_settings, make_phantom
from scipy import ndimage

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLORS = {
    Structure.KIDNEY: "#b96653",
    Structure.TUMOR: "#90ee90",
    Structure.CYST: "#cdcd64",
    Structure.ANGIOMYOLIPOMA: "#6fb8d2",
}


def main() -> None:
    phantom = make_phantom(replace(demo_settings(), spacing_mm=(1.5, 1.5, 3.0)), seed=1)
    volume, truth = phantom.volumes[0], phantom.label_map
    mass = max((m for m in phantom.masses if m.mass_class.value == "cystic"), key=lambda m: m.mask.count)
    where = np.zeros(truth.grid.shape, bool)
    where[mass.mask.box.slices] = mass.mask.voxels
    values = np.where(where, np.uint8(Structure.KIDNEY), truth.values)
    depth = ndimage.distance_transform_edt(where[mass.mask.box.slices], truth.grid.spacing_mm)
    inner = np.unravel_index(depth.argmax(), depth.shape)
    voxel = tuple(int(a + b) for a, b in zip(inner, mass.mask.box.start, strict=True))
    before = LabelMap(values, truth.grid)
    after = with_clicks(volume, before, [Click(Structure.CYST, voxel)])
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), dpi=90)
    titles = ("the model's answer: a cyst is missed", "one click on it, as cyst", "what comes back")
    pictures = zip((before, before, after), titles, strict=True)
    for axis, (labels, title) in zip(axes, pictures, strict=False):
        _draw(axis, volume.hu, labels.values, voxel)
        axis.set_title(title, fontsize=9)
    axes[1].plot(voxel[0], voxel[1], "o", color="white", markeredgecolor="black", markersize=7)
    figure.tight_layout()
    figure.savefig(Path(__file__).with_name("clicks.png"))


def _draw(axis, hu: np.ndarray, labels: np.ndarray, voxel: tuple[int, ...]) -> None:
    i, j, k = voxel
    axis.imshow(hu[:, :, k].T, cmap="gray", vmin=-160, vmax=240)
    for structure, color in COLORS.items():
        if (labels[:, :, k] == structure).any():
            axis.contour((labels[:, :, k] == structure).T, [0.5], colors=color, linewidths=1.5)
    axis.set_xlim(i - 40, i + 40)
    axis.set_ylim(j + 35, j - 35)
    axis.axis("off")


if __name__ == "__main__":
    main()
