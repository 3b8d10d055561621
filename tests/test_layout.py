"""The house keeps its plan: layers import downwards, names are free, hosts are thin. Read, never imported."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "apps" / "renalct"
HOSTS = (ROOT / "labelapp", ROOT / "deploy")

LAYERS = (
    "core", "imaging", "pictures", "formats", "metrics", "synthetic", "models", "explain", "cascade", "learning",
    "runs", "delivery", "cohort", "commands",
)  # fmt: skip
FIRST_WITH_NETWORKS = LAYERS.index("models")
NETWORK_LIBRARIES = {"torch", "torchvision", "monai"}
OUTSIDE_THE_LAYERS = "host_shims"
LONGEST_MODULE = 300
NEVER_IMPORTED = {"sam2"}  # installed because monailabel's metadata ask for it; it is in no application package
WORKS_AT_IMPORT = {"renalct.models"}  # imports MONAI in the one order that leaves MONAI Deploy out
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult, ast.LShift, ast.RShift)


def modules_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def dotted(path: Path) -> str:
    """The import name of a module of the package, for example ``renalct.core.grid``."""
    parts = path.relative_to(SOURCES.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer(module: str) -> str:
    """The layer of an import name of the package; ``core`` for the package itself, ``commands`` for its entry point."""
    parts = module.split(".")
    if len(parts) == 1:
        return "core"
    return "commands" if parts[1] == "__main__" else parts[1]


def imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Line and absolute name of each import anywhere in a module, relative ones resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(module.split(".")[: -node.level]) if node.level else ""
            stem = ".".join(part for part in (package, node.module) if part)
            for alias in node.names:
                yield node.lineno, f"{stem}.{alias.name}"


def upward_imports(source: str, module: str) -> list[str]:
    """What a module imports from a layer above its own, or from no known layer."""
    problems = []
    own = layer(module)
    for line, name in imports(source, module):
        if name.split(".")[0] != "renalct":
            continue
        if own == OUTSIDE_THE_LAYERS:
            problems.append(f"{module}:{line} imports {name}; {own} imports nothing of renalct")
        elif name.startswith("renalct.__version__"):
            continue
        elif layer(name) not in LAYERS:
            problems.append(f"{module}:{line} imports {name}, which is in no layer")
        elif own not in LAYERS or LAYERS.index(layer(name)) > LAYERS.index(own):
            problems.append(f"{module}:{line} imports {name} upwards")
    return problems


def networks_too_low(source: str, module: str) -> list[str]:
    """Imports of torch or MONAI below the layer ``models``."""
    own = layer(module)
    if own == OUTSIDE_THE_LAYERS or (own in LAYERS and LAYERS.index(own) >= FIRST_WITH_NETWORKS):
        return []
    found = imports(source, module)
    return [f"{module}:{line} imports {name}" for line, name in found if name.split(".")[0] in NETWORK_LIBRARIES]


def prints(source: str, module: str) -> list[str]:
    """Calls of `print` outside the layer ``commands``."""
    if layer(module) == "commands":
        return []
    return [
        f"{module}:{node.lineno} prints"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def work_at_import(source: str, module: str) -> list[str]:
    """Statements of a module that do something when it is imported: calls for their effect, loops, blocks."""
    if module in WORKS_AT_IMPORT:
        return []
    problems = []
    for node in ast.parse(source).body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, (ast.Expr, ast.For, ast.While, ast.With)) and not is_text:
            problems.append(f"{module}:{node.lineno} does something when it is imported")
    return problems


def arithmetic(source: str, name: str) -> list[str]:
    """Arithmetic and imports of numpy in a host, which only receives, calls renalct and returns."""
    tree = ast.parse(source)
    problems = [
        f"{name}:{node.lineno} computes"
        for node in ast.walk(tree)
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ARITHMETIC)
    ]
    libraries = {"numpy", "scipy", "skimage", "cc3d", "math"}
    return problems + [
        f"{name}:{line} imports {imported}"
        for line, imported in imports(source, name)
        if imported.split(".")[0] in libraries
    ]


def taken_names() -> set[str]:
    """Names of modules of the standard library and of every installed distribution but our own and what nobody uses."""
    ours = {"renalct", *NEVER_IMPORTED}
    installed = {name for name, owners in packages_distributions().items() if not ours.issuperset(owners)}
    return set(sys.stdlib_module_names) | installed


def shadows(names: list[str], taken: set[str]) -> list[str]:
    """Names that would hide another module when their folder is on the path, as it is in an application package."""
    return [name for name in names if not name.startswith("__") and name in taken]


def too_long(lines: int, name: str) -> list[str]:
    return [f"{name} has {lines} lines; {LONGEST_MODULE} is the limit"] if lines > LONGEST_MODULE else []


@pytest.mark.parametrize(
    "check", [upward_imports, networks_too_low, prints, work_at_import], ids=lambda check: check.__name__
)
def test_every_module_of_the_package_keeps_the_rule(check):
    assert [p for path in modules_of(SOURCES) for p in check(path.read_text(), dotted(path))] == []


def test_every_module_is_in_a_layer():
    known = {*LAYERS, OUTSIDE_THE_LAYERS}
    assert [dotted(path) for path in modules_of(SOURCES) if layer(dotted(path)) not in known] == []


def test_no_module_is_longer_than_the_limit():
    paths = [path for folder in (SOURCES, *HOSTS) for path in modules_of(folder)]
    assert [p for path in paths for p in too_long(len(path.read_text().splitlines()), path.name)] == []


def test_no_module_or_folder_hides_a_module_of_python_or_of_an_installed_package():
    modules = [path.stem for folder in (SOURCES, *HOSTS) for path in modules_of(folder)]
    folders = [path.name for path in SOURCES.rglob("*") if path.is_dir()]
    assert shadows(sorted({*modules, *folders}), taken_names()) == []


def test_hosts_compute_nothing():
    assert [p for folder in HOSTS for path in modules_of(folder) for p in arithmetic(path.read_text(), path.name)] == []


def test_hosts_do_not_print():
    paths = [path for folder in HOSTS for path in modules_of(folder)]
    assert [problem for path in paths for problem in prints(path.read_text(), path.name)] == []


def test_hosts_import_nothing_of_each_other():
    for folder, other in (HOSTS, HOSTS[::-1]):
        for path in modules_of(folder):
            assert not [name for _, name in imports(path.read_text(), path.name) if name.split(".")[0] == other.name]


@pytest.mark.parametrize(
    ("check", "source", "module", "problems"),
    [
        (upward_imports, "from renalct.formats import nifti", "renalct.core.grid", 1),
        (upward_imports, "import renalct.cascade", "renalct.explain", 1),
        (upward_imports, "def f():\n    from renalct.commands.demo import run", "renalct.models.release", 1),
        (upward_imports, "from ..formats import nifti", "renalct.core.grid", 1),
        (upward_imports, "from .grid import Box", "renalct.core.volume", 0),
        (upward_imports, "from renalct.core.grid import Box", "renalct.imaging.resample", 0),
        (upward_imports, "from renalct import __version__", "renalct.core.report", 0),
        (upward_imports, "from renalct.attic import grid", "renalct.cascade", 1),
        (upward_imports, "from renalct.core import errors", "renalct.host_shims", 1),
        (networks_too_low, "def f():\n    import torch.nn", "renalct.imaging.resample", 1),
        (networks_too_low, "from monai.transforms import Spacing", "renalct.metrics.overlap", 1),
        (networks_too_low, "import torch", "renalct.models.networks", 0),
        (networks_too_low, "import torch", "renalct.cascade", 0),
        (prints, "print('found')", "renalct.cascade", 1),
        (prints, "print('found')", "renalct.commands.predict", 0),
        (work_at_import, "import os\nos.environ.update(A='1')", "renalct.cascade", 1),
        (work_at_import, '"""Text."""\nA = 1', "renalct.cascade", 0),
        (arithmetic, "a = b + 1", "main", 1),
        (arithmetic, "a *= 2", "main", 1),
        (arithmetic, "import numpy as np", "main", 1),
        (arithmetic, "def f(a: int | None) -> None: ...", "main", 0),
    ],
)
def test_each_rule_finds_what_breaks_it(check, source, module, problems):
    assert len(check(source, module)) == problems


def test_a_module_named_like_one_of_python_or_of_a_package_is_found():
    assert shadows(["__init__", "grid", "operator", "torch"], taken_names()) == ["operator", "torch"]


def test_a_module_of_301_lines_is_too_long():
    assert too_long(300, "grid") == []
    assert too_long(301, "grid") == ["grid has 301 lines; 300 is the limit"]


def test_the_core_imports_in_under_300_ms_of_processor_time_and_without_torch():
    modules = [dotted(path) for path in modules_of(SOURCES / "core")]
    code = "\n".join(
        [
            "import sys, time",
            "before = time.process_time()",
            *(f"import {module}" for module in modules),
            "print(time.process_time() - before, 'torch' in sys.modules, 'monai' in sys.modules)",
        ]
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    answers = [run.stdout.split() for run in runs]
    assert [answer[1:] for answer in answers] == [["False", "False"]] * 2
    assert min(float(seconds) for seconds, *_ in answers) < 0.3
