"""A service whose analysis takes no time, the studies that it is sent, and what is found of them in the end.

    python tests/made_service.py FOLDER --to NODE@127.0.0.1:11113 --port 11112

serves as `renalct serve` does, but for the analysis.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from dicom_corpus import made_slices
from faulty_scp import FaultyNode
from made_analyses import ROLES, MadeLoader, ScriptedLoader
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.transport import AssociationSocket
from renalct.delivery.destinations import read_destinations
from renalct.delivery.service import Service
from renalct.delivery.service_settings import Bounds, ListenerSettings, Patience, ServiceSettings
from renalct.formats.dicom.uids import derived_uid


@contextmanager
def closed_sockets() -> Iterator[None]:
    """Within it pynetdicom closes every socket, also one that the peer has ended, which it leaves to the collector."""
    original = AssociationSocket._shutdown_socket

    def shut_and_closed(self: AssociationSocket) -> None:
        connection = self.socket
        original(self)
        if connection is not None:
            connection.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AssociationSocket, "_shutdown_socket", shut_and_closed)
        yield


def made_study(number: int, *, slices: int = 3, **attributes: object) -> list[Dataset]:
    """A study of its own UIDs."""
    study = f"1.2.826.0.1.3680043.10.{number}"
    return [with_meta(each) for each in made_slices(slices, study=study, series=f"{study}.1", **attributes)]


def with_meta(dataset: Dataset) -> Dataset:
    """The data set, so that it can be sent."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def send(port: int, datasets: Iterable[Dataset], *, called: str = "RENALCT") -> list[Dataset]:
    """The data sets that were acknowledged; the sender stops where the peer is gone."""
    sender = AE("SCANNER")
    sender.connection_timeout = sender.dimse_timeout = sender.acse_timeout = 20
    sender.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = sender.associate("127.0.0.1", port, ae_title=called)
    stored: list[Dataset] = []
    if not association.is_established:
        return stored
    try:
        for dataset in datasets:
            if not association.is_established:
                break
            if association.send_c_store(dataset).get("Status") != 0x0000:
                break
            stored.append(dataset)
    except (RuntimeError, ValueError):
        pass  # the association broke between the check and the use
    if association.is_established:
        association.release()
    return stored


def made_settings(folder: Path, *, port: int = 0, quiet_s: float = 0.3, **changes: object) -> ServiceSettings:
    """Settings for tests: loopback, a short quiet time, time to come again on a busy machine, any disk."""
    patience = Patience(quiet_s=quiet_s, quiet_open_s=60.0, quiet_broken_s=60.0)
    values: dict = {"patience": patience, "bounds": Bounds(min_free_bytes=0), "grace_s": 5.0, "poll_s": 0.05}
    return ServiceSettings(folder, ListenerSettings(port=port, host="127.0.0.1"), **values | changes)


def expected_results(study: Sequence[Dataset]) -> set[str]:
    """The UIDs of the results of a study with exactly these images."""
    images = sorted(dataset.SOPInstanceUID for dataset in study)
    return {derived_uid(role, study[0].StudyInstanceUID, *images) for role in ROLES}


def results_of(node: FaultyNode) -> dict[str, set[str]]:
    """The UIDs of the objects that a node has, by study."""
    found: dict[str, set[str]] = defaultdict(set)
    for uid, header in list(node.headers.items()):
        found[str(header.StudyInstanceUID)].add(uid)
    return found


class Process:
    """The service in a process of its own, to be killed."""

    def __init__(self, folder: Path, to: str, port: int, *options: str) -> None:
        self.port = port
        self.command = [sys.executable, __file__, str(folder), "--to", to, "--port", str(port), *options]
        self.log = folder.with_name(f"{folder.name}.log")
        self.process: subprocess.Popen | None = None

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log, text=True)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.launch()
        line = self.process.stdout.readline()
        assert line.startswith("listens on"), self.log.read_text()

    def kill(self) -> None:
        """End it as a loss of power would."""
        self._end(self.process.kill)

    def terminate(self) -> int:
        """Ask it to end; the exit code."""
        return self._end(self.process.terminate)

    def _end(self, action: Callable[[], None]) -> int:
        if self.process is None:
            return 0
        action()
        code = self.process.wait(60)
        self.process.stdout.close()
        self.process = None
        return code


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--to", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--quiet", type=float, default=0.3)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--scripted", action="store_true", help="the cascade, with networks that answer by rule")
    given = parser.parse_args()
    log = given.folder.with_name(f"{given.folder.name}.analyses")
    loader = ScriptedLoader() if given.scripted else MadeLoader(log, given.seconds)
    settings = made_settings(given.folder, port=given.port, quiet_s=given.quiet)
    service = Service(settings, read_destinations(given.to), lambda salt: loader)
    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    service.run(ready=lambda port: print(f"listens on {port}", flush=True))


if __name__ == "__main__":
    main()
