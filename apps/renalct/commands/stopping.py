"""Commands that take long end in order when they are asked to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_asked(tell: Callable[[], object] = lambda: None) -> Iterator[list[int]]:
    """A list that is filled when the process is asked to stop (Ctrl-C, or SIGTERM of a job system).

    The step that is being done is then finished; `tell` is called at once. A second Ctrl-C stops at once.
    """
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        tell()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
