"""What is done when a device has too little memory: the same computation in smaller pieces, and at last elsewhere.

    as designed  >  one slice, window or mass at a time, put together in the computer's memory  >  on the processor

Each way gives the same numbers but for rounding: samples of a batch do not see each other in the networks of a
release, and windows are those of the recipe. Where the ladder stands is kept for the rest of a volume, so that what
failed once is not tried again for each slab.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from renalct.core.errors import ErrorCode, InputError

_log = logging.getLogger(__name__)

_WORDS = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Rung:
    """A way to compute: on which device, and whether `sparing` memory, one sample at a time."""

    device: str
    sparing: bool
    words: str = ""


class MemoryLadder:
    """The ways to compute on a device, from the fastest to the most sparing, and which of them is in use."""

    def __init__(self, device: str) -> None:
        self.rungs = (
            Rung(device, sparing=False),
            Rung(device, sparing=True, words="one slice, window or mass was computed at a time"),
            Rung("cpu", sparing=True, words="the processor computed instead"),
        )
        self._at = 0

    @property
    def notices(self) -> tuple[str, ...]:
        """What a reader must know, when a volume did not go as designed."""
        rung = self.rungs[self._at]
        if not rung.words:
            return ()
        return (f"The memory of the device {self.rungs[0].device} was too small: {rung.words}. It took longer.",)

    def restart(self) -> None:
        """Begin as designed again: for the next volume, which may be smaller."""
        self._at = 0

    def run(self, networks: Sequence[nn.Module], work: Callable[[Sequence[nn.Module], Rung], Answer]) -> Answer:
        """What `work` answers, called with networks on the device of the rung, on the first rung with enough memory.

        Raises `InputError` when no rung has enough, and whatever else `work` raises.
        """
        while True:
            rung = self.rungs[self._at]
            there = networks
            if rung.device != self.rungs[0].device or self._at == len(self.rungs) - 1:
                there = [deepcopy(network).to(rung.device) for network in networks]
            try:
                return work(there, rung)
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not lacks_memory(error):
                    raise
                if self._at == len(self.rungs) - 1:
                    raise InputError(
                        f"neither {self.rungs[0].device} nor the computer has enough memory for this study; use a "
                        "larger machine, or a release with smaller patches",
                        code=ErrorCode.NO_MEMORY,
                    ) from error
            self._at += 1  # not in the handler, whose traceback holds the tensors that are in the way
            _log.warning("the memory of %s is too small; going on so: %s", rung.device, self.rungs[self._at].words)
            del there
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory, on a device or in the computer."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)
