"""Physical size as an input of the classifier: what a fixed shape hides, a channel tells."""

import math
from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import RecipeError
from renalct.core.labels import KNOWN_CLASSES
from renalct.core.volume import CTVolume
from renalct.explain import explain_mass
from renalct.models.inference import classify_masses, mass_input
from renalct.models.prepared_cases import prepare_cases, read_prepared
from renalct.models.recipes import recipe_named
from renalct.models.release import random_release
from renalct.models.samples import Sampler
from shapes import ellipsoid, grid_of, mask_of
from test_samples import file_of, made_case
from tiny_recipes import tiny

PLAIN, SIZED = recipe_named("zhao2023"), tiny(recipe_named("zhao2023_size"))


def ball(radius_voxels: int, spacing_mm: float):
    """A ball of the same voxels on a grid of this spacing: twice the spacing is twice the size."""
    grid = grid_of((24, 24, 24), (spacing_mm,) * 3)
    inside = ellipsoid(grid, (12 * spacing_mm,) * 3, (radius_voxels * spacing_mm,) * 3)
    return CTVolume(np.where(inside, 60, -60).astype(np.int16), grid), mask_of(inside)


def test_masses_of_one_shape_and_two_sizes_differ_in_the_size_channel_alone():
    small, large = (mass_input(*ball(8, spacing), SIZED.classify)[0] for spacing in (1.0, 2.0))
    assert small.shape == (2, *SIZED.classify.geometry.shape)
    assert np.allclose(small[0], large[0], atol=1e-4)
    assert np.allclose(large[1] - small[1], 1.0)  # twice the diameter is one more
    _, mask = ball(8, 1.0)
    diameter_mm = (6 / math.pi * mask.count) ** (1 / 3)
    assert np.allclose(small[1], math.log2(diameter_mm / 20.0))


def test_without_the_option_they_are_the_same_input():
    stage = tiny(PLAIN).classify
    small, large = (mass_input(*ball(8, spacing), stage)[0] for spacing in (1.0, 2.0))
    assert small.shape[0] == 1 and np.allclose(small, large, atol=1e-4)


def test_the_classifier_and_its_explanation_take_the_size():
    release = random_release(SIZED, seed=2)
    stage, networks = release.recipe.classify, release.networks("classify")
    rows = [classify_masses(*(lambda v, m: (v, [m]))(*ball(8, spacing)), stage, networks)[0] for spacing in (1.0, 8.0)]
    assert not np.allclose(*rows, atol=1e-6)
    volume, mask = ball(8, 1.0)
    assert explain_mass(volume, mask, KNOWN_CLASSES[0], stage, networks).values.max() <= 1.0


def test_samples_carry_it_through_augmentation(tmp_path):
    prepare_cases([file_of(made_case())], [("classify", SIZED.classify)], tmp_path)
    images, _ = Sampler(SIZED.classify, read_prepared(tmp_path / "classify")).batch(0)
    size = images[:, 1]
    assert float(size.max() - size.min()) < 1e-3 and images.shape[1] == 2


@pytest.mark.parametrize("size_mm", [0.0, -5.0])
def test_a_size_that_is_none_is_refused(size_mm):
    with pytest.raises(RecipeError, match="size_mm is"):
        replace(PLAIN.classify, size_mm=size_mm)
    with pytest.raises(RecipeError, match="only a classifier sees sizes"):
        replace(PLAIN.segment, size_mm=20.0)
