"""A study of an archive as a reader sees it in OHIF, at points of the patient."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from renalct.core.volume import CTVolume
from viewer.ohif_server import HERE, PAGES, ohif

INSTALL = {
    "chromium": "apt-get install chromium",
    "node": "apt-get install nodejs npm",
    "packages": "make viewer-tools",
}
_ANSWERS_WITHIN_S = 500


def missing() -> str | None:
    """The command that installs what is missing; None when a page can be shown."""
    for name in ("chromium", "node"):
        if shutil.which(name) is None:
            return INSTALL[name]
    return None if (HERE / "node_modules" / "puppeteer-core").is_dir() and PAGES.is_dir() else INSTALL["packages"]


def look(archive: str, volume: CTVolume, segmentation: str, indices: Sequence[tuple[int, int, int]], folder: Path):
    """Names of the segments, and for each voxel index of the volume the picture of its slice and its place on it.

    `segmentation` is how the description of its series begins. Pictures are written into the folder.
    """
    to_lps = np.array([-1.0, -1.0, 1.0])
    with ohif(archive) as address:
        asked = {
            "browser": shutil.which("chromium"),
            "address": address,
            "study": volume.source.study_instance_uid,
            "segmentation": segmentation,
            "points": [(volume.grid.to_patient(index) * to_lps).tolist() for index in indices],
            "folder": str(folder),
        }
        node = subprocess.run(
            ["node", "show_seg.mjs", json.dumps(asked)],
            cwd=HERE, capture_output=True, text=True, timeout=_ANSWERS_WITHIN_S, check=False,
        )  # fmt: skip
    assert node.returncode == 0, node.stderr[-3000:]
    answer = json.loads(node.stdout.splitlines()[-1])
    return answer["names"], answer["seen"]
