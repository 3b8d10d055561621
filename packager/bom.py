"""The bill of materials of the image, in CycloneDX 1.6: renalct, its Python packages, its models, Debian's packages."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from renalct import __version__

from packager.lockfile import Locked, read_lock

NAME = "sbom.cdx.json"
CARD = "release.json"
DEBIAN = "debian-12"
_NAMESPACE = uuid.UUID("6f5c9c5e-55f0-4e9c-8d0e-8a3a0a0f7d11")


@dataclass(frozen=True)
class DebianPackage:
    """An installed package of Debian."""

    name: str
    version: str
    architecture: str


def bill_of_materials(
    lock: Path, *, models: Path | None = None, wheels: Path | None = None, dpkg_status: Path | None = None
) -> str:
    """The bill as JSON text: the packages of the lock, the releases below `models`, what `dpkg_status` has installed.

    A package whose file is in the folder `wheels` has that file's sha256; without them the hashes stand in the lock
    alone. The same materials give the same text, serial number included, so it holds no date.
    """
    root = _renalct()
    digests = {_sha256(path) for path in wheels.iterdir()} if wheels else set()
    parts = [_python(locked, digests) for locked in read_lock(lock)]
    parts += [_model(card) for card in sorted(models.rglob(CARD))] if models else []
    parts += [_debian(package) for package in installed_packages(dpkg_status)] if dpkg_status else []
    bom = Bom(metadata=BomMetaData(component=root), components=parts)
    bom.metadata.timestamp = None  # type: ignore[assignment]  # it says when the file was written, which changes nothing
    bom.register_dependency(root, parts)
    bom.serial_number = _NAMESPACE
    unnumbered = _json(bom)
    bom.serial_number = uuid.uuid5(_NAMESPACE, unnumbered)
    return _json(bom)


def installed_packages(status: Path) -> Iterator[DebianPackage]:
    """What a status file of dpkg lists as installed, in its order."""
    for paragraph in status.read_text(encoding="utf-8").split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture|Status): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            yield DebianPackage(fields["Package"], fields["Version"], fields["Architecture"])


def _json(bom: Bom) -> str:
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _renalct() -> Component:
    return Component(
        name="renalct",
        version=__version__,
        type=ComponentType.APPLICATION,
        bom_ref="renalct",
        licenses=[LicenseExpression("Apache-2.0")],
    )


def _python(locked: Locked, digests: Set[str]) -> Component:
    """A Python package, with the sha256 of its file where that is among `digests`."""
    purl = PackageURL("pypi", name=locked.name, version=locked.version)
    found = [digest for digest in locked.sha256 if digest in digests]
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in found]
    return Component(name=locked.name, version=locked.version, purl=purl, bom_ref=purl.to_string(), hashes=hashes)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model(card: Path) -> Component:
    """A release as a machine-learning model, with the digest of each weight file that its card names.

    The card is read as the JSON that it is: `renalct.models.release`, which knows all of it, imports torch.
    """
    entry = json.loads(card.read_text(encoding="utf-8"))
    reference = f"model:{card.parent.name}"
    files = [
        Component(
            name=file["name"],
            type=ComponentType.FILE,
            bom_ref=f"{reference}/{file['name']}",
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file["sha256"])],
        )
        for file in entry["files"]
    ]
    return Component(
        name=entry["card"]["name"],
        version=entry["card"]["version"],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=reference,
        description=entry["card"]["trained_on"],
        components=files,
    )


def _debian(package: DebianPackage) -> Component:
    purl = PackageURL("deb", "debian", package.name, package.version, {"arch": package.architecture, "distro": DEBIAN})
    return Component(name=package.name, version=package.version, purl=purl, bom_ref=purl.to_string())
