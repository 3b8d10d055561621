"""A MONAI Label server as a user starts it: another process, stopped with everything that it started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
STARTS_WITHIN_S = 180
ANSWERS_WITHIN_S = 300
UP = (httpx.codes.OK, httpx.codes.UNAUTHORIZED)


@contextmanager
def label_server(
    folder: Path, studies: Path | str, environment: dict[str, str], conf: Mapping[str, object] | None = None
) -> Iterator[httpx.Client]:
    """A client of ``monailabel start_server`` with a copy of our app in `folder`, and `conf` as options of the app.

    Images are not scored in the background, and nothing is kept in the tester's home.
    """
    app = shutil.copytree(
        ROOT / "labelapp", folder / "labelapp", ignore=shutil.ignore_patterns("__pycache__", "model", "logs", "bin")
    )
    environment = {
        "MONAI_LABEL_SESSION_PATH": str(folder / "sessions"),
        "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
        "XDG_DATA_HOME": str(folder / "data"),
        **environment,
    }
    with serving(app, folder, studies, environment, conf or {}) as client:
        yield client


@contextmanager
def serving(
    app: Path, folder: Path, studies: Path | str, environment: dict[str, str], conf: Mapping[str, object]
) -> Iterator[httpx.Client]:
    """A client of ``monailabel start_server`` with any app, which it may write into; the log goes to `folder`."""
    port = _free_port()
    command = [Path(sys.executable).with_name("monailabel"), "start_server", "--app", app, "--studies", studies]
    for name, value in conf.items():
        command += ["--conf", name, str(value)]
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=ANSWERS_WITHIN_S, trust_env=False) as client:
            _wait_for(client, server, log)
            yield client
    finally:
        _stop(server)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(client: httpx.Client, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the server stopped with code {server.returncode}:\n{log.read_text()[-4000:]}")
        try:
            if client.get("/info/").status_code in UP:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise RuntimeError(f"the server did not answer within {STARTS_WITHIN_S} s:\n{log.read_text()[-4000:]}")


def _stop(server: subprocess.Popen) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, sign)
            server.wait(timeout=15)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
