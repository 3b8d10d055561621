"""Fusion of three planes: each network sees slices of its own plane, and what only one of them can tell is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from renalct.cascade import Cascade
from renalct.core.errors import RecipeError
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume
from renalct.learning.stage_validation import stage_validator
from renalct.models.cases import Origin
from renalct.models.inference import localize, probabilities
from renalct.models.lineage import RunSettings
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.plane_slices import sliced, sliced_axes
from renalct.models.prepare import field_grid
from renalct.models.prepared_cases import Prepared
from renalct.models.recipe import Activation, Geometry, Intensity, Masking, Recipe, Target
from renalct.models.recipes import recipe_named
from renalct.models.run_plan import RunPlan, RunWatch
from renalct.models.samples import Sampler
from renalct.models.segmenting import Segmenter, segment
from renalct.models.trained import trained_release
from renalct.models.training import train
from renalct.models.training_settings import Augmentation, Sampling
from renalct.pictures.planes import View
from shapes import ellipsoid, grid_of
from test_inference import BrightIs
from test_samples import file_of, made_case
from torch import nn

THREE = recipe_named("beheshtifard2023_three_planes")
PLANES = tuple(View)
TWO_LEVELS = NetworkSpec(Architecture.UNET, channels=(2, 4), strides=((2, 2, 1),))


def stage_of(spacing=(1.0, 1.0, 1.0), *, members=3, **changes):
    """A stage that looks for tumors in three planes; its slices are padded to even sizes."""
    geometry = Geometry(spacing_mm=spacing, slice_wise=True, planes=PLANES, neighbors=changes.pop("neighbors", 0))
    window = Intensity(low_hu=-100.0, high_hu=300.0)
    plain = replace(THREE.segment, geometry=geometry, intensity=window, network=TWO_LEVELS, masking=Masking.NONE)
    return replace(plain, members=members, margin_mm=4.0, **changes)


class Long(nn.Module):
    """Sure of what is bright over more than five pixels of the slice's second axis, and that all else is nothing."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        bright = (image[:, :1] > 0).float()
        run = nn.functional.avg_pool2d(bright, (1, 7), stride=1, padding=(0, 3)) * 7
        long = nn.functional.max_pool2d((run > 5.5).float(), (1, 7), stride=1, padding=(0, 3))
        return 20.0 * bright * long - 10.0


