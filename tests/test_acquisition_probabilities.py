from dataclasses import replace

import numpy as np
import pytest
import torch
from renalct.cascade import Cascade
from renalct.core.errors import InputError, RecipeError
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.learning.acquisition.dropout import BOTTLENECK_DROPOUT, bottleneck, deepest, dropout_layers, dropping
from renalct.learning.acquisition.probabilities import Answers, Way, exclusive, region_probabilities
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.networks import build_network
from renalct.models.recipe import Activation, Field, Geometry
from renalct.models.release import random_release
from renalct.pictures.planes import View
from scripted_networks import (
    LEFT,
    RIGHT,
    TUMOR_AT,
    LeftOfImage,
    labels_of_two_kidneys,
    no_kidneys,
    plain_network,
    recipe,
    scripted,
    two_kidneys,
)
from torch import nn

UNET = NetworkSpec(Architecture.UNET, channels=(4, 8, 8), strides=((2, 2, 2),) * 2, dropout=0.3)


def regions(cascade, way=Way.PLAIN, volume=None, **changes):
    return list(region_probabilities(volume or two_kidneys(), cascade, answers=Answers(way, **changes)))


def test_each_kidney_is_a_region_of_its_own_and_never_the_whole_volume():
    found = regions(scripted())
    assert len(found) == 2
    for region, kidney in zip(sorted(found, key=lambda r: r.box.start), (RIGHT, LEFT), strict=True):
        assert region.box.slices[0].start <= kidney[0].start and region.box.slices[0].stop >= kidney[0].stop
        assert region.mean.shape == (4, *region.grid.shape)
        assert region.mean[0].size < two_kidneys().hu.size / 2


def test_the_plain_answer_decides_as_the_cascade_does():
    volume, cascade = two_kidneys(), scripted()
    segmented = cascade.segment(volume, cascade.localize(volume)).values
    for region in regions(cascade):
        assert np.array_equal(region.decided, segmented[region.box.slices])
        assert np.array_equal(region.votes, region.decided[None])
        assert region.mean.sum(axis=0) == pytest.approx(1.0, abs=1e-5)


def test_the_neighborhood_reaches_10_mm_around_the_kidney_and_not_to_the_corner_of_the_region():
    region = next(r for r in regions(scripted()) if r.box.start[0] < 20)
    kidney = labels_of_two_kidneys().values[region.box.slices] > 0
    assert region.near[kidney].all()
    assert not region.near[0, 0, 0]  # the margin is 8 mm and more along each axis, so more than 10 mm in a corner


def test_no_kidney_gives_no_region():
    assert regions(scripted(), volume=no_kidneys()) == []


def test_a_network_that_answers_otherwise_on_the_left_disagrees_with_its_mirror_image():
    found = regions(scripted(LeftOfImage(plain_network())), Way.MEMBERS)
    region = next(r for r in found if r.box.start[0] < 20)
    assert len(region.votes) == 2
    tumor = Box(*([s.start for s in TUMOR_AT], [s.stop for s in TUMOR_AT])).inside(region.box).slices
    assert (region.votes[0][tumor] != region.votes[1][tumor]).all()
    assert region.mean[:2, *tumor].max() < 0.01 and region.mean[2:, *tumor] == pytest.approx(0.5, abs=0.01)
    assert region.expected_entropy[tumor].max() < 0.02  # each answer is sure, they differ


def test_every_member_answers_to_the_image_and_to_its_mirror_image():
    assert {len(r.votes) for r in regions(scripted(plain_network(), plain_network()), Way.MEMBERS)} == {4}


def test_members_of_other_planes_answer_in_their_own():
    planes = (View.AXIAL, View.CORONAL)
    geometry = Geometry(spacing_mm=(2.0, 2.0, 4.0), slice_wise=True, neighbors=1, planes=planes)
    cascade = scripted(_MiddleOf(), _MiddleOf(), recipe=recipe(geometry=geometry, members=2))
    volume = two_kidneys()
    segmented = cascade.segment(volume, cascade.localize(volume)).values
    for region in regions(cascade, Way.MEMBERS):
        assert len(region.votes) == 4
        assert np.array_equal(region.votes, np.stack([segmented[region.box.slices]] * 4))


