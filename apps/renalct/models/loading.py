"""Batches drawn in background processes, in the order of the steps, and how long training waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch.utils.data import DataLoader, Dataset

from renalct.core.errors import RenalctError
from renalct.models.machine import Machine

Batch = tuple[torch.Tensor, torch.Tensor]
Draw = Callable[[int, Sequence[int]], Batch]
"""The samples of the given numbers of a step, always the same ones: (images, targets)."""

_AHEAD = 3


@dataclass(eq=False)
class Waiting:
    """How long a training waited for samples."""

    seconds: float = field(default=0.0)


class _Steps(Dataset[list[Batch] | RenalctError]):
    """The parts of each step. What fails in a foreseen way is handed over as a value: a loader would wrap it in its
    traceback."""

    def __init__(self, draw: Draw, parts: Sequence[Sequence[int]], first: int, count: int) -> None:
        self._draw, self._parts, self._first, self._count = draw, parts, first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> list[Batch] | RenalctError:
        try:
            return [self._draw(self._first + index, part) for part in self._parts]
        except RenalctError as error:
            return error


def batches(
    draw: Draw, parts: Sequence[Sequence[int]], steps: range, *, machine: Machine, waiting: Waiting
) -> Generator[list[Batch]]:
    """The parts of each of `steps`, drawn ahead by `machine.loaders` processes, or here where there are none.

    `waiting` is told how long the training had nothing to do. Raises what `draw` raises.
    """
    found = _Steps(draw, parts, steps.start, len(steps))
    each: Iterator[list[Batch] | RenalctError] = (found[n] for n in range(len(found)))
    if machine.loaders and len(steps):
        loader = DataLoader(
            found,
            batch_size=None,
            shuffle=False,
            num_workers=machine.loaders,
            prefetch_factor=_AHEAD,
            pin_memory=machine.kind == "cuda",
            multiprocessing_context="fork",  # the prepared cases are shared, not copied; loaders touch no device
        )
        each = iter(loader)
    while True:
        began = time.monotonic()
        some = next(each, None)
        waiting.seconds += time.monotonic() - began
        if some is None:
            return
        if isinstance(some, RenalctError):
            raise some
        yield some
