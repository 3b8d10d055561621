"""Inference with networks whose answers are known: thresholds, members, slices, and the way back."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from renalct.core.errors import RecipeError
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume
from renalct.imaging.resample import resample
from renalct.models.inference import Located, classify_masses, localize, probabilities
from renalct.models.plane_slices import stacked
from renalct.models.prepare import field_grid, grown_mm, measure_scale, prepare, prepare_slab
from renalct.models.recipe import Activation, Geometry, Intensity, Masking, Recipe, Target
from renalct.models.recipes import recipe_named
from renalct.models.release import random_release
from renalct.models.segmenting import Segmenter, decide, segment
from renalct.models.values import from_json, to_json
from shapes import ellipsoid, grid_of, mask_of
from tiny_recipes import tiny
from torch import nn

STARTER = recipe_named("starter")
WINDOW = Intensity(low_hu=-100.0, high_hu=300.0)
BRIGHT_HU = 100.0  # becomes 0 after the window


class BrightIs(nn.Module):
    """Says `channel` where the input is above 0, else channel 0 (or, for sigmoid outputs, nothing)."""

    def __init__(self, channels: int, channel: int, strength: float = 10.0) -> None:
        super().__init__()
        self.channels, self.channel, self.strength = channels, channel, strength

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        bright = (image[:, :1] > 0).float()
        logits = torch.full((len(image), self.channels, *image.shape[2:]), -self.strength)
        if self.channel > 0:
            logits[:, :1] = self.strength * (1 - 2 * bright)
        logits[:, self.channel : self.channel + 1] = self.strength * (2 * bright - 1)
        return logits


def sphere(spacing=(2.0, 2.0, 4.0), radius=20.0, shape=(50, 50, 25)):
    grid = grid_of(shape, spacing)
    inside = ellipsoid(grid, (50, 50, 50), (radius,) * 3)
    return CTVolume(np.where(inside, 200, -50).astype(np.int16), grid), inside


def segmenting(**changes):
    base = replace(STARTER.segment, intensity=WINDOW, geometry=Geometry(spacing_mm=(1.5, 1.5, 3.0)), margin_mm=8.0)
    base = replace(base, near_located_mm=None, mirror_averaged=False)
    return replace(base, **changes)


def test_what_a_network_sees_as_tumor_comes_back_on_the_reference_grid():
    volume, inside = sphere()
    found = segment(volume, [Box.around(inside)], [Segmenter(segmenting(), [BrightIs(4, 2)])])
    assert found.dtype == np.uint8 and found.shape == volume.grid.shape
    assert set(np.unique(found)) == {0, Structure.TUMOR}
    both = np.count_nonzero((found > 0) & inside)
    assert (
        2 * both / (np.count_nonzero(found) + np.count_nonzero(inside)) > 0.95
    )  # of a sphere of 20 mm at 2 x 2 x 4 mm


def test_nothing_is_painted_outside_the_boxes_and_their_margin():
    volume, _ = sphere()
    box = Box((10, 10, 5), (20, 20, 10))
    found = segment(volume, [box], [Segmenter(segmenting(), [BrightIs(4, 1)])])
    outside = found.copy()
    outside[box.grown((4, 4, 2), volume.grid.shape).slices] = 0
    assert found.any() and not outside.any()


def test_no_box_gives_an_empty_label_map():
    volume, _ = sphere()
    assert not segment(volume, [], [Segmenter(segmenting(), [BrightIs(4, 1)])]).any()


def test_a_stage_that_finds_masses_alone_takes_the_kidneys_from_the_locator():
    volume, inside = sphere()
    located = Located(volume.grid, (inside * 255).astype(np.uint8))
    masses = segmenting(targets=(Target.MASS,), activation=Activation.SIGMOID)
    nothing = BrightIs(1, 0, strength=-10.0)  # dark is mass
    found = segment(volume, [Box.around(inside)], [Segmenter(masses, [BrightIs(1, 0)])], located=located)
    assert np.count_nonzero(found[inside] == Structure.TUMOR) > 0.9 * np.count_nonzero(inside)
    found = segment(volume, [Box.around(inside)], [Segmenter(masses, [nothing])], located=located)
    assert np.count_nonzero(found[inside] == Structure.KIDNEY) > 0.9 * np.count_nonzero(inside)


def test_members_are_averaged_before_the_decision():
    volume, inside = sphere()
    sure, unsure = BrightIs(4, 3, strength=10.0), BrightIs(4, 2, strength=0.5)
    found = segment(volume, [Box.around(inside)], [Segmenter(segmenting(members=2), [sure, unsure])])
    assert set(np.unique(found)) == {0, Structure.CYST}


def test_two_segmenters_are_averaged_on_the_reference_grid_whatever_each_one_sees():
    """One is sure of cyst on voxels of 1.5 mm, the other hardly of tumor on voxels of 3 mm, a third sees nothing."""
    volume, inside = sphere()
    box = Box.around(inside)
    coarse = segmenting(geometry=Geometry(spacing_mm=(3.0, 3.0, 4.0)))
    sure, unsure = Segmenter(segmenting(), [BrightIs(4, 3)]), Segmenter(coarse, [BrightIs(4, 2, strength=0.5)])
    for pair in ([sure, unsure], [unsure, sure]):
        assert set(np.unique(segment(volume, [box], pair))) == {0, Structure.CYST}
    blind = replace(coarse, intensity=Intensity(low_hu=1000.0, high_hu=2000.0))
    told = []
    segment(
        volume,
        [box],
        [sure, Segmenter(blind, [BrightIs(4, 3)])],
        tell_mass=lambda _, scores: told.append(scores),
    )
    centre = tuple(n // 2 for n in told[0].shape)
    assert told[0][centre] == 128  # the mean of 255 and 0


def test_a_second_segmenter_must_answer_the_same_question():
    other = replace(STARTER.segment, geometry=replace(STARTER.segment.geometry, spacing_mm=(0.8, 0.8, 3.0)))
    two = replace(STARTER, segment_too=other)
    assert [name for name, _ in two.stages] == ["localize", "segment", "segment_too", "classify"]
    assert [stage for _, stage in two.segmenting] == [STARTER.segment, other]
    assert from_json(Recipe, to_json(two)) == two
    for wrong in (
        replace(other, targets=(Target.KIDNEY, Target.MASS)),
        replace(other, margin_mm=1.0),
        replace(other, activation=Activation.SIGMOID),
        replace(other, geometry=replace(other.geometry, nearest_back=True)),
        replace(other, geometry=Geometry(slice_wise=True, neighbors=1)),
    ):
        with pytest.raises(RecipeError, match="nothing else may differ"):
            replace(STARTER, segment_too=wrong)


def test_an_image_and_its_mirror_image_are_averaged_when_asked():
    class Sides(torch.nn.Module):
        """Sure of a tumor in the first half along x, of nothing in the second."""

        def forward(self, x):
            logits = torch.zeros(len(x), 4, *x.shape[2:])
            half = x.shape[2] // 2
            logits[:, 2, :half], logits[:, 0, half:] = 9.0, 9.0
            return logits

    array = np.zeros((1, 8, 4, 4), np.float32)
    one_sided = probabilities(array, segmenting(), [Sides()])
    both = probabilities(array, segmenting(mirror_averaged=True), [Sides()])
    assert one_sided[2, 0].min() > 0.9 and one_sided[2, -1].max() < 0.1
    assert np.allclose(both[2], one_sided[2].mean(), atol=1e-5)


def test_the_locator_scores_0_to_255_on_its_own_grid_and_its_mask_comes_back():
    volume, inside = sphere()
    stage = replace(STARTER.localize, intensity=WINDOW, geometry=Geometry(spacing_mm=(3.0, 3.0, 3.0)))
    told = []
    located = localize(volume, stage, [BrightIs(2, 1)], progress=told.append)
    assert located.scores.dtype == np.uint8 and located.grid.spacing_mm == (3.0, 3.0, 3.0) and told == [1.0]
    mask = located.mask_on(volume.grid, Box.whole(volume.grid.shape)).voxels
    assert 2 * np.count_nonzero(mask & inside) / (np.count_nonzero(mask) + np.count_nonzero(inside)) > 0.9


def test_sliding_a_patch_gives_what_one_pass_gives_for_a_pointwise_network():
    volume, inside = sphere()
    box = Box.around(inside)
    slid = segmenting(geometry=Geometry(spacing_mm=(1.5, 1.5, 3.0), patch=(16, 16, 8), overlap=0.25))
    assert np.array_equal(
        segment(volume, [box], [Segmenter(slid, [BrightIs(4, 1)])]),
        segment(volume, [box], [Segmenter(segmenting(), [BrightIs(4, 1)])]),
    )


def test_slices_together_give_what_each_slice_gives_alone():
    stage = recipe_named("beheshtifard2023").localize
    release = random_release(recipe_named("beheshtifard2023"))
    network = release.networks("localize")
    hu = np.random.default_rng(0).normal(60, 60, (40, 33, 3)).astype(np.int16)
    volume = CTVolume(hu, grid_of(hu.shape, (1.0, 1.0, 5.0)))
    together = probabilities(prepare(volume, volume.grid, stage), stage, network)
    for k in range(3):
        one = volume.cropped(Box((0, 0, k), (40, 33, k + 1)))
        alone = probabilities(prepare(one, one.grid, stage), stage, network)
        assert np.allclose(together[..., k : k + 1], alone, atol=1e-5)


def test_a_stage_that_hides_all_but_the_kidneys_sees_only_them():
    volume, inside = sphere()
    half = inside.copy()
    half[25:] = False
    located = Located(volume.grid, (half * 255).astype(np.uint8))
    stage = replace(
        recipe_named("beheshtifard2023").segment, geometry=Geometry(slice_wise=True), intensity=WINDOW, margin_mm=4.0
    )
    assert stage.masking is Masking.KIDNEY
    found = segment(
        volume, [Box.around(inside)], [Segmenter(replace(stage, network=PADLESS), [BrightIs(1, 0)])], located=located
    )
    assert np.array_equal(found == Structure.TUMOR, half)


PADLESS = tiny(STARTER).segment.network


def test_a_softmax_takes_the_largest_and_a_sigmoid_the_last_above_one_half():
    scores = np.zeros((4, 3, 1, 1), np.float32)
    scores[:, 0, 0, 0] = (0.4, 0.3, 0.2, 0.1)
    scores[:, 1, 0, 0] = (0.1, 0.2, 0.3, 0.4)
    scores[:, 2, 0, 0] = (0.1, 0.4, 0.3, 0.2)
    alike = replace(STARTER.segment, mass_weight=1.0)
    assert decide(scores, alike).ravel().tolist() == [0, Structure.CYST, Structure.KIDNEY]
    favored = replace(alike, mass_weight=1.5)  # 0.4 against 1.5 x 0.2, 1.5 x 0.4 and 1.5 x 0.3
    assert decide(scores, favored).ravel().tolist() == [0, Structure.CYST, Structure.TUMOR]
    sigmoid = replace(STARTER.segment, targets=(Target.KIDNEY_AND_MASS, Target.MASS), activation=Activation.SIGMOID)
    scores = np.asarray([[0.9, 0.9, 0.2], [0.4, 0.6, 0.6]], np.float32).reshape(2, 3, 1, 1)
    assert decide(scores, sigmoid).ravel().tolist() == [Structure.KIDNEY, Structure.TUMOR, Structure.TUMOR]


def test_each_mass_gets_probabilities_that_sum_to_one_whatever_else_is_asked():
    volume, inside = sphere()
    release = random_release(tiny(STARTER))
    stage, networks = release.recipe.classify, release.networks("classify")
    other = mask_of(ellipsoid(volume.grid, (30, 60, 40), (6, 9, 8)))
    masks = [mask_of(inside), other] * 5
    found = classify_masses(volume, masks, stage, networks)
    assert found.shape == (10, 3) and found.sum(axis=1) == pytest.approx(np.ones(10))
    assert np.allclose(found[1], classify_masses(volume, [other], stage, networks)[0], atol=1e-5)
    assert classify_masses(volume, [], stage, networks).shape == (0, 3)


def test_a_slice_is_stacked_with_its_neighbors_in_order():
    array = torch.arange(5.0).reshape(1, 1, 1, 5).expand(1, 2, 3, 5)
    found = stacked(array, 1)
    assert found.shape == (3, 3, 2, 3)
    assert found[:, :, 0, 0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_slabs_of_slices_give_what_all_slices_at_once_give():
    volume, inside = sphere()
    release = random_release(tiny(STARTER))
    stage, networks = release.recipe.segment, release.networks("segment")
    box = Box.around(inside)
    whole = segment(volume, [box], [Segmenter(stage, networks)])
    grid = field_grid(volume.grid, box, stage)
    scale = measure_scale(volume, stage.intensity)
    all_slices = prepare_slab(volume, grid, Box.whole(grid.shape), stage)
    scores = probabilities(all_slices, stage, networks, fill=scale.fill)
    assert scores.shape == (4, *grid.shape) and grid.shape[2] > 8
    outer = grown_mm(box, volume.grid, stage.margin_mm)
    expected = decide(resample(scores, grid, volume.grid.cropped(outer)), stage)
    assert np.mean(whole[outer.slices] == expected) > 0.9999  # but for rounding where two scores are equal


class Watched(BrightIs):
    """Remembers how large the fields were that it was shown."""

    def __init__(self) -> None:
        super().__init__(2, 1)
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(image.shape[2:]))
        return super().forward(image)


def test_the_locator_does_not_look_at_air_beside_the_patient():
    volume, inside = sphere()
    sparse = CTVolume(np.where(inside, volume.hu, -1000).astype(np.int16), volume.grid)
    geometry = Geometry(spacing_mm=(4.0, 4.0, 4.0), patch=(4, 4, 1), overlap=0.0, slice_wise=True)
    stage, network = replace(STARTER.localize, intensity=WINDOW, geometry=geometry), Watched()
    located = localize(sparse, stage, [network])
    everywhere = localize(sparse, replace(stage, geometry=replace(geometry, patch=None)), [BrightIs(2, 1)])
    assert np.array_equal(located.mask, everywhere.mask) and located.mask.any()
    nothing = Watched()
    air = CTVolume(np.full(volume.grid.shape, -1000, np.int16), volume.grid)
    assert not localize(air, stage, [nothing]).mask.any() and not nothing.seen


def test_near_is_everything_within_a_distance_in_mm():
    scores = np.zeros((20, 20, 20), np.uint8)
    scores[10, 10, 10] = 255
    near = Located(grid_of((20, 20, 20), (2.0, 2.0, 3.0)), scores).near(6.0)
    assert near.mask[7:14, 10, 10].all() and near.mask[10, 10, 8:13].all()
    assert not near.mask[6, 10, 10] and not near.mask[10, 10, 7] and not near.mask[8, 8, 8]
    assert not Located(near.grid, np.zeros_like(scores)).near(6.0).mask.any()


def test_what_is_far_from_what_the_locator_saw_is_dropped():
    volume, inside = sphere()
    half = inside.copy()
    half[25:] = False
    located = Located(volume.grid, (half * 255).astype(np.uint8))
    box, network = Box.around(inside), [BrightIs(4, 2)]
    everything = segment(volume, [box], [Segmenter(segmenting(), network)], located=located) > 0
    close = segment(volume, [box], [Segmenter(segmenting(near_located_mm=6.0), network)], located=located) > 0
    assert np.array_equal(close[:27], everything[:27]) and close[27].any() and everything[29].any()
    assert not close[29:].any()
