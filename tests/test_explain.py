"""Grad-CAM: where it lies, its range, and that it follows the class asked for."""

import numpy as np
import pytest
from renalct.core.labels import MassClass
from renalct.core.volume import CTVolume
from renalct.explain import explain_mass
from renalct.models.recipes import recipe_named
from renalct.models.release import random_release
from shapes import ellipsoid, grid_of, mask_of
from tiny_recipes import tiny

RELEASE = random_release(tiny(recipe_named("starter")), seed=1)
STAGE = RELEASE.recipe.classify


def scene():
    grid = grid_of((40, 40, 20), (1.0, 1.0, 2.0))
    inside = ellipsoid(grid, (20, 20, 20), (8, 8, 8))
    hu = np.random.default_rng(0).normal(40, 20, grid.shape) + 100 * inside
    return CTVolume(hu.astype(np.int16), grid), mask_of(inside)


def test_the_map_lies_around_the_mass_and_runs_from_0_to_1():
    volume, mask = scene()
    found = explain_mass(volume, mask, MassClass.SOLID, STAGE, RELEASE.networks("classify"), margin_mm=4.0)
    assert found.box == mask.box.grown((4, 4, 2), volume.grid.shape)
    assert found.values.shape == found.box.shape and found.values.dtype == np.float32
    assert found.values.min() >= 0.0 and found.values.max() in (0.0, 1.0)


def test_another_class_has_another_map_and_the_same_call_the_same():
    volume, mask = scene()
    networks = RELEASE.networks("classify")
    solid, again, cystic = (
        explain_mass(volume, mask, c, STAGE, networks).values
        for c in (MassClass.SOLID, MassClass.SOLID, MassClass.CYSTIC)
    )
    assert np.array_equal(solid, again) and not np.array_equal(solid, cystic)


def test_the_classifier_of_zhao_is_explained_too():
    volume, mask = scene()
    release = random_release(tiny(recipe_named("zhao2023")))
    found = explain_mass(volume, mask, MassClass.AML, release.recipe.classify, release.networks("classify"))
    assert np.isfinite(found.values).all() and found.values.min() >= 0.0 and found.values.max() <= 1.0


def test_an_unknown_class_has_no_map():
    volume, mask = scene()
    with pytest.raises(ValueError):
        explain_mass(volume, mask, MassClass.UNKNOWN, STAGE, RELEASE.networks("classify"))


def test_a_network_that_was_explained_is_as_it_was_before():
    volume, mask = scene()
    (network,) = RELEASE.networks("classify")
    for _ in range(3):
        explain_mass(volume, mask, MassClass.SOLID, STAGE, [network], margin_mm=4.0)
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
