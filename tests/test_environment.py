"""The environment that requirements.txt gives: the hosts' stock commands work in it, and Python starts as fast."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from renalct import host_shims

ROOT = Path(__file__).parents[1]


def python(code: str, **options) -> subprocess.CompletedProcess:
    """What a new interpreter answers; it has read the ``.pth`` files of the environment."""
    command = [sys.executable, *options.pop("flags", ()), "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, **options)


def pins(path: Path) -> dict[str, str]:
    """Package and version specifier of each line of a requirements file."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return dict(re.match(r"([\w.-]+)(.*)", line).groups() for line in lines if line and not line.startswith("-"))


# The shims


def test_every_interpreter_of_the_environment_has_the_shims():
    answer = python("import sys; print([type(finder).__name__ for finder in sys.meta_path].count('HostShims'))")
    assert answer.stdout == "1\n", "run `pip install -e .` again: renalct_host_shims.pth is not installed"


def test_the_shims_cost_less_than_5_ms_at_start():
    costs = []
    for _ in range(5):
        report = python("pass", flags=("-X", "importtime")).stderr
        costs.append(int(re.search(r"\| *(\d+) \| +renalct\.host_shims$", report, re.MULTILINE).group(1)))
    assert min(costs) < 5000, f"microseconds: {costs}"


def test_importing_the_shims_imports_nothing_else_and_installs_nothing():
    code = (
        "import sys; a = set(sys.modules); import renalct.host_shims; print(set(sys.modules) - a, len(sys.meta_path))"
    )
    isolated = python(code, flags=("-S",), env={"PYTHONPATH": str(ROOT / "apps")}).stdout
    assert eval(isolated.rsplit(" ", 1)[0]) == {"renalct", "renalct.host_shims", "__future__"}
    assert isolated.rsplit(" ", 1)[1].strip() == "3"


def test_installing_twice_leaves_one_finder(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [])
    host_shims.install()
    host_shims.install()
    assert len(sys.meta_path) == 1


def test_the_storage_names_that_pydicom_moved_are_found():
    answer = python("from pydicom._storage_sopclass_uids import SegmentationStorage as S; print(S)")
    assert answer.stdout.strip() == "1.2.840.10008.5.1.4.1.1.66.4"


def test_a_pydicom_that_still_has_the_names_keeps_its_own(tmp_path):
    (tmp_path / "_storage_sopclass_uids.py").write_text("SegmentationStorage = 'own'\n")
    spec = host_shims.HostShims().find_spec("pydicom._storage_sopclass_uids", [str(tmp_path)])
    assert spec.origin == str(tmp_path / "_storage_sopclass_uids.py")


def test_another_module_is_left_to_the_usual_finders():
    assert host_shims.HostShims().find_spec("json") is None


def test_torchvision_imports_with_this_torch():
    assert python("import torchvision.utils; print('imported')").stdout == "imported\n"


@pytest.mark.parametrize(("loaded", "declared"), [(True, False), (False, True)])
def test_the_operators_are_declared_only_where_the_compiled_ones_did_not_load(loaded, declared):
    code = f"""
import sys, types, torch
sys.modules["torchvision.extension"] = types.SimpleNamespace(_has_ops=lambda: {loaded})
from renalct import host_shims
host_shims.declare_torchvision_operators()
host_shims.declare_torchvision_operators()
print(hasattr(torch.ops.torchvision, "nms"), hasattr(torch.ops.torchvision, "qnms"))
"""
    assert python(code).stdout == f"{declared} {declared}\n"


def test_the_cuda_runtime_of_the_system_is_preferred(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name, mode: asked.append((name, mode)))
    host_shims.preload_cuda_runtime()
    assert asked == [("libcudart.so.13", ctypes.RTLD_GLOBAL)]


