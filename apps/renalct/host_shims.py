"""Repairs that let MONAI Label, MONAI Deploy and a CPU build of torch share one environment; each names its issue.

`renalct_host_shims.pth`, installed with the package, calls `install` when the interpreter starts, so that the stock
commands (`monailabel start_server`, `python deploy`, `monai-deploy`) and the processes that they start need no
variable. `deploy/__main__.py` calls it too, because an application package has no ``.pth`` file.

Nothing is imported or repaired before a host asks for the module that needs it. This module belongs to no layer and
imports nothing of renalct.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own costs every start of the interpreter milliseconds; so do the modules below
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_ALIAS = "pydicom._storage_sopclass_uids"
_CUDA_RUNTIME = "libcudart.so.13"
_keep_alive: list[object] = []


def install() -> None:
    """Put the finder that makes the repairs first among the interpreter's finders, once."""
    if not any(isinstance(finder, HostShims) for finder in sys.meta_path):
        sys.meta_path.insert(0, HostShims())


class HostShims:
    """A finder of modules that repairs what a module needs just before the module is found by the usual finders."""

    def __init__(self) -> None:
        self._before: dict[str, Callable[[], None]] = {
            "torchvision._autograd_registrations": declare_torchvision_operators,
            "torchvision._meta_registrations": declare_torchvision_operators,
            "holoscan": preload_cuda_runtime,
            "monailabel": allow_mlflow_file_store,
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None, so that the usual finders go on, except for the module that pydicom 3 no longer has, and for monai."""
        repair = self._before.pop(name, None)
        if repair is not None:
            repair()
        if name not in (_ALIAS, "monai"):
            return None
        from importlib.machinery import ModuleSpec, PathFinder

        found = PathFinder.find_spec(name, path, target)
        if name == _ALIAS:
            return found or ModuleSpec(name, StorageNames())  # type: ignore[arg-type]
        if found is not None and found.loader is not None:
            found.loader = WithoutDeploy(found.loader)  # type: ignore[assignment]
        return found


class StorageNames:
    """The loader of ``pydicom._storage_sopclass_uids``, with the names that pydicom 3 keeps in `pydicom.uid`.

    pydicom-seg 0.4.1 imports it (pydicom-seg #60), and MONAI Label 0.8.5 imports pydicom-seg (MONAILabel #1841).
    """

    def create_module(self, spec: ModuleSpec) -> None:
        """None: the interpreter makes the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with every UID whose name ends in ``Storage``."""
        import pydicom.uid

        vars(module).update({name: uid for name, uid in vars(pydicom.uid).items() if name.endswith("Storage")})


class WithoutDeploy:
    """The loader of `monai`, which keeps `import monai` from loading `monai.deploy` and with it holoscan.

    monai-deploy-app-sdk installs into the monai package, and `import monai` loads every subpackage that it finds: five
    seconds, and a note on the stack size in everybody's output. `import monai.deploy` works as ever.
    """

    def __init__(self, usual: object) -> None:
        self._usual = usual

    def __getattr__(self, name: str) -> object:
        return getattr(self._usual, name)

    def exec_module(self, module: ModuleType) -> None:
        """Load monai while `monai.deploy` looks as if it were loaded already."""
        kept = "monai.deploy" in sys.modules
        if not kept:
            sys.modules["monai.deploy"] = None  # type: ignore[assignment]
        try:
            self._usual.exec_module(module)  # type: ignore[attr-defined]
        finally:
            if not kept:
                del sys.modules["monai.deploy"]


def declare_torchvision_operators() -> None:
    """Declare `nms` and `qnms` where torchvision's compiled operators did not load (pytorch/vision #9085).

    PyPI's torchvision is built against CUDA; with a CPU build of torch its Python side then dies on an operator that
    nobody declared. MONAI Label needs only the parts of torchvision that are Python. Does nothing where they loaded.
    """
    if sys.modules["torchvision.extension"]._has_ops() or _keep_alive:
        return
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _keep_alive.append(library)


def preload_cuda_runtime() -> None:
    """Load the CUDA runtime that holoscan links against even on a CPU (monai-deploy-app-sdk #461).

    The system's is taken where there is one, else that of the package nvidia-cuda-runtime. Where neither exists,
    holoscan's own message says what is missing.
    """
    import ctypes
    import os

    folders = ["", *(os.path.join(folder, "nvidia", "cu13", "lib") for folder in sys.path)]
    for folder in folders:
        try:
            ctypes.CDLL(os.path.join(folder, _CUDA_RUNTIME), mode=ctypes.RTLD_GLOBAL)
            return
        except OSError:
            continue


def allow_mlflow_file_store() -> None:
    """Let MLflow 3 write the folder that MONAI Label names as its store by default (mlflow #18534).

    Without it every training task of MONAI Label ends in an error. A value that the user has set is kept.
    """
    import os

    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
