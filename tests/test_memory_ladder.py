"""Too little memory: the same result in smaller pieces, at last on the processor, and a notice that says so."""

import numpy as np
import pytest
import torch
from renalct.cascade import Cascade
from renalct.core.errors import ErrorCode, InputError
from renalct.core.grid import Box
from renalct.core.volume import Mask
from renalct.explain import explain_mass
from renalct.models.inference import classify_masses
from renalct.models.memory_ladder import MemoryLadder, lacks_memory
from renalct.models.recipes import recipe_named
from renalct.models.release import random_release
from scripted_networks import plain_network, two_kidneys
from scripted_runs import scripted_cascade
from tiny_recipes import tiny
from torch import nn

OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 20.00 GiB"


class Small:
    """A device that has memory for so many samples at once, as a hook of a network; `on_processor` for a copy there."""

    def __init__(self, *, most: int, on_processor: int = 1) -> None:
        self.most, self.on_processor = most, on_processor
        self.seen: list[int] = []

    def __deepcopy__(self, memo) -> "Small":
        other = Small(most=self.on_processor)
        other.seen = self.seen
        return other

    def __call__(self, network: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        if len(arguments[0]) > self.most:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        self.seen.append(len(arguments[0]))


def limited(cascade: Cascade, **limits) -> tuple[Cascade, Small]:
    """The cascade with every network on such a device."""
    device = Small(**limits)
    for stage in ("localize", "segment", *(["classify"] if cascade.release.recipe.classify else [])):
        for network in cascade.networks(stage):
            network.register_forward_pre_hook(device)
    return cascade, device


@pytest.fixture(scope="module")
def slice_wise():
    """A cascade of tiny untrained networks that look at eight slices at once, and what it says of a volume."""
    release = random_release(tiny(recipe_named("starter")), seed=3)
    return release, seen_by(Cascade(release))


def seen_by(cascade: Cascade):
    """Scores of the locator, label values, and of a made mass the class probabilities and the map."""
    volume, stage = two_kidneys(), cascade.release.recipe.classify
    regions = cascade.localize(volume)
    labels = cascade.segment(volume, regions)
    masks = [Mask(Box((k, k, k), (k + 6, k + 6, k + 4)), np.ones((6, 6, 4), bool)) for k in range(1, 10)]
    networks, ladder = cascade.networks("classify"), cascade._ladder
    rows = classify_masses(volume, masks, stage, networks, ladder=ladder)
    heat = explain_mass(volume, masks[0], next(iter(stage.classes)), stage, networks, ladder=ladder).values
    return regions.located.scores, labels.values, rows, heat


def assert_equal(one, other):
    """Equal but for rounding: a score may be off by one of 255, a label where two classes are equally probable."""
    assert np.abs(one[0].astype(int) - other[0]).max() <= 1
    assert np.mean(one[1] != other[1]) < 1e-3
    assert np.allclose(one[2], other[2], atol=1e-5)
    assert np.allclose(one[3], other[3], atol=1e-3)


def test_as_much_memory_as_is_needed_changes_nothing(slice_wise):
    release, expected = slice_wise
    cascade, device = limited(Cascade(release), most=8)
    found = seen_by(cascade)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert cascade._ladder.notices == () and max(device.seen) == 8


@pytest.mark.parametrize("most", [1, 7])
def test_with_memory_for_a_few_slices_they_are_computed_one_at_a_time(slice_wise, most):
    release, expected = slice_wise
    cascade, device = limited(Cascade(release), most=most)
    assert_equal(seen_by(cascade), expected)
    assert set(device.seen) == {1}
    assert cascade._ladder.notices == (
        "The memory of the device cpu was too small: one slice, window or mass was computed at a time. It took longer.",
    )


def test_with_memory_for_nothing_the_processor_computes(slice_wise):
    release, expected = slice_wise
    cascade, _ = limited(Cascade(release), most=0)
    assert_equal(seen_by(cascade), expected)
    assert "the processor computed instead" in cascade._ladder.notices[0]


def test_with_no_memory_anywhere_the_study_fails_with_a_code(slice_wise):
    cascade, _ = limited(Cascade(slice_wise[0]), most=0, on_processor=0)
    with pytest.raises(InputError, match="neither cpu nor the computer has enough memory") as error:
        cascade.localize(two_kidneys())
    assert error.value.code is ErrorCode.NO_MEMORY


def test_whole_fields_and_windows_are_the_same_on_every_rung():
    expected = scripted_cascade().run(two_kidneys())
    for most in (0, 1):
        result = limited(scripted_cascade(), most=most)[0].run(two_kidneys())
        assert np.array_equal(result.label_map.values, expected.label_map.values)
        assert [m.volume_ml for m in result.report.findings.masses] == [
            m.volume_ml for m in expected.report.findings.masses
        ]


def test_the_reader_of_the_report_is_told_and_the_next_volume_begins_as_designed():
    cascade, device = limited(scripted_cascade(plain_network()), most=0)
    assert any("memory" in notice for notice in cascade.run(two_kidneys()).report.notices)
    device.most = 1
    assert not any("memory" in notice for notice in cascade.run(two_kidneys()).report.notices)


def test_the_ladder_stays_where_it_had_to_go_until_the_next_volume():
    ladder, tried = MemoryLadder("cpu"), []

    def work(networks, rung):
        tried.append(rung.sparing)
        if not rung.sparing:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        return "done"

    assert [ladder.run([], work), ladder.run([], work)] == ["done", "done"]
    assert tried == [False, True, True]
    ladder.restart()
    ladder.run([], work)
    assert tried[3:] == [False, True]


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (torch.OutOfMemoryError(OUT_OF_MEMORY), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            True,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(error, is_memory):
    assert lacks_memory(error) is is_memory


def test_what_is_no_matter_of_memory_passes():
    def work(networks, rung):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        MemoryLadder("cpu").run([], work)