class Undecided(nn.Module):
    """Says one half everywhere, as a network whose weights are all zero."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(image.shape))
        return torch.zeros_like(image[:, :1])


def test_slices_of_each_plane_share_the_memory_of_the_volume():
    array = np.arange(24).reshape(1, 2, 3, 4)
    assert [sliced(array, view).shape for view in View] == [(1, 2, 3, 4), (1, 2, 4, 3), (1, 3, 4, 2)]
    assert np.array_equal(sliced(array, View.CORONAL)[..., 1], array[:, :, 1])
    assert np.array_equal(sliced(array, View.SAGITTAL)[..., 1], array[:, 1])
    assert all(np.shares_memory(sliced(array, view), array) for view in View)
    assert [sliced_axes("xyz", view) for view in View] == [("x", "y", "z"), ("x", "z", "y"), ("y", "z", "x")]


def test_what_only_the_coronal_plane_shows_is_decided_by_it():
    """A rod along the patient and a small cube have the same axial section; only across the slices is one long."""
    hu = np.full((24, 24, 24), -50, np.int16)
    hu[4:7, 4:7, 6:18] = 200
    hu[14:17, 14:17, 10:13] = 200
    volume, box = CTVolume(hu, grid_of(hu.shape)), Box((6, 6, 6), (16, 16, 18))
    axial, coronal = [Long(), Undecided(), Undecided()], [Undecided(), Long(), Undecided()]
    assert not segment(volume, [box], [Segmenter(stage_of(), axial)]).any()
    found = segment(volume, [box], [Segmenter(stage_of(), coronal)])
    rod = np.zeros_like(hu, bool)
    rod[4:7, 4:7, 6:18] = True
    assert np.array_equal(found == Structure.TUMOR, rod)


def test_with_weights_of_zero_elsewhere_the_axial_network_decides_alone():
    grid = grid_of((30, 30, 12), (2.0, 2.0, 4.0))
    inside = ellipsoid(grid, (30, 30, 24), (18, 14, 15))
    volume = CTVolume(np.where(inside, 200, -50).astype(np.int16), grid)
    three, box = stage_of((2.0, 2.0, 2.0)), Box.around(inside)
    alone = replace(three, members=1, geometry=replace(three.geometry, planes=(View.AXIAL,)))
    fused = segment(volume, [box], [Segmenter(three, [BrightIs(1, 0), Undecided(), Undecided()])])
    assert fused.any() and np.array_equal(fused, segment(volume, [box], [Segmenter(alone, [BrightIs(1, 0)])]))


@pytest.mark.parametrize("mirror_averaged", [False, True])
def test_a_pointwise_network_says_the_same_in_every_plane(mirror_averaged):
    array = np.random.default_rng(0).normal(size=(1, 9, 11, 13)).astype(np.float32)
    three = stage_of(mirror_averaged=mirror_averaged)
    alone = replace(three, members=1, geometry=replace(three.geometry, planes=(View.AXIAL,)))
    expected = probabilities(array, alone, [BrightIs(1, 0)])
    assert np.allclose(probabilities(array, three, [BrightIs(1, 0)] * 3), expected, atol=1e-6)


def test_mirror_images_exchange_left_and_right_in_every_plane():
    class FirstHalf(nn.Module):
        """Sure where the slice's first axis begins."""

        def forward(self, image):
            logits = torch.full_like(image[:, :1], -20.0)
            logits[:, :, : image.shape[2] // 2] = 20.0
            return logits

    array = np.zeros((1, 8, 6, 4), np.float32)
    coronal = stage_of(members=3, mirror_averaged=True).seen_by(1)
    assert np.allclose(probabilities(array, coronal, [FirstHalf()]), 0.5)
    sagittal = stage_of(members=3, mirror_averaged=True).seen_by(2)  # there the first axis runs from back to front
    found = probabilities(array, sagittal, [FirstHalf()])
    assert np.allclose(found[0, :, :3], 1.0) and np.allclose(found[0, :, 3:], 0.0)


def test_thick_slices_become_one_fine_grid_that_each_plane_slices():
    grid = grid_of((40, 36, 8), (1.0, 1.0, 6.0))
    inside = ellipsoid(grid, (20, 18, 24), (12, 10, 15))
    volume = CTVolume(np.where(inside, 200, -50).astype(np.int16), grid)
    stage, seen = stage_of((2.0, 2.0, 2.0)), Undecided()
    assert field_grid(grid, Box.whole(grid.shape), stage).shape == (20, 18, 24)
    whole = replace(stage, targets=(Target.KIDNEY_AND_MASS,))
    located = localize(volume, whole, [BrightIs(1, 0), seen, BrightIs(1, 0)])
    assert {shape[2:] for shape in seen.seen} == {(20, 24)} and sum(shape[0] for shape in seen.seen) == 18
    mask = located.mask_on(grid, Box.whole(grid.shape)).voxels
    assert 2 * np.count_nonzero(mask & inside) / (mask.sum() + inside.sum()) > 0.9  # slices of 6 mm, cut at 2 mm


def test_neighbors_are_those_of_the_plane_and_mirror_images_beyond_its_ends():
    class Difference(nn.Module):
        """What lies behind the slice less what lies before it."""

        def forward(self, image):
            return image[:, 2:] - image[:, :1]

    depth = np.arange(5.0, dtype=np.float32) ** 2 / 4
    array = np.broadcast_to(depth[None, None, :, None], (1, 3, 5, 4)).copy()
    coronal = stage_of(neighbors=1).seen_by(1)
    found = probabilities(array, coronal, [Difference()])
    logits = np.log(found / (1 - found))[0, 0, :, 0]
    assert np.allclose(logits, [0.0, 1.0, 2.0, 3.0, 0.0], atol=1e-3)  # ((k + 1)^2 - (k - 1)^2) / 4


def prepared(shape=(6, 5, 4)) -> Prepared:
    image = np.arange(np.prod(shape), dtype=np.float16).reshape(1, *shape)
    labels = np.zeros(shape, np.uint8)
    labels[1, 2, 3] = Structure.TUMOR
    return Prepared(Origin.SLAB, image, labels, (np.zeros((0, 3), np.int16), np.array([[1, 2, 3]], np.int16)))


def drawing(shape, **changes):
    training = replace(
        THREE.segment.training, patch=shape, batch=4, augmentation=Augmentation(probability=0.0), **changes
    )
    return replace(THREE.segment, training=training, geometry=replace(THREE.segment.geometry, spacing_mm=(2.0,) * 3))


@pytest.mark.parametrize(("member", "count", "shape"), [(0, 4, (6, 5)), (1, 5, (6, 4)), (2, 6, (5, 4))])
def test_samples_are_whole_slices_of_the_members_plane_each_once_per_epoch(member, count, shape):
    case = prepared()
    stage = drawing((*shape, 1), sampling=Sampling.IN_TURN).seen_by(member)
    sampler = Sampler(stage, (case,))
    assert sampler.samples_per_epoch == count
    images = torch.cat([sampler.batch(step)[0] for step in range(count)])[:count]
    slices = sliced(case.image, PLANES[member])[0]
    drawn = []
    for image in images[:, 0].numpy():
        (k,) = {int(np.argwhere(slices == value)[0, 2]) for value in np.unique(image) if value > 0}
        drawn.append(k)  # every voxel of the sample is of that one slice, or beyond the image
        assert image.shape == shape
    assert sorted(drawn) == list(range(count))


def test_samples_placed_on_masses_are_found_in_the_turned_case():
    stage = drawing((1, 1, 1), sampling=Sampling.AT_RANDOM, foreground_share=1.0).seen_by(2)
    _, targets = Sampler(stage, (prepared(),)).batch(0)
    assert targets.mean() > 0.5  # but for the offset of up to a third of a patch, which is less than a voxel


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Geometry(slice_wise=True, planes=PLANES), "need a slice-wise stage with a spacing_mm"),
        (lambda: Geometry(spacing_mm=(2.0, 2.0, 2.0), planes=PLANES), "need a slice-wise stage"),
        (lambda: Geometry(slice_wise=True, planes=()), "at least one"),
        (lambda: Geometry(slice_wise=True, planes=(View.AXIAL, View.AXIAL)), "at most once"),
        (lambda: replace(THREE.segment, members=2), "members is 2; a stage of 3 planes needs a multiple of 3"),
    ],
)
def test_planes_that_cannot_work_are_refused(build, message):
    with pytest.raises(RecipeError, match=message):
        build()


