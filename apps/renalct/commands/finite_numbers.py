"""Numbers on a command line."""

from __future__ import annotations

import math


def number(text: str) -> float:
    """A finite number. Raises `ValueError`, which argparse tells, for other words and for nan and inf.

    A time of nan seconds is neither over nor not over, and no bound at all.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value
