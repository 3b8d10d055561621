"""The lock of the image: complete, hashed, of the environment's versions, without CUDA; and what it must not lack."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from renalct.core.errors import InputError

from packager import lockfile
from packager.lockfile import read_lock, write_lock

ROOT = Path(__file__).parents[1]
DEPLOY, APPS = ROOT / "deploy", ROOT / "apps"
LOCK = DEPLOY / "requirements.txt"
SERVED = ("predict", "send", "serve")
DIGEST = "0" * 64


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_versions() -> dict[str, str]:
    return {canonical(locked.name): locked.version for locked in read_lock(LOCK)}


def asked() -> dict[str, str]:
    """Package and specifier of each line of requirements.in."""
    lines = (line.split("#")[0].strip() for line in (DEPLOY / "requirements.in").read_text().splitlines())
    return {
        canonical(name): rest for name, rest in (re.match(r"([\w.-]+)(.*)", line).groups() for line in lines if line)
    }


def module_file(name: str) -> tuple[str, Path] | None:
    """The module of renalct that an imported name means: itself, or the one that the name is in."""
    parts = name.split(".")
    while parts:
        path = APPS.joinpath(*parts)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return ".".join(parts), candidate
        parts.pop()
    return None


def imported(module: str, path: Path) -> set[str]:
    """The full names that a module imports, anywhere in it."""
    names = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if node.level else []
            stem = [*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])]
            names |= {".".join([*stem, alias.name]) for alias in node.names}
    return names


def libraries_reached() -> set[str]:
    """The top-level modules that are not Python's nor ours, and that the graph, serve and send can come to import."""
    todo = [(path.stem, path) for path in DEPLOY.glob("*.py")]
    todo += [module_file(f"renalct.commands.{name}") for name in SERVED]
    ours = {path.stem for path in DEPLOY.glob("*.py")} | {"renalct"}
    seen, libraries = set(), set()
    while todo:
        module, path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imported(module, path):
            top = name.split(".")[0]
            if top == "renalct" and (found := module_file(name)):
                todo.append(found)
            elif top not in ours and top not in sys.stdlib_module_names:
                libraries.add(top)
    return libraries


def test_every_package_that_is_asked_for_is_locked_at_that_version():
    versions = locked_versions()
    for name, specifier in asked().items():
        assert name in versions
        if specifier.startswith("=="):
            assert versions[name].split("+")[0] == specifier[2:], name


def test_torch_is_the_cpu_build_and_of_cuda_only_the_runtime_that_holoscan_links_is_there():
    versions = locked_versions()
    assert versions["torch"].endswith("+cpu")
    assert [name for name in versions if name.startswith("nvidia-")] == ["nvidia-cuda-runtime"]
    assert not {"triton", "torchvision", "monailabel", "mlflow", "pytest", "ray", "sam2"} & set(versions)


def test_the_index_of_torch_is_named_and_no_other():
    options = [line for line in LOCK.read_text().splitlines() if line.startswith("--")]
    assert options == ["--extra-index-url https://download.pytorch.org/whl/cpu"]


def test_every_library_that_the_graph_serve_and_send_import_is_locked():
    owners = packages_distributions()
    reached = libraries_reached()
    assert {"torch", "monai", "pydicom", "pynetdicom"} <= reached, "the walk finds what it should"
    versions = locked_versions()
    missing = [name for name in sorted(reached) if not {canonical(o) for o in owners.get(name, [name])} & set(versions)]
    assert missing == []


@pytest.mark.parametrize(
    "line",
    [
        "torch==2.13.0",
        f"torch>=2 --hash=sha256:{DIGEST}",
        f"torch==2.13.0 --hash=sha1:{'0' * 40}",
        "torch==2.13.0 --hash=sha256:00",
    ],
)
def test_a_line_without_one_version_and_a_sha256_is_refused(tmp_path, line):
    (path := tmp_path / "requirements.txt").write_text(f"# comment\n--extra-index-url https://x.example\n{line}\n")
    with pytest.raises(InputError, match="torch"):
        read_lock(path)


def test_a_lock_over_several_lines_is_read(tmp_path):
    (path := tmp_path / "requirements.txt").write_text(
        f"torch==2.13.0+cpu \\\n    --hash=sha256:{DIGEST} \\\n    --hash=sha256:{'1' * 64}\n    # via x\n"
    )
    (locked,) = read_lock(path)
    assert (locked.name, locked.version, locked.sha256) == ("torch", "2.13.0+cpu", (DIGEST, "1" * 64))


def test_without_uv_one_sentence_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(lockfile.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="pip install uv"):
        write_lock(DEPLOY / "requirements.in", tmp_path / "lock.txt")


def test_the_lock_names_its_index_and_takes_further_digests_of_torch(tmp_path, monkeypatch):
    (program := tmp_path / "uv").write_text(
        "#!/bin/sh\n"
        "for last; do :; done\n"
        f'printf "numpy==1 --hash=sha256:{DIGEST}\\ntorch==2.0+cpu \\\\\\n    --hash=sha256:{DIGEST}\\n" > "$last"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(lockfile.shutil, "which", lambda name: str(program))
    write_lock(DEPLOY / "requirements.in", lock := tmp_path / "lock.txt", torch="cu130", torch_sha256=["1" * 64])
    assert lock.read_text().splitlines()[1] == "--extra-index-url https://download.pytorch.org/whl/cu130"
    assert {locked.name: locked.sha256 for locked in read_lock(lock)} == {
        "numpy": (DIGEST,),
        "torch": (DIGEST, "1" * 64),
    }
