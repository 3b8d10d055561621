"""The stock packager, `monai-deploy package`, run up to the build: the context that it would hand to docker is kept."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from renalct import __version__
from renalct.core.errors import InputError

ROOT = Path(__file__).parents[1]
APPLICATION = ROOT / "deploy"
CONFIG = ROOT / "app.yaml"
MODELS = ROOT / "apps" / "renalct" / "releases"
ARTIFACTS = Path(__file__).with_name("artifacts.json")
TAG = f"renalct:{__version__}"
NEVER_PACKED = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache")


@dataclass(frozen=True)
class Package:
    """What is packaged: the models (a folder of release folders) and the image's name."""

    models: Path = MODELS
    tag: str = TAG

    def command(self) -> list[str]:
        """The words of the stock command, as a hospital types them."""
        return [
            *("monai-deploy", "package", str(APPLICATION), "-c", str(CONFIG), "-m", str(self.models)),
            *("-t", self.tag, "--platform", "x86_64", "--source", str(ARTIFACTS)),
        ]


def keep_context(package: Package, folder: Path) -> None:
    """Fill `folder`, replacing it, with the build context of the stock packager: Dockerfile, manifests, all files.

    Neither docker nor a network is needed. Raises `InputError` when the packager refuses; it has said why.
    """
    with _kept_instead_of_built(folder):
        from holoscan_cli.__main__ import main  # imports docker's client

        words = [*package.command(), "--build-cache", str(folder.with_name("cache"))]
        with mock.patch.object(sys, "argv", words):
            try:
                main()
            except SystemExit as end:
                if end.code:
                    raise InputError(
                        "the packager made no build context; its own message above says what it refused"
                    ) from end
    for place, _, _ in os.walk(folder):
        if Path(place).name in NEVER_PACKED:  # the packager copies them, and docker leaves them out by .dockerignore
            shutil.rmtree(place)


@contextmanager
def _kept_instead_of_built(folder: Path) -> Iterator[None]:
    """Within the block the packager copies what it would have built."""
    from holoscan_cli.packager.container_builder import BuilderBase
    from holoscan_cli.packager.parameters import PlatformBuildResults

    def keep(builder: Any, dockerfile: str, platform: Any) -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(dockerfile).parent, folder)
        result = PlatformBuildResults(platform)
        result.succeeded = True
        result.docker_tag = f"{platform.tag} (not built; its context is in {folder})"
        return result

    with mock.patch.object(BuilderBase, "_build_internal", keep):
        yield


def context_files(folder: Path, *, below: Sequence[str] = ()) -> list[Path]:
    """The files of a context, or of some of its folders, sorted."""
    places = [folder / name for name in below] or [folder]
    return sorted(path for place in places for path in place.rglob("*") if path.is_file())
