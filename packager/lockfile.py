"""The lock of the image's Python packages: made by uv from `deploy/requirements.in`, read for the bill of materials."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from renalct.core.errors import InputError, OutputError

TORCH_INDEX = "https://download.pytorch.org/whl"
_INSTALL_UV = "pip install uv==0.13.9"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=(\w+):([0-9a-f]+)")


@dataclass(frozen=True)
class Locked:
    """A package of the lock: one version, and the sha256 of every file of it that may be installed."""

    name: str
    version: str
    sha256: tuple[str, ...]


def read_lock(path: Path) -> tuple[Locked, ...]:
    """The packages of a lock, in its order. Raises `InputError` for a line without one version or without a sha256."""
    packages = []
    for entry in _entries(path.read_text(encoding="utf-8")):
        pin = _PIN.match(entry)
        hashes = _HASH.findall(entry)
        if pin is None or not hashes or any(kind != "sha256" or len(value) != 64 for kind, value in hashes):
            raise InputError(
                f"{path.name}: {entry.split()[0]} has no single version with sha256 hashes; "
                "make the lock again with `python -m packager lock`"
            )
        packages.append(Locked(pin[1], pin[2], tuple(value for _, value in hashes)))
    return tuple(packages)


def write_lock(
    source: Path, lock: Path, *, torch: str = "cpu", wheels: Sequence[Path] = (), torch_sha256: Sequence[str] = ()
) -> None:
    """Lock what `source` names for CPython 3.11 and newer on Linux, with every file's sha256.

    `torch` is the build of PyTorch, a folder of its index: ``cpu``, or ``cu130`` for an image that computes on a GPU.
    Where `wheels` are given, torch is taken from these folders and its index is not asked; the digests of its wheels
    for other versions of Python, which are not there, can be given as `torch_sha256`. Raises `OutputError` with uv's
    own words when it finds no solution.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise InputError(f"uv, which makes the lock, is not installed: {_INSTALL_UV}")
    index = f"{TORCH_INDEX}/{torch}"
    places = [f"--find-links={folder}" for folder in wheels] or [f"--torch-backend={torch}"]
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "lock.txt"
        command = [
            *(uv, "pip", "compile", str(source), "--generate-hashes", "--no-annotate", "--no-header"),
            *("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_35", "--quiet"),
            *(*places, "--output-file", str(made)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OutputError(f"uv could not lock {source.name}: {done.stderr.strip()}")
        text = made.read_text(encoding="utf-8")
    head = f"# Made by `python -m packager lock` from {source.name}, never by hand. pip checks every hash.\n"
    pins = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("--"))
    more = "".join(f" \\\n    --hash=sha256:{digest}" for digest in torch_sha256)
    pins = re.sub(r"^(torch==.*(?:\n    --hash.*)*)", lambda found: found.group() + more, pins, flags=re.MULTILINE)
    lock.write_text(f"{head}--extra-index-url {index}\n{pins}", encoding="utf-8")


def _entries(text: str) -> list[str]:
    """The requirements of a file, each on one line, without comments and options."""
    joined = re.sub(r"\\\s*\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("-")]
