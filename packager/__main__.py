"""Make and try the MONAI application package: ``python -m packager COMMAND``, from the root of the repository.

context  keep what the stock packager would build, without docker, and a Dockerfile for a CPU image beside it
image    fetch the locked packages, and build that image with docker, or with buildah where no docker daemon answers
try      run the image on a made study, with a read-only root, no network, another user and no capability
lock     lock the packages of the image again, after a change of deploy/requirements.in
bill     write the bill of materials that is committed beside the lock
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from renalct.core.errors import RenalctError

from packager.bom import NAME, bill_of_materials
from packager.building import (
    DOCKER_BASE,
    Builder,
    Workshop,
    build_image,
    fetch_wheels,
    find_builder,
    image_size_bytes,
    make_base,
    write_portable,
)
from packager.lockfile import write_lock
from packager.stock import APPLICATION, MODELS, ROOT, TAG, Package, keep_context

LOCK, SOURCE, BILL = APPLICATION / "requirements.txt", APPLICATION / "requirements.in", APPLICATION / NAME
_told = logging.getLogger("packager")


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stdout)
    options = _options().parse_args(words)
    try:
        return int(_COMMANDS[options.command](options) or 0)
    except RenalctError as error:
        _told.error("%s", error)
        return error.exit_code


def _context(options: argparse.Namespace) -> None:
    shop = Workshop(options.folder)
    keep_context(Package(options.models, options.tag), shop.context)
    write_portable(shop.context, base=DOCKER_BASE)
    _write_bill(shop)
    _told.info("the build context is in %s", shop.context)


def _image(options: argparse.Namespace) -> None:
    builder, shop = find_builder(), Workshop(options.folder)
    began = time.monotonic()
    fetch_wheels(LOCK, shop.wheels)
    if builder is Builder.BUILDAH:
        make_base(shop)
    _told.info("packages and base after %.0f s", time.monotonic() - began)
    keep_context(Package(options.models, options.tag), shop.context)
    write_portable(shop.context, base=builder.base)
    _write_bill(shop, materials=True)
    began = time.monotonic()
    build_image(shop, tag=options.tag, builder=builder)
    size_gb = image_size_bytes(options.tag, builder=builder) / 1e9
    _told.info("%s built with %s in %.0f s, %.2f GB", options.tag, builder.value, time.monotonic() - began, size_gb)


def _write_bill(shop: Workshop, *, materials: bool = False) -> None:
    """Put the bill of what is in this context beside the application; the committed one knows the packages only."""
    text = bill_of_materials(
        shop.context / "pip" / "requirements.txt",
        models=shop.context / "models",
        wheels=shop.wheels if materials else None,
        dpkg_status=shop.dpkg_status if materials and shop.dpkg_status.is_file() else None,
    )
    (shop.context / "app" / NAME).write_text(text, encoding="utf-8")


def _try(options: argparse.Namespace) -> int:
    from packager.trying import try_image  # makes a phantom; the other commands do without torch

    lines = try_image(options.tag, options.folder / "try", builder=find_builder(), user=options.user)
    for line in lines:
        _told.info("%s %s", "ok    " if line.holds else "FAILED", line.words)
    return int(not all(line.holds for line in lines))


def _lock(options: argparse.Namespace) -> None:
    write_lock(SOURCE, LOCK, torch=options.torch, wheels=options.wheels, torch_sha256=options.torch_sha256)
    _bill(options)


def _bill(options: argparse.Namespace) -> None:
    BILL.write_text(bill_of_materials(LOCK), encoding="utf-8")


_COMMANDS = {"context": _context, "image": _image, "try": _try, "lock": _lock, "bill": _bill}


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="packager", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _COMMANDS:
        command = commands.add_parser(name)
        if name in ("context", "image", "try"):
            command.add_argument("--folder", type=Path, default=ROOT / "build" / "map", help="where all of it is made")
            command.add_argument("--tag", default=TAG, help=f"name of the image ({TAG})")
        if name in ("context", "image"):
            command.add_argument("--models", type=Path, default=MODELS, help="a folder of release folders")
        if name == "try":
            command.add_argument("--user", type=int, default=4242, help="number of the user who runs it (4242)")
        if name == "lock":
            command.add_argument("--torch", default="cpu", help="build of PyTorch: cpu, cu130 (cpu)")
            command.add_argument("--wheels", type=Path, action="append", default=[], help="folder with torch's wheel")
            command.add_argument("--torch-sha256", action="append", default=[], help="digest of another wheel of torch")
    return parser


if __name__ == "__main__":
    sys.exit(main())
