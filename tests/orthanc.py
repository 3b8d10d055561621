"""A real PACS for tests: Debian's Orthanc with its DICOMweb plug-in, on loopback, with an empty store of its own."""

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest


def _services() -> ModuleType:
    path = Path(__file__).parents[1] / "labelapp" / "demo" / "services.py"
    spec = importlib.util.spec_from_file_location("label_demo_services", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


services = _services()
"""The programs of the label demonstration: how Orthanc and the label server are started is written there, once."""


class Orthanc:
    """An Orthanc in `folder` on its own ports: started, stopped and started again with what it holds.

    With `user` (name, password) it wants HTTP basic authentication. `url` is the address of its DICOMweb services.
    """

    def __init__(self, folder: Path, *, user: tuple[str, str] | None = None) -> None:
        self.user = user
        self.port, self.dicom_port = services.free_port(), services.free_port()
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"
        self._service = services.orthanc(
            folder, port=self.port, dicom_port=self.dicom_port, program=services.orthanc_program(), user=user
        )

    @property
    def is_running(self) -> bool:
        return self._service.process is not None

    @property
    def rest(self) -> httpx.Client:
        """A client of Orthanc's own interface, which tells what it really holds."""
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", auth=self.user, timeout=30, trust_env=False)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._service.start()

    def stop(self) -> None:
        """Stop it; what it holds stays in the folder."""
        self._service.stop()

    def upload(self, files: Iterable[Path]) -> None:
        """Put files into it by its own interface, not by DICOMweb."""
        with self.rest as client:
            for file in files:
                client.post("/instances", content=file.read_bytes()).raise_for_status()

    def series(self, modality: str = "") -> list[dict]:
        """What it holds, by its own interface: every series, or those of a modality."""
        with self.rest as client:
            found = client.get("/series", params={"expand": ""}).json()
        return [entry for entry in found if modality in ("", entry["MainDicomTags"]["Modality"])]

    def files(self, modality: str) -> list[bytes]:
        """The stored objects of a modality, in no order."""
        with self.rest as client:
            identifiers = [instance for entry in self.series(modality) for instance in entry["Instances"]]
            return [client.get(f"/instances/{identifier}/file").content for identifier in identifiers]

    def clear(self) -> None:
        """Remove all that it holds."""
        with self.rest as client:
            for series in self.series():
                client.delete(f"/series/{series['ID']}").raise_for_status()


@contextmanager
def running_orthanc(folder: Path, *, user: tuple[str, str] | None = None) -> Iterator[Orthanc]:
    """An Orthanc that runs; the test is skipped where it is not installed."""
    skip_without_orthanc()
    orthanc = Orthanc(folder, user=user)
    orthanc.start()
    try:
        yield orthanc
    finally:
        orthanc.stop()


def skip_without_orthanc() -> None:
    """Skip the test, with the command that installs it, where Orthanc or its DICOMweb plug-in is missing."""
    if services.orthanc_program() is None:
        pytest.skip(f"Orthanc with DICOMweb is missing: {services.ORTHANC_INSTALL}")
