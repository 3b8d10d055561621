"""On what a network is trained: device, precision, processes. None of it changes what is learned, but for rounding."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

import torch
from torch import nn

from renalct.core.errors import InputError, RecipeError
from renalct.models.recipe import Stage

_NARROWEST_BFLOAT16 = 16
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


class Precision(Enum):
    """What convolutions are computed in; weights, losses and moments are always float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class Machine:
    """`accumulate` computes a batch in that many parts, to save memory; `loaders` processes draw samples meanwhile (0:
    none); `compiler` is a backend of `torch.compile` ("" for none); `deterministic` allows no operation that may give
    another result when it is repeated."""

    device: str = "cpu"
    precision: Precision = Precision.AUTO
    accumulate: int = 1
    loaders: int = 0
    compiler: str = ""
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.accumulate < 1 or self.loaders < 0:
            raise InputError("accumulate must be 1 or more, and loaders 0 or more")
        if self.precision is Precision.FLOAT16 and self.kind == "cpu":
            raise InputError("float16 is for GPUs; on a CPU use bfloat16, float32 or auto")

    @property
    def kind(self) -> str:
        """The kind of device: cpu or cuda."""
        return torch.device(self.device).type

    def number_type(self, stage: Stage) -> torch.dtype:
        """The type of number that a stage's network computes in; auto is bfloat16 where the processor has it.

        Not for 3D networks, nor for those under 16 channels, on a CPU: there oneDNN's gradient of the weights holds
        memory never written.
        """
        if self.precision is not Precision.AUTO:
            return {
                Precision.FLOAT32: torch.float32,
                Precision.BFLOAT16: torch.bfloat16,
                Precision.FLOAT16: torch.float16,
            }[self.precision]
        wide = min(stage.network.widths, default=_NARROWEST_BFLOAT16) >= _NARROWEST_BFLOAT16
        sound = stage.geometry.slice_wise and wide and torch.cpu._is_avx512_bf16_supported()
        able = torch.cuda.is_bf16_supported() if self.kind == "cuda" else sound
        return torch.bfloat16 if able else torch.float32

    def autocast(self, stage: Stage) -> contextlib.AbstractContextManager[Any]:
        """The context in which a stage's network computes."""
        number_type = self.number_type(stage)
        if number_type is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.kind, dtype=number_type)

    def scaler(self, stage: Stage) -> torch.amp.GradScaler:
        """What keeps small gradients from vanishing in float16; it does nothing for other types."""
        return torch.amp.GradScaler(self.kind, enabled=self.number_type(stage) is torch.float16)

    def compiled(self, network: nn.Module) -> nn.Module:
        """The network as `torch.compile` makes it, or as it is."""
        if not self.compiler:
            return network
        return cast(nn.Module, torch.compile(network, backend=self.compiler))

    def parts(self, batch: int, *, rank: int = 0, size: int = 1) -> tuple[range, ...]:
        """The numbers of the samples of a batch that a process of `size` computes, in `accumulate` parts.

        Raises `RecipeError` when the batch cannot be divided so.
        """
        share, rest = divmod(batch, size * self.accumulate)
        if rest:
            raise RecipeError(
                f"a batch of {batch} cannot be divided among {size} processes and {self.accumulate} parts each; "
                f"give numbers whose product divides {batch}"
            )
        first = rank * share * self.accumulate
        return tuple(range(first + n * share, first + (n + 1) * share) for n in range(self.accumulate))

    @contextlib.contextmanager
    def arithmetic(self) -> Iterator[None]:
        """The time of a training: deterministic operations where asked, else the fastest ones; undone afterwards."""
        before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
        if self.deterministic and self.kind == "cuda":
            os.environ.setdefault(_CUBLAS, ":4096:8")  # cuBLAS asks for it when it is first used
        torch.use_deterministic_algorithms(self.deterministic or before[0])
        torch.backends.cudnn.benchmark = not self.deterministic
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            torch.backends.cudnn.benchmark = before[1]


PLAIN = Machine()


@contextlib.contextmanager
def failures_explained(name: str, machine: Machine, step: Callable[[], int]) -> Iterator[None]:
    """Memory that is short and a lost loader, as an `InputError` that says where training was and what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise InputError(_memory_sentence(name, machine, step())) from error
    except RuntimeError as error:
        if "DataLoader worker" in str(error):
            raise InputError(
                f"a process that draws samples was lost at step {step()} of {name}, most often for lack of memory; the "
                f"last checkpoint is kept: resume, with fewer loaders ({machine.loaders} now) or a smaller cache"
            ) from error
        if "allocate memory" in str(error) or "out of memory" in str(error):
            raise InputError(_memory_sentence(name, machine, step())) from error
        raise


def _memory_sentence(name: str, machine: Machine, step: int) -> str:
    return (
        f"the memory of {machine.device} is too small for {name} (step {step}); the last checkpoint is kept: resume "
        f"with the batch in more parts (--accumulate, {machine.accumulate} now; the result stays the same), with "
        "--precision bfloat16, or start anew with a recipe of smaller patches"
    )
