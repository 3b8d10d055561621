"""A study of an archive as a reader sees it in OHIF, at points of the patient."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from renalct.core.volume import CTVolume
from viewer.ohif_server import HERE, PAGES, ohif

INSTALL = {
    "chromium": "apt-get install chromium",
    "node": "apt-get install nodejs npm",
    "packages": "make viewer-tools",
}
_ANSWERS_WITHIN_S = 1200
_STRONG = 15
_TO_LPS = np.array([-1.0, -1.0, 1.0])

Index = tuple[float, float, float]
"""A voxel index (i, j, k) of the volume."""


@dataclass(frozen=True)
class View:
    """What to look at: a series, by how its description begins, at voxels of the volume, one picture for each.

    `also` are further voxels whose places are wanted on the pictures.
    """

    series: str
    points: tuple[Index, ...]
    also: tuple[Index, ...] = ()


@dataclass(frozen=True)
class Seen:
    """A picture of the slice of a point, and the places (x, y) of the point and of the view's further voxels on it."""

    picture: Path
    place: tuple[float, float]
    also: tuple[tuple[float, float], ...]

    def pixels(self) -> np.ndarray:
        """Red, green and blue, indexed (y, x)."""
        return np.asarray(Image.open(self.picture).convert("RGB"))

    def color(self) -> np.ndarray:
        """Red, green and blue where the point lies: the median of a small square."""
        x, y = (round(value) for value in self.place)
        return np.median(self.pixels()[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3), axis=0)


def missing() -> str | None:
    """The command that installs what is missing; None when a page can be shown."""
    for name in ("chromium", "node"):
        if shutil.which(name) is None:
            return INSTALL[name]
    return None if (HERE / "node_modules" / "puppeteer-core").is_dir() and PAGES.is_dir() else INSTALL["packages"]


def look(archive: str, volume: CTVolume, views: Sequence[View], folder: Path) -> list[tuple[list[str], list[Seen]]]:
    """For each view the names of the segments or measurements that are drawn, and what is seen at each point.

    Pictures are written into the folder.
    """

    def patient(indices: Sequence[Index]) -> list[list[float]]:
        return [(volume.grid.to_patient(index) * _TO_LPS).tolist() for index in indices]

    with ohif(archive) as address:
        asked = {
            "browser": shutil.which("chromium"),
            "address": address,
            "study": volume.source.study_instance_uid,
            "views": [{"series": v.series, "points": patient(v.points), "also": patient(v.also)} for v in views],
            "folder": str(folder),
        }
        node = subprocess.run(
            ["node", "show.mjs", json.dumps(asked)],
            cwd=HERE, capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=False,
        )  # fmt: skip
    assert node.returncode == 0, node.stderr[-3000:]
    answers = json.loads(node.stdout.splitlines()[-1])
    return [
        (
            answer["names"],
            [Seen(Path(s["picture"]), (s["x"], s["y"]), tuple(map(tuple, s["also"]))) for s in answer["seen"]],
        )
        for answer in answers
    ]


def is_tinted(color, tint) -> bool:
    """Whether a gray pixel has a layer of this color on it: what is above gray goes the tint's way."""
    colorful, wanted = (np.asarray(c, float) - np.mean(c) for c in (color, tint))
    strength = np.linalg.norm(colorful)
    return bool(strength > _STRONG and colorful @ wanted / strength / np.linalg.norm(wanted) > 0.9)


def is_gray(color) -> bool:
    """Whether a pixel has no layer of any color."""
    return bool(np.ptp(color) < 10)
