"""The build context of the image, as `make map-context` keeps it, made by a process whom no address answers."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")}


def packager(*words: str) -> subprocess.CompletedProcess[str]:
    """The ended process of ``python -m packager``."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = [sys.executable, "-m", "packager", *words]
    environment = os.environ | NO_NETWORK | {"PATH": path}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def kept_context(folder: Path) -> Path:
    """The context, in a folder."""
    done = packager("context", "--folder", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "context"
