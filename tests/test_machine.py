"""On what is trained: parts of a batch, precision, and failures that say what to lower."""

from dataclasses import replace

import pytest
import torch
from bright_kidney import STAGE
from renalct.core.errors import InputError, RecipeError
from renalct.models.machine import Machine, Precision, failures_explained


def test_processes_and_parts_share_the_samples_of_a_batch():
    assert Machine().parts(4) == (range(0, 4),)
    assert Machine(accumulate=2).parts(8, rank=1, size=2) == (range(4, 6), range(6, 8))
    numbers = [n for rank in range(3) for part in Machine(accumulate=2).parts(12, rank=rank, size=3) for n in part]
    assert numbers == list(range(12))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(RecipeError, match="a batch of 4 cannot be divided among 3 processes and 1 parts each"):
        Machine().parts(4, size=3)


def test_precision_is_what_was_asked_for():
    wide = replace(STAGE, network=replace(STAGE.network, channels=(16, 32, 64)))
    assert Machine(precision=Precision.FLOAT32).number_type(wide) is torch.float32
    assert Machine(precision=Precision.BFLOAT16).number_type(STAGE) is torch.bfloat16
    assert Machine().number_type(STAGE) is torch.float32  # narrow networks on a CPU
    assert not Machine().scaler(wide).is_enabled()
    assert Machine("cuda", Precision.FLOAT16).number_type(wide) is torch.float16


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Machine(precision=Precision.FLOAT16), "float16 is for GPUs; on a CPU use bfloat16"),
        (lambda: Machine(accumulate=0), "accumulate must be 1 or more"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_is_short_says_what_to_lower(error):
    with (
        pytest.raises(InputError, match=r"too small for segment 1 \(step 7\).*--accumulate, 2 now.*smaller patches"),
        failures_explained("segment 1", Machine(accumulate=2), lambda: 7),
    ):
        raise error


def test_a_real_allocation_that_fails_is_explained():
    with (
        pytest.raises(InputError, match="memory of cpu is too small"),
        failures_explained("segment", Machine(), lambda: 0),
    ):
        torch.empty(1 << 60)


def test_another_error_is_not_touched():
    with pytest.raises(RuntimeError, match="shapes"), failures_explained("segment", Machine(), lambda: 0):
        raise RuntimeError("shapes differ")
