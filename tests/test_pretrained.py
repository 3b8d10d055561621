"""Weights to start from: names of MedicalNet and ImageNet files, colours, and files that do not fit."""

import pickle

import pytest
import torch
from renalct.core.errors import InputError, RecipeError
from renalct.models.networks import build_network, state_of
from renalct.models.pretrained import read_weights, starting_weights
from renalct.models.recipes import recipe_named
from tiny_recipes import tiny

CLASSIFY = tiny(recipe_named("zhao2023_medicalnet")).classify
ENCODER = recipe_named("beheshtifard2023").localize


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
