"""Silence of the libraries that speak to archives: their logs hold UIDs and tracebacks; ours say what failed."""

from __future__ import annotations

import logging

_LIBRARIES = ("pynetdicom", "dicomweb_client", "retrying", "urllib3")


def quiet_libraries() -> None:
    """Let these libraries log nothing in this process, but where somebody has set a level for one of them."""
    for name in _LIBRARIES:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.CRITICAL)
