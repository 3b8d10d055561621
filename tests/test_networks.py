"""Networks: their sizes as the papers' architecture gives them, and their answers' shapes."""

import itertools
from dataclasses import replace

import pytest
import torch
from renalct.models.networks import build_network, divisor, load_state, parameter_count, state_of
from renalct.models.recipes import RECIPES, recipe_named
from tiny_recipes import tiny


def dyn_unet_parameters(widths, outputs, heads) -> int:
    """By hand: per level two 3 x 3 x 3 convolutions with scale and shift of their norms, on the way down and up;
    2 x 2 x 2 transposed convolutions; a 1 x 1 x 1 head with bias at full size and at each supervised level."""
    total, before = 0, 1
    for width in widths:
        total += 27 * before * width + 27 * width * width + 4 * width
        before = width
    for narrow, wide in itertools.pairwise(widths):
        total += 8 * wide * narrow + 27 * 2 * narrow * narrow + 27 * narrow * narrow + 4 * narrow
    return total + sum((width + 1) * outputs for width in widths[: heads + 1])


@pytest.mark.parametrize(
    ("name", "widths", "millions"),
    [
        ("zang2021", (32, 64, 128, 256, 320, 320), 31.2),
        ("zang2021_literal", (32, 64, 128, 256, 512, 1024), 90.5),
    ],
)
def test_the_network_of_zang_has_the_parameters_of_its_architecture(name, widths, millions):
    with torch.device("meta"):
        network = build_network(recipe_named(name).segment)
    assert parameter_count(network) == dyn_unet_parameters(widths, outputs=4, heads=2)
    assert parameter_count(network) / 1e6 == pytest.approx(millions, abs=0.05)


def test_resnet_10_of_zhao_has_the_parameters_of_its_architecture():
    """Stem 7^3; four basic blocks; 1^3 shortcuts where the width changes; 512 to 128 and 128 to 3."""
    with torch.device("meta"):
        network = build_network(recipe_named("zhao2023").classify)
    widths, before = (64, 128, 256, 512), 64
    by_hand = 343 * 64 + 2 * 64
    for width in widths:
        by_hand += 27 * before * width + 27 * width * width + 4 * width
        if width != before:
            by_hand += before * width + 2 * width
        before = width
    assert parameter_count(network) == by_hand + 513 * 128 + 129 * 3


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_every_stage_answers_on_its_input_grid(recipe):
    for _, stage in tiny(recipe, patch=64).stages:
        side = max(32, *divisor(stage)) * 2
        shape = (side, side) if stage.geometry.slice_wise else (side, side, side)
        with torch.inference_mode():
            output = build_network(stage)(torch.zeros(1, stage.input_channels, *shape))
        assert output.shape == ((1, 3) if stage.classes else (1, stage.output_channels, *shape))


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    stage = tiny(recipe_named("starter")).segment
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (state_of(build_network(stage, seed=seed)) for seed in (1, 1, 2))
    assert torch.rand(1) == expected
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_state_of_a_dyn_unet_holds_each_tensor_once_and_loads_back():
    stage = tiny(recipe_named("zang2021"), patch=64).segment
    one, other = build_network(stage, seed=1), build_network(stage, seed=2)
    state = state_of(one)
    assert sum(t.numel() for t in state.values()) == parameter_count(one)
    load_state(other, state)
    image = torch.rand(1, 1, 64, 64, 64)
    with torch.inference_mode():
        assert torch.equal(one(image), other(image))


def test_tensors_of_another_network_are_refused():
    recipe = tiny(recipe_named("starter"))
    with pytest.raises(ValueError, match="another network"):
        load_state(build_network(recipe.segment), state_of(build_network(recipe.localize)))


def test_a_dilated_resnet_keeps_its_resolution_and_its_weights_fit_the_strided_one():
    stage = tiny(recipe_named("zhao2023")).classify
    dilated = replace(stage, network=replace(stage.network, dilated=True))
    networks = build_network(stage), build_network(dilated)
    load_state(networks[1], state_of(networks[0]))
    shapes = []
    for network in networks:
        network.get_submodule("0.layer4").register_forward_hook(lambda m, i, out: shapes.append(out.shape[2:]))
        with torch.inference_mode():
            network(torch.zeros(1, 1, 64, 64, 64))
    # 64 voxels, halved by the stem and its pooling, then three times or once more
    assert shapes == [(2, 2, 2), (8, 8, 8)]