def narrow() -> Recipe:
    """The recipe with narrow networks on a coarse grid."""

    def change(_, stage):
        geometry = replace(stage.geometry, spacing_mm=(8.0, 8.0, 8.0))
        training = replace(stage.training, patch=(16, 16, 1), batch=2)
        return replace(stage, network=TWO_LEVELS, geometry=geometry, training=training)

    return replace(THREE, name="narrow", split_shares=()).with_stages(change)


def in_a_body(case):
    """The case with muscle where it had fat, and fat on one side: fat alone is no CT of a body."""
    hu = np.where(case.volume.hu < -20, 50, case.volume.hu)
    hu[:10] = -90
    return replace(case, volume=CTVolume(hu.astype(np.int16), case.volume.grid))


def test_a_run_trains_and_validates_a_network_per_plane_and_its_release_predicts(tmp_path):
    files = tuple(file_of(in_a_body(made_case(name))) for name in "abcde")
    recipe = narrow()
    train(
        recipe,
        files,
        tmp_path,
        plan=RunPlan(RunSettings(phantoms=0), steps=2),
        watch=RunWatch(validator=stage_validator()),
    )
    release = trained_release(tmp_path, version="1")
    assert [len(weights) for _, weights in release.weights] == [3, 3]
    (case,) = files[0].load()
    result = Cascade(release).run(case.volume)
    assert result.label_map.grid.same_as(case.volume.grid)
    history = (tmp_path / "segment_2" / "history.jsonl").read_text()
    assert "mass Dice" in history


def test_the_recipe_has_a_network_for_each_plane_on_one_isotropic_grid():
    for stage in (THREE.localize, THREE.segment):
        assert stage.geometry.planes == PLANES and stage.members == 3 and len(set(stage.geometry.spacing_mm)) == 1
        assert stage.activation is Activation.SIGMOID
    assert recipe_named("beheshtifard2023").segment.geometry.planes == (View.AXIAL,)
