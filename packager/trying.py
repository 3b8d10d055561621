"""The image on a made study, as an acceptance test: what it must do, and what it must not be able to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from renalct.models.release import CARD
from renalct.synthetic.phantom import demo_settings, make_phantom
from renalct.synthetic.study import write_phantom_study

from packager.building import Builder
from packager.running import Launch, run_image
from packager.stock import MODELS

MANIFESTS = ("app", "pkg")
_SPACING_MM = (3.0, 3.0, 5.0)
_LONGEST_S = 900.0
_SHUT = ("/", "/opt/holoscan/app", "/opt/holoscan/models", "/var/holoscan", "/var/holoscan/input", "/etc", "/usr/lib")
_INSIDE = """
import json, os, socket, sys
def fails(action):
    try:
        action()
    except OSError as error:
        return error.strerror or str(error)
    return ''
status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())
capabilities = [int(status[name], 16) for name in ('CapEff', 'CapPrm', 'CapBnd', 'CapInh', 'CapAmb')]
told = {'user': os.getuid(), 'capabilities': max(capabilities)}
told['new_privileges'] = int(status['NoNewPrivs']) == 0
told['interfaces'] = [name for _, name in socket.if_nameindex() if name != 'lo']
told['connect'] = fails(lambda: socket.create_connection(('192.0.2.1', 80), 2))
for place in sys.argv[1:]:
    told['write ' + place] = fails(lambda: open(place + '/probe', 'w').close())
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Line:
    """One thing that was tried."""

    words: str
    holds: bool


def try_image(tag: str, folder: Path, *, builder: Builder, user: int) -> Iterator[Line]:
    """What was tried of an image, one line after the other; `folder` keeps the made study and the results."""
    shutil.rmtree(folder, ignore_errors=True)
    (study := folder / "study").mkdir(parents=True)
    write_phantom_study(make_phantom(replace(demo_settings(), spacing_mm=_SPACING_MM), seed=1), study)
    launch = Launch(study, folder / "results", user=user)

    def go(change: Launch) -> subprocess.CompletedProcess[str]:
        return run_image(tag, change, builder=builder, timeout_s=_LONGEST_S)

    yield from _surroundings(
        go(replace(launch, command=("python3", "-c", _INSIDE, *_SHUT), output=folder / "nothing")), user
    )
    for name in MANIFESTS:
        shown = go(replace(launch, command=("/var/holoscan/tools", "show", name), output=folder / "nothing"))
        yield Line(f"tools show {name} prints {name}.json", shown.returncode == 0 and '"apiVersion"' in shown.stdout)
    yield Line("none of these wrote anything", not list((folder / "nothing").iterdir()))
    began = time.monotonic()
    ended = go(launch)
    seconds = time.monotonic() - began
    (folder / "log.txt").write_text(ended.stdout + ended.stderr, encoding="utf-8")
    names = sorted(path.name for path in launch.output.iterdir())
    yield Line(f"the study ended with exit code {ended.returncode} after {seconds:.1f} s", ended.returncode == 0)
    yield Line(f"its results are {', '.join(names)}", {"seg.dcm", "sr.dcm", "report.json"} <= set(names))
    damaged = replace(launch, models=_damaged(folder / "damaged"), output=folder / "refused")
    ended = go(damaged)
    yield Line(f"with a changed weight file it ended with exit code {ended.returncode}", ended.returncode == 3)
    yield Line("and said sha256", "sha256" in ended.stderr)
    yield Line("and wrote no result", not list((folder / "refused").glob("*.dcm")))


def _surroundings(ended: subprocess.CompletedProcess[str], user: int) -> Iterator[Line]:
    """What a process in the container finds out about itself and what it may."""
    if ended.returncode:
        yield Line(f"a probe in the container ended with: {ended.stderr.strip()[-300:]}", False)
        return
    told = json.loads(ended.stdout)
    yield Line(f"the user is {told['user']}, whom the image does not know", told["user"] == user)
    yield Line(f"capabilities: {told['capabilities']}", told["capabilities"] == 0)
    yield Line("it cannot gain privileges", not told["new_privileges"])
    yield Line(f"network interfaces but loopback: {told['interfaces'] or 'none'}", not told["interfaces"])
    yield Line(f"a connection outwards: {told['connect'] or 'was made'}", bool(told["connect"]))
    for key, answer in told.items():
        if key.startswith("write "):
            yield Line(f"{key}: {answer or 'was possible'}", bool(answer))


def _damaged(folder: Path) -> Path:
    """The starter release, with one byte of one weight file changed."""
    shutil.copytree(MODELS, folder)
    card = next(folder.rglob(CARD))
    path = next(iter(sorted(card.parent.glob("*.safetensors"))))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    return folder
