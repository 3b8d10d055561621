"""A MONAI Label server as a user starts it: another process, stopped with everything that it started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
STARTS_WITHIN_S = 180
ANSWERS_WITHIN_S = 300


@contextmanager
def label_server(folder: Path, studies: Path, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of ``monailabel start_server`` with a copy of our app in `folder`."""
    app = shutil.copytree(
        ROOT / "labelapp", folder / "labelapp", ignore=shutil.ignore_patterns("__pycache__", "model", "logs", "bin")
    )
    port = _free_port()
    command = [Path(sys.executable).with_name("monailabel"), "start_server", "--app", app, "--studies", studies]
    environment = environment | {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}  # not in the tester's home
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
            if client.get("/info/").status_code == httpx.codes.OK:
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
