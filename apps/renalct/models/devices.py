"""The device that a name means."""

from __future__ import annotations

import torch

from renalct.core.errors import ErrorCode, InputError


def existing_device(name: str) -> str:
    """The device of a name (cpu, cuda, cuda:1, or auto). Raises `InputError` for one that is not in this machine."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(
            f"there is no kind of device {name!r}; use cpu, cuda, cuda:1 or auto", code=ErrorCode.NO_DEVICE
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"the device {name} is not in this machine; use cpu or auto", code=ErrorCode.NO_DEVICE)
    return name
