"""Weights to start from: names of MedicalNet and ImageNet files, colours, and files that do not fit."""

import pickle
import re
from dataclasses import replace

import pytest
import torch
from monai.networks.blocks.activation import MemoryEfficientSwish
from renalct.core.errors import InputError, RecipeError
from renalct.models.efficientnet_lite import EfficientNetLite0
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.networks import build_network, load_state, parameter_count, state_of
from renalct.models.pretrained import read_weights, starting_weights
from renalct.models.recipes import recipe_named
from tiny_recipes import tiny

CLASSIFY = tiny(recipe_named("zhao2023_medicalnet")).classify
ENCODER = recipe_named("beheshtifard2023").localize
LITE = replace(
    recipe_named("starter").segment, network=NetworkSpec(Architecture.FLEXIBLE_UNET, encoder="efficientnet-lite0")
)


def medicalnet():
    """As in `resnet_10_23dataset.pth`: names of a network in parallel, no counters of batches, no last layers."""
    state = state_of(build_network(CLASSIFY, seed=7))
    backbone = {k.removeprefix("0."): v for k, v in state.items() if k.startswith("0.") and not k.startswith("0.fc")}
    return {f"module.{k}": v for k, v in backbone.items() if "num_batches" not in k}


def test_the_backbone_is_as_in_the_file_and_the_rest_is_drawn(tmp_path):
    path = tmp_path / "resnet_10.pth"
    torch.save({"state_dict": medicalnet()}, path)
    found = starting_weights(CLASSIFY, read_weights(path), seed=3, source=path.name)
    given, drawn = (state_of(build_network(CLASSIFY, seed=seed)) for seed in (7, 3))
    assert torch.equal(found["0.layer4.0.conv1.weight"], given["0.layer4.0.conv1.weight"])
    assert torch.equal(found["0.fc.weight"], drawn["0.fc.weight"]) and torch.equal(found["3.weight"], drawn["3.weight"])
    assert not torch.equal(found["0.conv1.weight"], drawn["0.conv1.weight"])


def test_colours_are_summed_into_the_one_channel_of_ct():
    """ImageNet's first convolution sees three colours; grey in all three is what one summed filter sees."""
    state = state_of(build_network(ENCODER, seed=1))
    given = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    given["conv1.weight"] = torch.randn(64, 3, 7, 7)
    given["fc.weight"] = torch.randn(1000, 512)
    found = starting_weights(ENCODER, given, seed=2, source="resnet34.pth")
    assert torch.allclose(found["encoder.conv1.weight"][:, 0], given["conv1.weight"].sum(1))
    assert torch.equal(found["encoder.layer3.5.conv2.weight"], given["layer3.5.conv2.weight"])


def efficientnet_lite0():
    """As published: blocks numbered from 0 to 15 without stacks, and the last layers, which no encoder has."""
    network = EfficientNetLite0(in_channels=3, spatial_dims=2, pretrained=False)
    with torch.no_grad():
        for tensor in state_of(network).values():
            tensor.copy_(torch.rand_like(tensor.float()) + 0.5)
    flat = {re.sub(r"^_blocks\.\d+\.", "_blocks.", name): tensor for name, tensor in state_of(network).items()}
    return network.eval(), flat | {"_conv_head.weight": torch.zeros(1280, 320, 1, 1), "_fc.bias": torch.zeros(1000)}


def test_the_flat_block_numbers_of_a_published_efficientnet_find_their_places():
    network, given = efficientnet_lite0()
    assert "_blocks.15._depthwise_conv.weight" in given
    found = starting_weights(LITE, given, seed=2, source="efficientnet-lite0.pth")
    own = build_network(LITE)
    load_state(own, found)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(own.encoder(image), network(image), strict=True))


def test_efficientnet_lite0_has_its_published_size_and_halves_five_times():
    """4,652,008 parameters (tensorflow/tpu); the last convolution, its norm and the 1000 classes are left out."""
    network, _ = efficientnet_lite0()
    assert parameter_count(network) == 4_652_008 - (320 * 1280 + 2 * 1280) - 1281 * 1000
    with torch.inference_mode():
        shapes = [tuple(feature.shape) for feature in network(torch.zeros(1, 3, 64, 96))]
    assert shapes == [(1, 16, 32, 48), (1, 24, 16, 24), (1, 40, 8, 12), (1, 112, 4, 6), (1, 320, 2, 3)]
    assert not any(isinstance(module, MemoryEfficientSwish) for module in network.modules())


def test_weights_of_another_network_are_refused_with_what_is_missing():
    given = medicalnet()
    del given["module.layer2.0.conv1.weight"]
    with pytest.raises(RecipeError, match=r"does not fit the ResNet .* 1 tensors .*0\.layer2\.0\.conv1\.weight"):
        starting_weights(CLASSIFY, given, seed=0, source="other.pth")
    with pytest.raises(RecipeError, match="does not fit the FlexibleUNet"):
        starting_weights(ENCODER, given, seed=0, source="other.pth")


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_a_file_that_would_execute_code_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pth"
    with path.open("wb") as file:
        pickle.dump(Evil(), file, protocol=2)
    with pytest.raises(InputError, match="no weights that can be read safely"):
        read_weights(path)
    assert capsys.readouterr().out == ""


def test_no_file_and_no_tensors_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_weights(tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    with pytest.raises(InputError, match="something else than named tensors"):
        read_weights(tmp_path / "epoch.pth")
