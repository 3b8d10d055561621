"""Samples drawn in the background: in order, the same, and a clear sentence when a process is lost."""

import os
import signal

import pytest
import torch
from renalct.core.errors import InputError, RecipeError
from renalct.models.loading import Waiting, batches
from renalct.models.machine import Machine, failures_explained


def numbered(step, numbers):
    return torch.tensor([step, *numbers]), torch.tensor(step)


@pytest.mark.parametrize("loaders", [0, 2])
def test_parts_come_in_the_order_of_the_steps(loaders):
    waiting = Waiting()
    found = list(batches(numbered, ((0, 1), (2, 3)), range(5, 9), machine=Machine(loaders=loaders), waiting=waiting))
    assert [[images.tolist() for images, _ in parts] for parts in found] == [
        [[step, 0, 1], [step, 2, 3]] for step in range(5, 9)
    ]
    assert waiting.seconds > 0


def test_no_steps_start_no_process():
    assert list(batches(numbered, ((0,),), range(3, 3), machine=Machine(loaders=2), waiting=Waiting())) == []


@pytest.mark.parametrize("loaders", [0, 1])
def test_what_a_loader_refuses_arrives_as_the_sentence_it_was(loaders):
    def refuse(step, numbers):
        raise RecipeError("no sample was found")

    with pytest.raises(RecipeError, match=r"^no sample was found$"):
        list(batches(refuse, ((0,),), range(2), machine=Machine(loaders=loaders), waiting=Waiting()))


def test_a_lost_loader_is_explained():
    def dying(step, numbers):
        if step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return numbered(step, numbers)

    machine, seen = Machine(loaders=1), []
    with (
        pytest.raises(InputError, match=r"was lost at step \d of segment.*last checkpoint is kept: resume, with fewer"),
        failures_explained("segment", machine, lambda: len(seen)),
    ):
        for parts in batches(dying, ((0,),), range(6), machine=machine, waiting=Waiting()):
            seen.append(parts)