def test_without_a_cuda_toolkit_the_runtime_comes_from_its_package(monkeypatch):
    load, loaded = ctypes.CDLL, []

    def as_without_a_toolkit(name: str, mode: int) -> None:
        if name == "libcudart.so.13":
            raise OSError("cannot open shared object file")
        load(name, mode=mode)
        loaded.append(Path(name))

    monkeypatch.setattr(ctypes, "CDLL", as_without_a_toolkit)
    host_shims.preload_cuda_runtime()
    assert [path.parts[-4:] for path in loaded] == [("nvidia", "cu13", "lib", "libcudart.so.13")]


def test_without_any_cuda_runtime_the_message_is_left_to_holoscan(monkeypatch):
    def as_without_any(name: str, mode: int) -> None:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", as_without_any)
    host_shims.preload_cuda_runtime()


def test_mlflow_may_write_the_store_that_monai_label_names(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    code = f"""
import importlib.util, os
before = os.environ.get("MLFLOW_ALLOW_FILE_STORE")
importlib.util.find_spec("monailabel")
from mlflow.store.tracking.file_store import FileStore
FileStore({str(tmp_path / "runs")!r})
print(before, os.environ["MLFLOW_ALLOW_FILE_STORE"])
"""
    assert python(code).stdout == "None true\n"


def test_a_users_choice_for_mlflow_is_kept(monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    shims = host_shims.HostShims()
    assert shims.find_spec("monailabel") is None
    assert python("import os; print(os.environ['MLFLOW_ALLOW_FILE_STORE'])").stdout == "false\n"


def test_our_networks_import_without_monai_deploy_which_works_afterwards():
    code = """
import sys, renalct.models.networks
print("monai" in sys.modules, "holoscan" in sys.modules)
import monai.deploy.core
print(monai.deploy.core.Application.__name__)
"""
    assert python(code).stdout.splitlines()[-2:] == ["True False", "Application"]


# The stock commands


@pytest.mark.parametrize(("command", "words"), [("monailabel", "start_server"), ("monai-deploy", "package")])
def test_a_stock_command_starts(command, words):
    folder = Path(sys.executable).parent
    activated = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    answer = subprocess.run(
        [folder / command, "--help"], capture_output=True, text=True, timeout=120, check=True, env=activated
    )
    assert words in answer.stdout


def test_the_server_and_the_graph_import_in_one_environment():
    python("import monailabel.app, monai.deploy.core, highdicom, renalct")


# The files


def test_the_environment_is_consistent():
    answer = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, timeout=120)
    assert answer.returncode == 0, answer.stdout


def test_the_installed_versions_are_those_of_the_file():
    for package, specifier in pins(ROOT / "requirements.txt").items():
        if specifier.startswith("=="):
            assert version(package).split("+")[0] == specifier[2:].strip(), package


def test_the_same_lines_give_gpu_and_cpu_builds():
    lines = [line.split("#")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert not [line for line in lines if "+c" in line or "index-url" in line or "find-links" in line]


def test_an_application_package_gets_the_same_versions_and_nothing_that_serves_or_tests():
    whole, packaged = pins(ROOT / "requirements.txt"), pins(ROOT / "deploy" / "requirements.in")
    assert {name: whole[name] for name in packaged} == packaged
    assert not {"monailabel", "mlflow", "pytest", "fastapi", "sam2"} & set(packaged)
    assert (ROOT / "deploy" / "requirements.txt").read_bytes().endswith(b"\n"), "the packager glues its own line to it"


def test_make_builds_sam2_with_our_torch():
    if shutil.which("make") is None:
        pytest.skip("needs make: apt-get install make")
    made = subprocess.run(["make", "-n", "-B", "env"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "grep '^torch==' requirements.txt" in made
    assert all(f"{name}=" in made for name in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT", "SAM2_BUILD_CUDA"))


def test_importing_monai_leaves_out_deploy_which_can_still_be_imported(activated):
    code = (
        "import sys, monai; assert 'holoscan' not in sys.modules and 'monai.deploy' not in sys.modules\n"
        "import monai.deploy.core; assert 'holoscan' in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], env=activated, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
