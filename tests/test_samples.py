"""Samples: prepared as inference prepares, cut where the image ends, and the same for the same step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from renalct.core.errors import RecipeError
from renalct.core.grid import Box
from renalct.core.labels import MassClass
from renalct.core.volume import CTVolume, LabelMap
from renalct.models.cases import Case, CaseFile, LabelledMass, Origin
from renalct.models.inference import mass_input
from renalct.models.prepare import field_grid, prepare
from renalct.models.prepared_cases import Prepared, prepare_cases, read_prepared
from renalct.models.recipe import Activation, Geometry, Target
from renalct.models.recipes import recipe_named
from renalct.models.samples import Sampler, cut_patch, patch_shape, targets_of
from renalct.models.training_settings import Augmentation
from shapes import ellipsoid, grid_of, mask_of
from tiny_recipes import tiny

RECIPE = tiny(recipe_named("starter"))


def made_case(name="one", origin=Origin.SLAB) -> Case:
    grid = grid_of((60, 60, 20), (2.0, 2.0, 4.0))
    kidney, tumor = ellipsoid(grid, (60, 60, 40), (30, 25, 30)), ellipsoid(grid, (75, 60, 40), (10, 10, 10))
    labels = kidney.astype(np.uint8)
    labels[tumor] = 2
    hu = np.where(kidney, 150, -80) - 70 * tumor
    masses = (LabelledMass(mask_of(tumor), MassClass.SOLID),)
    return Case(name, name, origin, CTVolume(hu.astype(np.int16), grid), LabelMap(labels, grid), masses)


def file_of(case: Case) -> CaseFile:
    return CaseFile(case.name, case.patient, case.origin, lambda: (case,))


@pytest.fixture
def pools(tmp_path):
    prepare_cases([file_of(made_case())], RECIPE.stages, tmp_path)
    return {name: read_prepared(tmp_path / name) for name, _ in RECIPE.stages}


def test_training_sees_what_inference_prepares(pools):
    case, stage = made_case(), RECIPE.localize
    grid = field_grid(case.volume.grid, Box.whole(case.volume.grid.shape), stage)
    (prepared,) = pools["localize"]
    assert np.allclose(prepared.image, prepare(case.volume, grid, stage), atol=2e-3)  # kept in half precision
    expected = mass_input(case.volume, case.masses[0].mask, RECIPE.classify)[0]
    assert np.allclose(pools["classify"][0].image, expected, atol=2e-3)


def test_a_case_is_prepared_once(tmp_path):
    calls = []

    def load():
        calls.append(1)
        return (made_case(),)

    for _ in range(2):
        prepare_cases([CaseFile("one", "one", Origin.SLAB, load)], RECIPE.stages, tmp_path)
    assert len(calls) == 1


def test_only_the_patients_asked_for_are_read_and_all_phantoms(tmp_path):
    cases = [made_case("a"), made_case("b"), made_case("p", Origin.PHANTOM)]
    prepare_cases([file_of(case) for case in cases], RECIPE.stages, tmp_path)
    found = read_prepared(tmp_path / "segment", frozenset({"b"}))
    assert sorted(p.origin.name for p in found) == ["PHANTOM", "SLAB"]


@pytest.mark.parametrize("name", ["localize", "segment", "classify"])
def test_a_step_has_one_batch_whenever_it_is_drawn(pools, name):
    stage = dict(RECIPE.stages)[name]
    sampler = Sampler(stage, pools[name], seed=4)
    first = sampler.batch(7)
    sampler.batch(8)
    again, other = sampler.batch(7), sampler.batch(8)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape[:2] == (stage.training.batch, stage.input_channels)


def test_samples_for_the_target_hold_it(pools):
    stage = replace(RECIPE.segment, training=replace(RECIPE.segment.training, foreground_share=1.0))
    for step in range(5):
        _, targets = Sampler(stage, pools["segment"]).batch(step)
        assert targets.flatten(1).any(dim=1).all()


def test_a_pool_without_cases_is_refused():
    with pytest.raises(RecipeError, match="no training case"):
        Sampler(RECIPE.segment, ())


def small() -> Prepared:
    image = np.arange(4 * 4 * 3, dtype=np.float16).reshape(1, 4, 4, 3)
    return Prepared(Origin.SLAB, image, np.ones((4, 4, 3), np.uint8), (), fill=-1.0)


def test_outside_the_slices_is_air_or_their_mirror_image():
    center = np.asarray([2, 2, 1])
    plain, labels = cut_patch(small(), center, (4, 4, 7), mirror_ends=False)
    assert (plain[0, 0, 0] == [-1, -1, 0, 1, 2, -1, -1]).all() and labels[0, 0].tolist() == [0, 0, 1, 1, 1, 0, 0]
    mirrored, labels = cut_patch(small(), center, (4, 4, 7), mirror_ends=True)
    assert (mirrored[0, 0, 0] == [2, 1, 0, 1, 2, 1, 0]).all() and labels.all()


def test_beside_the_slices_is_air():
    image, labels = cut_patch(small(), np.asarray([0, 2, 1]), (4, 4, 3), mirror_ends=True)
    assert (image[0, :2] == -1).all() and not labels[:2].any() and labels[2:].all()


def test_a_patch_far_outside_is_empty():
    image, labels = cut_patch(small(), np.asarray([50, 50, 50]), (2, 2, 2), mirror_ends=False)
    assert (image == -1).all() and not labels.any()


def test_most_samples_lie_inside_their_image(pools):
    stage = replace(RECIPE.segment, geometry=replace(RECIPE.segment.geometry, patch=(16, 16, 1)))
    training = replace(stage.training, foreground_share=1.0, augmentation=Augmentation(), batch=16)
    sampler = Sampler(replace(stage, training=training), pools["segment"])
    images = torch.cat([sampler.batch(n)[0] for n in range(4)])
    beyond = (images[:, 1] == sampler.pool[0].fill).all(dim=1).any(dim=1)  # with columns beyond the image's edge
    assert beyond.float().mean() < 0.35


def test_a_mass_of_another_case_is_pasted_when_asked(pools, tmp_path):
    healthy = made_case("healthy")
    values = np.minimum(healthy.label_map.values, 1)
    healthy = replace(healthy, label_map=LabelMap(values, healthy.label_map.grid), masses=())
    prepare_cases([file_of(healthy)], RECIPE.stages, tmp_path / "more")
    pool = (*read_prepared(tmp_path / "more" / "segment"), *pools["segment"])

    def tumors(share: float) -> int:
        training = replace(RECIPE.segment.training, pasted_share=share, foreground_share=1.0)
        sampler = Sampler(replace(RECIPE.segment, training=training), pool[:1] if share == 0 else pool)
        return sum(int((target == 2).flatten(1).any(dim=1).sum()) for target in (sampler.batch(n)[1] for n in range(2)))

    assert tumors(0.0) == 0 and tumors(1.0) > 16


def test_targets_count_an_angiomyolipoma_as_a_tumor():
    labels = np.asarray([0, 1, 2, 3, 4], np.uint8).reshape(5, 1, 1)
    assert targets_of(labels, RECIPE.segment).ravel().tolist() == [0, 1, 2, 3, 2]
    nested = replace(RECIPE.segment, targets=(Target.KIDNEY_AND_MASS, Target.MASS), activation=Activation.SIGMOID)
    assert targets_of(labels, nested)[:, :, 0, 0].tolist() == [[0, 1, 1, 1, 1], [0, 0, 1, 1, 1]]


def test_a_recipe_without_a_shape_of_samples_is_refused():
    with pytest.raises(RecipeError, match=r"training\.patch"):
        patch_shape(replace(RECIPE.segment, geometry=Geometry()))


def test_slices_are_drawn_for_a_2d_network(tmp_path):
    stage = recipe_named("beheshtifard2023").localize
    turning = Augmentation(1.0, rotation_deg=10.0)
    stage = replace(stage, training=replace(stage.training, batch=3, patch=(32, 48, 1), augmentation=turning))
    prepare_cases([file_of(made_case())], [("localize", stage)], tmp_path)
    images, targets = Sampler(stage, read_prepared(tmp_path / "localize")).batch(0)
    assert images.shape == targets.shape == (3, 1, 32, 48)
