"""Memory of a retraining from a label store with many cases.

    python benchmarks/bench_retraining_memory.py [--cases 1000] [--steps 20] [--folder FOLDER]

Makes a label store in which so many patients have a label (the images are eight made CTs, each registered again and
again under other names: every case is read, prepared and sampled on its own), and retrains the starter on it with a
warm start, frozen validation set, gate and all. Prints the seconds, the size of the prepared cases on disk, the peak of
the whole resident memory, and of that part which is the process's own (the rest are pages of mapped files, which the
system takes back when it needs them). Mark: under 8 GB with 1,000 cases.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from renalct.formats.nifti import write_label_map, write_volume
from renalct.learning.image_source import InFolder
from renalct.learning.loop.frozen import FreezeSettings
from renalct.learning.loop.loop_status import LoopState, LoopStatus
from renalct.learning.loop.registry import Registry
from renalct.learning.loop.retrain import Loop, retrain
from renalct.learning.loop.run_inputs import RetrainSettings
from renalct.learning.store import CaseState, LabelStore, StoredImage, VersionNote
from renalct.synthetic.phantom import make_phantom, random_settings

MARK_GB = 8.0
IMAGES = 8
SPACING_MM = (3.0, 3.0, 5.0)


def main() -> int:
    """Run the benchmark; the exit code is 0 when the mark is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000, help="labelled patients (1000)")
    parser.add_argument("--steps", type=int, default=20, help="steps of each network (20)")
    parser.add_argument("--folder", type=Path, help="where to write (a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        store = make_store(folder, arguments.cases)
        own, disk = Peak(), [0.0]

        def tell(status: LoopStatus) -> None:
            if status.state is LoopState.TRAINING and not disk[0]:
                prepared = (folder / "registry").rglob("*.npy")
                disk[0] = sum(path.stat().st_size for path in prepared) / 1e9

        began = time.monotonic()
        freezing = FreezeSettings(share=0.002, least_patients=3)
        settings = RetrainSettings(steps=arguments.steps)
        loop = Loop(store, Registry(folder / "registry"), InFolder(folder), settings, freezing=freezing)
        with own:
            found = retrain(loop, tell=tell)
        assert found is not None
        seconds = time.monotonic() - began
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{arguments.cases} cases, {arguments.steps} steps per network: {seconds:.0f} s")
    print(f"prepared cases on disk: {disk[0]:.1f} GB")
    print(f"peak resident memory: {whole:.2f} GB, of which the process's own: {own.gigabytes:.2f} GB")
    return 0 if whole < MARK_GB else 1


def make_store(folder: Path, cases: int) -> LabelStore:
    """A store of so many patients, each with a label that was approved."""
    store, contents = LabelStore(folder / "store"), []
    for seed in range(IMAGES):
        usual = random_settings(np.random.default_rng((seed, 1)))
        phantom = make_phantom(replace(usual, spacing_mm=SPACING_MM, slice_thickness_mm=None), seed=seed)
        write_volume(phantom.volumes[0], folder / f"{seed}.nii")
        write_label_map(phantom.label_map, folder / "label.nii.gz")
        contents.append((folder / "label.nii.gz").read_bytes())
    names = [f"case {number:04d}" for number in range(cases)]
    store.register(StoredImage(name, f"{number % IMAGES}.nii", patient=name) for number, name in enumerate(names))
    for number, name in enumerate(names):
        store.commit(name, contents[number % IMAGES], suffix=".nii.gz", note=VersionNote("benchmark"))
        store.set_state(name, CaseState.APPROVED, by="benchmark")
    return store


class Peak:
    """The peak of the memory that is the process's own, looked at twice a second."""

    def __init__(self) -> None:
        self.gigabytes = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            own = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.gigabytes = max(self.gigabytes, own / 1e6)


if __name__ == "__main__":
    sys.exit(main())
