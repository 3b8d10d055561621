"""How long the application package takes from the start of its process to a network's first output, and to its end.

    python benchmarks/bench_cold_start.py [--image renalct:0.1.0] [--application deploy] [--repeat 5]

Without an image the application runs in this environment, whose many more packages MONAI finds and loads; with one, in
the image, as docs/map.md runs it. Prints wall and processor seconds, the least of several runs, at: modules imported
(the graph is built), first output of a network, end of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
MARKS = ("graph", "first output", "end")
PROBE = """
import atexit, json, os, runpy, sys, time
APPLICATION, MARKS = sys.argv[1], sys.argv[2]
sys.argv = [APPLICATION, *sys.argv[3:]]
sys.path.insert(0, APPLICATION)
ticks = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19])
began = ticks / os.sysconf("SC_CLK_TCK")
seen = {}
def mark(name):
    seen.setdefault(name, (time.clock_gettime(time.CLOCK_BOOTTIME) - began, time.process_time()))
def write():
    mark("end")
    with open(MARKS, "w") as file:
        json.dump(seen, file)
atexit.register(write)
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "renalct.models.inference":
            import torch
            def output(module, inputs, result):
                if type(module).__module__.startswith("monai.networks.nets"):
                    mark("first output")
            torch.nn.modules.module.register_module_forward_hook(output)
sys.meta_path.insert(0, Watch())
import threading
def graph():
    while "graph" not in seen and "end" not in seen:
        if "monai.deploy.core" in sys.modules and getattr(sys.modules.get("app"), "RenalctApplication", None):
            mark("graph")
        time.sleep(0.005)
threading.Thread(target=graph, daemon=True).start()
runpy.run_path(APPLICATION, run_name="__main__")
"""


def main() -> int:
    """Print the table; the exit code is that of the last run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", help="an image of `python -m packager image`")
    parser.add_argument("--application", type=Path, help="another folder in place of the image's application")
    parser.add_argument("--repeat", type=int, default=5, help="runs (5)")
    parser.add_argument("--threads", type=int, default=1, help="threads for arithmetic (1)")
    arguments = parser.parse_args()
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        study = make_study(Path(folder) / "study")
        os.chmod(folder, 0o755)
        for number in range(arguments.repeat):
            output = Path(folder) / f"out{number}"
            output.mkdir()
            runs.append(
                run_in_image(study, output, arguments) if arguments.image else run_here(study, output, arguments)
            )
    print(f"{'':14}{'wall s':>8}{'processor s':>14}")
    for name in MARKS:
        found = [run[name] for run in runs if name in run]
        print(f"{name:14}{min(wall for wall, _ in found):8.2f}{min(cpu for _, cpu in found):14.2f}")
    return 0


def make_study(folder: Path) -> Path:
    """The small made study that the tests of the hosts use."""
    from renalct.synthetic.phantom import demo_settings, make_phantom
    from renalct.synthetic.study import write_phantom_study

    folder.mkdir()
    write_phantom_study(make_phantom(replace(demo_settings(), spacing_mm=(3.0, 3.0, 5.0)), seed=1), folder)
    return folder


def run_here(study: Path, output: Path, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """The marks of a run in this environment."""
    marks = output.with_suffix(".json")
    application = arguments.application or ROOT / "deploy"
    words = ["-i", str(study), "-o", str(output), "-m", str(ROOT / "apps" / "renalct" / "releases")]
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    command = [sys.executable, "-c", PROBE, str(application), str(marks), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return _read(marks, done)


def run_in_image(study: Path, output: Path, arguments: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """The marks of a run in the image."""
    sys.path.insert(0, str(ROOT))
    from packager.building import find_builder
    from packager.running import Launch, run_image

    marks = "/var/holoscan/output/marks.json"
    command = ("env", f"OMP_NUM_THREADS={arguments.threads}", "LOGNAME=renalct", "python3", "-c", PROBE)
    launch = Launch(study, output, command=(*command, "/opt/holoscan/app", marks), application=arguments.application)
    done = run_image(arguments.image, launch, builder=find_builder(), timeout_s=900)
    return _read(output / "marks.json", done)


def _read(marks: Path, done: subprocess.CompletedProcess[str]) -> dict[str, tuple[float, float]]:
    if done.returncode or not marks.is_file():
        raise SystemExit(f"the application ended with {done.returncode}: {done.stderr[-2000:]}")
    return {name: tuple(values) for name, values in json.loads(marks.read_text()).items()}


if __name__ == "__main__":
    sys.exit(main())
