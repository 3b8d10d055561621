"""The image, run as a careful hospital runs it: read-only root, no network, any user, no capability.

docker does it where its daemon answers. Without one, buildah mounts the image and bubblewrap makes the container: its
own mount, network, process, IPC and host-name namespaces, and a user who is really that number and has no capability.
What bubblewrap does not do is limit memory and processors; the manifests in `deploy/` do.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packager.building import Builder, run

INPUT, OUTPUT, MODELS = "/var/holoscan/input", "/var/holoscan/output", "/opt/holoscan/models"
APPLICATION = "/opt/holoscan/app"


@dataclass(frozen=True)
class Launch:
    """Folders of this machine for the container, who runs it, and the words in place of the image's entry point."""

    input: Path
    output: Path
    models: Path | None = None
    application: Path | None = None
    user: int = 4242
    command: tuple[str, ...] = ()

    def mounts(self) -> Iterator[tuple[str, str, bool]]:
        """Source, target, and whether it may be written: the output folder alone may."""
        yield str(self.input), INPUT, False
        yield str(self.output), OUTPUT, True
        if self.models is not None:
            yield str(self.models), MODELS, False
        if self.application is not None:
            yield str(self.application), APPLICATION, False


def run_image(tag: str, launch: Launch, *, builder: Builder, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """The ended container, with what it printed. The output folder is given to the container's user."""
    launch.output.mkdir(parents=True, exist_ok=True)
    if builder is Builder.DOCKER:
        return _ended(docker_words(tag, launch), timeout_s)
    run("chown", f"{launch.user}:{launch.user}", str(launch.output), quiet=True)
    with mounted(tag) as root:
        settings = json.loads(run("buildah", "inspect", "--type", "image", tag, quiet=True))["OCIv1"]["config"]
        return _ended(bubblewrap_words(root, settings, launch), timeout_s)


def docker_words(tag: str, launch: Launch) -> list[str]:
    """The command of docker."""
    words = ["docker", "run", "--rm", "--read-only", "--network", "none", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--user", f"{launch.user}:{launch.user}"]
    for source, target, writable in launch.mounts():
        words += ["--mount", f"type=bind,source={source},target={target}" + ("" if writable else ",readonly")]
    if launch.command:
        words += ["--entrypoint", launch.command[0]]
    return [*words, tag, *launch.command[1:]]


def bubblewrap_words(root: Path, settings: dict[str, object], launch: Launch) -> list[str]:
    """The command of bubblewrap for a mounted image with the `settings` of its manifest."""
    words = ["bwrap", "--die-with-parent", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    words += ["--ro-bind", str(root), "/", "--proc", "/proc", "--dev", "/dev", "--clearenv"]
    for variable in _texts(settings["Env"]):
        words += ["--setenv", *variable.split("=", 1)]
    for source, target, writable in launch.mounts():
        words += ["--bind" if writable else "--ro-bind", source, target]
    words += ["--chdir", str(settings["WorkingDir"])]
    words += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
    user = str(launch.user)  # these three capabilities are for becoming this user, who then has none
    words += ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs"]
    words += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    return [*words, *(launch.command or _texts(settings["Entrypoint"]))]


@contextmanager
def mounted(tag: str) -> Iterator[Path]:
    """The image's file system, mounted by buildah."""
    container = run("buildah", "from", "--pull-never", tag, quiet=True).strip()
    try:
        yield Path(run("buildah", "mount", container, quiet=True).strip())
    finally:
        run("buildah", "umount", container, quiet=True)
        run("buildah", "rm", container, quiet=True)


def _ended(words: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
