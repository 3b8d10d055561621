"""Readers that keep to themselves what they think of a file: their words repeat its values, maybe a patient's."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("pydicom", "nibabel.global")


@contextmanager
def quietly() -> Iterator[None]:
    """A time in which pydicom and nibabel neither warn nor log; what they raise passes.

    pydicom warns of every value that bends the standard, and logs the same words, which Python prints where no host
    has set up logging.
    """
    silent = _nothing_passes()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(silent)


def _nothing_passes() -> logging.Filter:
    """A filter of its own for each time, so that times may overlap."""
    silent = logging.Filter()
    silent.filter = lambda record: False  # type: ignore[method-assign]
    return silent
