"""Programs that answer over HTTP, started, waited for and stopped: Orthanc and the label server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx

ORTHANC_INSTALL = "apt-get install orthanc orthanc-dicomweb"
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
LOOPBACK = "127.0.0.1"
APP = Path(__file__).resolve().parents[1]
_PAUSE_S = 0.1
_SERVER_ATTEMPTS = 1800
_STOPS_WITHIN_S = 20


class Service:
    """A program with its log; `ready` is an address that answers 200 when the program can be used."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        ready: str,
        log: Path,
        auth: tuple[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command, self.ready, self.log, self.auth = list(command), ready, log, auth
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, attempts: int = 300) -> None:
        """Start it, and ask ten times a second whether it is ready. Raises `RuntimeError` when it never is."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, env=self.environment, start_new_session=True
            )
        with httpx.Client(auth=self.auth, timeout=30, trust_env=False) as client:
            for _ in range(attempts):
                if self.process.poll() is not None:
                    break
                with suppress(httpx.TransportError):
                    if client.get(self.ready).status_code == httpx.codes.OK:
                        return
                time.sleep(_PAUSE_S)
        self.stop()
        raise RuntimeError(f"{self.command[0]} did not start; its log is {self.log}")

    def stop(self) -> None:
        """Stop it with all that it started; what it keeps stays."""
        if self.process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
                self.process.wait(timeout=_STOPS_WITHIN_S)
                break
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self.process = None


def orthanc_program() -> str | None:
    """The path of Orthanc with its DICOMweb plug-in, which Debian puts where only root's path looks; None without."""
    found = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    return found if DICOMWEB_PLUGIN.exists() else None


def orthanc(folder: Path, *, port: int, dicom_port: int, program: str, user: tuple[str, str] | None = None) -> Service:
    """An Orthanc that keeps its objects in a folder; with `user` (name, password) it wants basic authentication."""
    folder.mkdir(parents=True, exist_ok=True)
    store = str(folder.joinpath("store"))
    configuration = folder.joinpath("orthanc.json")
    settings = {
        "Name": "RENALCT",
        "StorageDirectory": store,
        "IndexDirectory": store,
        "HttpPort": port,
        "DicomPort": dicom_port,
        "DicomAet": "RENALCT",
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": user is not None,
        "RegisteredUsers": dict([user] if user else []),
        "Plugins": [str(DICOMWEB_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False, "Ssl": False},
        "StableAge": 1,
    }
    configuration.write_text(json.dumps(settings))
    ready = f"http://{LOOPBACK}:{port}/system"
    return Service([program, str(configuration)], ready=ready, log=folder.joinpath("orthanc.log"), auth=user)


def label_server(folder: Path, *, studies: str, port: int, conf: Mapping[str, str]) -> Service:
    """``monailabel start_server`` as a user starts it, with a copy of the app in a folder: it writes beside itself."""
    app = folder.joinpath("labelapp")
    shutil.copytree(
        APP, app, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "model", "logs", "bin", "demo")
    )
    options = [word for name, value in conf.items() for word in ("--conf", name, value)]
    address = ["--host", LOOPBACK, "--port", str(port)]
    bin_folder = Path(sys.executable).parent
    program = str(bin_folder.joinpath("monailabel"))
    return Service(
        [program, "start_server", "--app", str(app), "--studies", studies, *address, *options],
        ready=f"http://{LOOPBACK}:{port}/info/",
        log=folder.joinpath("server.log"),
        environment={
            "PATH": os.pathsep.join((str(bin_folder), os.environ.get("PATH", os.defpath))),
            "MONAI_LABEL_SESSION_PATH": str(folder.joinpath("sessions")),
        },
    )


def start_server(server: Service) -> None:
    """Start a label server, which takes longer than other programs."""
    server.start(attempts=_SERVER_ATTEMPTS)


def free_port() -> int:
    """A port of loopback that nothing uses."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])