class _MiddleOf(nn.Module):
    """The network by brightness for a slice among its neighbors."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return plain_network()(images[:, images.shape[1] // 2, None])


def test_dropout_differs_between_passes_repeats_with_the_seed_and_leaves_the_network_as_it_was():
    cascade = _random(UNET)
    before = [m.training for m in cascade.networks("segment")[0].modules()]
    state = torch.random.get_rng_state()
    one, again, other = (regions(cascade, Way.DROPOUT, passes=3, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(one.mean, again.mean) and not np.array_equal(one.mean, other.mean)
    entropy = -(one.mean * np.log(one.mean)).sum(axis=0)
    assert (entropy - one.expected_entropy).max() > 1e-4
    assert [m.training for m in cascade.networks("segment")[0].modules()] == before
    assert torch.equal(torch.random.get_rng_state(), state)


def test_only_dropout_layers_drop_and_norms_stay_as_they_are():
    network = build_network(recipe(network=UNET).segment)
    assert len(dropout_layers(network)) > 2
    with dropping(network):
        training = {type(module).__name__ for module in network.modules() if module.training}
    assert training == {"Dropout"}


@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec(Architecture.UNET, channels=(4, 8, 8), strides=((2, 2, 2),) * 2),
        NetworkSpec(Architecture.DYN_UNET, channels=(4, 8, 8), strides=((2, 2, 2),) * 2),
    ],
    ids=lambda spec: spec.architecture.value,
)
def test_without_dropout_layers_the_bottleneck_drops(spec):
    network = build_network(recipe(network=spec).segment)
    assert dropout_layers(network) == ()
    image, seen = torch.randn(1, 1, 16, 16, 16), []
    with torch.inference_mode():
        with deepest(network, seen.append):
            plain = network(image)
            with dropping(network):
                assert not torch.equal(network(image), plain)
        assert torch.equal(network(image), plain)
    assert [tuple(features.shape) for features in seen] == [(1, 8, 4, 4, 4)] * 2
    dropped = float((seen[1] == 0).float().mean() - (seen[0] == 0).float().mean())
    assert dropped == pytest.approx(BOTTLENECK_DROPOUT, abs=0.1) or dropped == 0  # a hook may come before the other


def test_a_network_whose_bottleneck_is_unknown_is_refused():
    with pytest.raises(RecipeError, match="deepest features of a ByBrightness"):
        regions(scripted(), Way.DROPOUT)
    with pytest.raises(RecipeError, match="choose another strategy"):
        bottleneck(nn.Linear(1, 1))


def test_one_pass_with_dropout_is_refused():
    with pytest.raises(InputError, match="2 or more"):
        Answers(Way.DROPOUT, passes=1)


def test_a_recipe_that_sees_the_whole_volume_is_asked_about_the_kidneys_only():
    own = replace(recipe(field=Field.WHOLE_VOLUME, margin_mm=0.0), localize=None)
    found = regions(scripted(plain_network(), recipe=own))
    assert len(found) == 2
    assert all(region.mean[0].size < two_kidneys().hu.size / 2 for region in found)
    assert {int(v) for region in found for v in np.unique(region.decided)} == {0, 1, 2, 3}


def test_sigmoid_channels_become_shares_in_the_order_in_which_they_are_painted():
    scores = np.asarray([[0.8], [0.5]], np.float32).reshape(2, 1, 1, 1)
    stage = recipe(activation=Activation.SIGMOID).segment
    # the tumor, painted last, has 0.5; of what is left the kidney has 0.8; the background has the rest
    assert exclusive(scores, stage).ravel().tolist() == pytest.approx([0.1, 0.4, 0.5])


def test_structures_name_the_channels():
    assert regions(scripted())[0].structures == (
        Structure.BACKGROUND,
        Structure.KIDNEY,
        Structure.TUMOR,
        Structure.CYST,
    )


def test_values_of_a_region_lie_on_the_images_own_voxels_again():
    volume = two_kidneys()
    region = regions(scripted(), volume=volume)[0]
    back = region.on_image(region.mean[1], volume.grid)
    assert back.shape == region.box.shape
    kidney = labels_of_two_kidneys().values[region.box.slices] == Structure.KIDNEY
    assert back[kidney].min() > 0.95


def _random(spec: NetworkSpec) -> Cascade:
    """Random weights behind a localizer by brightness."""
    own = recipe(network=spec)
    networks = random_release(own, seed=3).networks("segment")
    return scripted(*networks, recipe=own)
