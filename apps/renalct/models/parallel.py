"""The processes that train together (`torchrun`), and the network that shares gradients between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from renalct.core.errors import InputError

_LONGEST_WAIT = timedelta(hours=24)  # the others wait while the first process prepares cases or validates


@dataclass(frozen=True)
class Team:
    """This process's number among `size` that train one network; the first writes files and speaks."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes; gradients flow back through it."""
        if self.size == 1:
            return tensor
        from torch.distributed.nn import functional

        summed: torch.Tensor = functional.all_reduce(tensor)  # type: ignore[no-untyped-call]
        return summed

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over all processes."""
        return self.total(tensor.detach()) / self.size

    def told(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(tensor, 0)
        return float(tensor)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            distributed.barrier()

    def shared(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over the team after each backward pass."""
        if self.size == 1:
            return network
        ids = [torch.device(self.device).index] if self.device.startswith("cuda") else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def unshared(self, network: nn.Module) -> AbstractContextManager[None]:
        """The time of a backward pass after which gradients are not averaged yet."""
        if isinstance(network, nn.parallel.DistributedDataParallel):
            return network.no_sync()
        return nullcontext()

    def prepared(self, network: nn.Module) -> nn.Module:
        """The network with batch norms that see the batch of the whole team (on GPUs; a CPU has no such operation)."""
        if self.size == 1 or not self.device.startswith("cuda"):
            return network
        synced: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return synced


ALONE = Team()


@contextmanager
def team_of(device: str) -> Iterator[Team]:
    """The team that `torchrun` started this process in, or a team of one.

    Raises `InputError` when this computer has fewer GPUs than processes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(0, 1, device)
        return
    if device.startswith("cuda"):
        index = int(os.environ.get("LOCAL_RANK", "0"))
        if index >= torch.cuda.device_count():
            raise InputError(
                f"there are {torch.cuda.device_count()} GPUs here and more processes; start torchrun with "
                f"--nproc-per-node {max(1, torch.cuda.device_count())}"
            )
        device = f"cuda:{index}"
        torch.cuda.set_device(index)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Team(distributed.get_rank(), size, device)
    finally:
        distributed.destroy_process_group()
