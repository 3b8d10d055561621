"""The image, built from a kept context: with docker where a daemon answers, else with buildah on a bare Debian."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from renalct.core.errors import InputError, OutputError

from packager.containerfile import PROGRAMS, WHEELS, portable

DOCKERFILE = "Dockerfile"
PORTABLE = "Dockerfile.cpu"
DEBIAN_RELEASE = "bookworm"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
DOCKER_BASE = "debian:12-slim"
BUILDAH_BASE = "localhost/renalct-base:12"
USER_ID = 1000
_INSTALL = "apt-get install buildah debootstrap bubblewrap"
_PYTHON = (3, 11)  # Debian 12's
_told = logging.getLogger(__name__)


class Builder(Enum):
    """What builds and runs the image."""

    DOCKER = "docker"
    BUILDAH = "buildah"

    @property
    def base(self) -> str:
        """The image that it builds on."""
        return DOCKER_BASE if self is Builder.DOCKER else BUILDAH_BASE


@dataclass(frozen=True)
class Workshop:
    """The folder that everything is made in: the context, the wheels, and the base's root file system."""

    folder: Path

    @property
    def context(self) -> Path:
        """What is handed to the builder."""
        return self.folder / "context"

    @property
    def wheels(self) -> Path:
        """The Python packages of the image, each with a hash of the lock."""
        return self.folder / WHEELS

    @property
    def base(self) -> Path:
        """Debian 12, for buildah."""
        return self.folder / "base"

    @property
    def dpkg_status(self) -> Path:
        """Debian's list of what is installed in the base."""
        return self.base / "var" / "lib" / "dpkg" / "status"


def find_builder() -> Builder:
    """What can build here. Raises `InputError` with the command that installs buildah where nothing can."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0:
        return Builder.DOCKER
    missing = [name for name in ("buildah", "debootstrap", "bwrap") if shutil.which(name) is None]
    if missing:
        raise InputError(f"no docker daemon answers, and {', '.join(missing)} is missing: {_INSTALL}")
    if os.geteuid() != 0:
        raise InputError("no docker daemon answers, and debootstrap needs root: run this as root, or start docker")
    return Builder.BUILDAH


def fetch_wheels(lock: Path, folder: Path) -> None:
    """Fill a folder with the wheels of the lock, each checked against it; pip's own configuration is used."""
    if sys.version_info[:2] != _PYTHON:
        raise InputError(f"the wheels for Debian 12 are fetched by Python 3.11, and this is {sys.version.split()[0]}")
    folder.mkdir(parents=True, exist_ok=True)
    words = ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--retries", "1", "--quiet"]
    run(sys.executable, "-m", "pip", "download", *words, "-r", str(lock), "-d", str(folder), quiet=True)


def make_base(shop: Workshop) -> None:
    """Make Debian 12 with the programs that the image needs, and give it to buildah as `BUILDAH_BASE`."""
    if not shop.dpkg_status.is_file():
        shutil.rmtree(shop.base, ignore_errors=True)
        include = ",".join(("ca-certificates", *PROGRAMS))
        variant = ("--variant=minbase", f"--include={include}")
        run("debootstrap", *variant, DEBIAN_RELEASE, str(shop.base), DEBIAN_MIRROR, quiet=True)
        for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(shop.base / leftover)
            (shop.base / leftover / "partial").mkdir(parents=True)
    container = run("buildah", "from", "scratch", quiet=True).strip()
    try:
        run("buildah", "add", "--quiet", container, str(shop.base), "/", quiet=True)
        run(
            "buildah", "config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container
        )
        run("buildah", "commit", "--quiet", container, BUILDAH_BASE, quiet=True)
    finally:
        run("buildah", "rm", container, quiet=True)


def write_portable(context: Path, *, base: str) -> None:
    """Write `Dockerfile.cpu` beside the packager's own `Dockerfile`."""
    text = portable((context / DOCKERFILE).read_text(encoding="utf-8"), base=base)
    (context / PORTABLE).write_text(text, encoding="utf-8")


def build_image(shop: Workshop, *, tag: str, builder: Builder) -> None:
    """Build `Dockerfile.cpu` of the kept context into an image."""
    into = shop.context / WHEELS
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(shop.wheels, into, copy_function=os.link)
    file = str(shop.context / PORTABLE)
    words = ["--build-arg", f"UID={USER_ID}", "--build-arg", f"GID={USER_ID}", "--build-arg", "UNAME=holoscan"]
    words += ["-t", tag, "-f", file, str(shop.context)]
    if builder is Builder.DOCKER:
        run("docker", "build", *words)
    else:
        run("buildah", "bud", "--isolation", "chroot", *words)


def image_size_bytes(tag: str, *, builder: Builder) -> int:
    """The size of an image, unpacked."""
    if builder is Builder.DOCKER:
        return int(run("docker", "image", "inspect", "--format", "{{.Size}}", tag, quiet=True))
    answer = run("buildah", "images", "--format", "{{.Size}}", tag, quiet=True).split()
    return int(float(answer[0]) * {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}[answer[1].upper()])


def run(*words: str, quiet: bool = False) -> str:
    """What a program printed. Raises `OutputError` with its last words when it fails."""
    _told.info("%s", " ".join(words))
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout or "").strip()[-2000:]
        raise OutputError(f"{words[0]} {words[1]} ended with the exit code {done.returncode}: {said}")
    return done.stdout
