"""Latency of the label app against MONAI Label's own sample app (radiology), on the same machine in one run.

    python benchmarks/bench_labelapp.py [--cases 10000] [--repeats 30] [--output results.json]

Both servers serve a folder with the same images: one made CT and many images of four voxels (with hard links, so that
10,000 take no space). Measured are the answers to /info/, the next sample, a saved label of 4 voxels, and an inference
on the made CT: the first, and one that was answered before, and a click. The sample app is started with its strategies
on, without SAM 2 and without pretrained weights, which it would download: it has no inference to compare with.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
from renalct.formats.nifti import write_volume
from renalct.synthetic.phantom import demo_settings, make_phantom

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
AFFINE = np.diag([-1.0, -1.0, 5.0, 1.0])
CT = "made"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="images in the folder (10000)")
    parser.add_argument("--repeats", type=int, default=30, help="measurements of each kind (30)")
    parser.add_argument("--output", type=Path, help="where to write the numbers as JSON")
    arguments = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(("renalct", "sample app")):
            studies = _studies(Path(folder, f"studies{number}"), arguments.cases)
            app = ROOT / "labelapp" if name == "renalct" else _sample_app()
            print(f"measuring {name}", flush=True)
            found[name] = _measure(app, Path(folder, f"app{number}"), studies, arguments, stock=name != "renalct")
    _print(found, arguments)
    if arguments.output:
        arguments.output.write_text(json.dumps({"schema_version": 1, "cases": arguments.cases, "ms": found}, indent=1))


def _studies(folder: Path, cases: int) -> Path:
    folder.mkdir()
    phantom = make_phantom(replace(demo_settings(), spacing_mm=(3.0, 3.0, 5.0)), seed=1)
    write_volume(phantom.volumes[0], folder / f"{CT}.nii.gz")
    first = folder / "case_00000.nii.gz"
    first.write_bytes(_row(np.full(4, -100, np.int16)))
    for number in range(1, cases - 1):
        os.link(first, folder / f"case_{number:05d}.nii.gz")
    return folder


def _row(values: np.ndarray) -> bytes:
    return gzip.compress(nib.Nifti1Image(values.reshape(-1, 1, 1), AFFINE).to_bytes())


def _sample_app() -> Path:
    app = Path(sys.prefix) / "monailabel" / "sample-apps" / "radiology"
    if not app.is_dir():
        raise SystemExit("the sample app is not installed; install monailabel as requirements.txt pins it")
    return app


def _measure(app: Path, place: Path, studies: Path, arguments: argparse.Namespace, *, stock: bool) -> dict[str, float]:
    """Milliseconds: medians, but for the start and the first inference, which happen once."""
    from label_server import serving

    place.mkdir()
    conf = (
        {"models": "deepedit", "use_pretrained_model": "false", "skip_strategies": "false", "sam2": "false"}
        if stock
        else {}
    )
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "MONAI_LABEL_SESSION_PATH": str(place / "sessions"),
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
    }
    copied = shutil.copytree(app, place / "app", ignore=shutil.ignore_patterns("model", "logs", "__pycache__"))
    started = time.perf_counter()
    with serving(copied, place, studies, environment, conf) as client:
        found = {"start": 1000 * (time.perf_counter() - started)}
        found["info"] = _median(lambda _: client.get("/info/"), arguments.repeats)
        found["next sample"] = _median(
            lambda n: client.post("/activelearning/random", json={"client_id": f"reader {n}"}), arguments.repeats
        )
        found["save label"] = _median(lambda n: _save(client, n), arguments.repeats)
        found["list of all"] = _median(lambda _: client.get("/datastore/", params={"output": "all"}), 3)
        if not stock:
            found["first inference"] = _median(lambda _: _infer(client), 1)
            found["inference again"] = _median(lambda _: _infer(client), arguments.repeats)
            found["click"] = _median(lambda n: _click(client, n), arguments.repeats)
        found["info after all"] = _median(lambda _: client.get("/info/"), arguments.repeats)
    return found


def _median(ask: Callable[[int], httpx.Response], repeats: int) -> float:
    times = []
    for number in range(repeats):
        started = time.perf_counter()
        answer = ask(number)
        times.append(1000 * (time.perf_counter() - started))
        if not answer.is_success:
            raise SystemExit(f"{answer.request.url} answered {answer.status_code}: {answer.text[:300]}")
    return statistics.median(times)


def _save(client: httpx.Client, number: int) -> httpx.Response:
    params = {"label_info": [{"name": "kidney", "idx": 1}], "client_id": f"reader {number}"}
    label = ("label.nii.gz", _row(np.array([1, 1, 0, 0], np.uint8)))
    where = {"image": f"case_{number:05d}"}
    return client.put("/datastore/label", params=where, data={"params": json.dumps(params)}, files={"label": label})


def _infer(client: httpx.Client) -> httpx.Response:
    return client.post("/infer/renalct", params={"image": CT, "output": "image"}, data={"params": "{}"})


def _click(client: httpx.Client, number: int) -> httpx.Response:
    params = json.dumps({"tumor": [[20 + number, 40, 20]], "background": []})
    return client.post("/infer/renalct_edit", params={"image": CT, "output": "image"}, data={"params": params})


def _print(found: dict[str, dict[str, float]], arguments: argparse.Namespace) -> None:
    print(f"{arguments.cases} images, medians of {arguments.repeats} in ms, {os.cpu_count()} processors")
    kinds = list(dict.fromkeys(kind for times in found.values() for kind in times))
    print(f"{'':18}" + "".join(f"{name:>14}" for name in found))
    for kind in kinds:
        cells = (f"{times[kind]:14.1f}" if kind in times else f"{'-':>14}" for times in found.values())
        print(f"{kind:18}" + "".join(cells))


if __name__ == "__main__":
    main()
