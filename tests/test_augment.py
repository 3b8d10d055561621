"""Augmentation: shapes, ranges, and that image and labels move together."""

import numpy as np
import pytest
from renalct.models.augment import augment
from renalct.models.training_settings import Augmentation

SPACING = np.asarray([1.0, 1.0, 2.0], np.float32)


def scene():
    labels = np.zeros((24, 24, 12), np.uint8)
    labels[6:12, 8:16, 3:9] = 2
    image = np.where(labels > 0, 0.8, -0.4)[None].astype(np.float32)
    return image, labels


def changed(spec, seed=0):
    image, labels = scene()
    return augment(image, labels, spec, np.random.default_rng(seed), spacing=SPACING, hu_per_unit=200.0)


def test_no_augmentation_changes_nothing():
    image, labels = changed(Augmentation(probability=0.0))
    assert np.array_equal(image, scene()[0]) and np.array_equal(labels, scene()[1])


def test_the_same_seed_gives_the_same_change():
    spec = Augmentation(
        1.0,
        rotation_deg=20,
        scale=0.2,
        mirror=True,
        noise_hu=20,
        brightness_hu=20,
        contrast=0.2,
        gamma=0.2,
        blur_voxels=1,
    )
    one, same, other = changed(spec, 1), changed(spec, 1), changed(spec, 2)
    assert np.array_equal(one[0], same[0]) and np.array_equal(one[1], same[1])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("change", [{"rotation_deg": 25.0}, {"scale": 0.3}, {"translation": 0.2}])
def test_image_and_labels_move_together(change):
    for seed in range(5):
        image, labels = changed(Augmentation(1.0, **change), seed)
        assert image.shape == scene()[0].shape and labels.shape == scene()[1].shape
        agree = (image[0] > 0.2) == (labels == 2)
        assert agree.mean() > 0.98  # but for voxels on the border of the block
        assert set(np.unique(labels)) <= {0, 2}


def test_a_rotation_is_rigid_in_mm():
    """A turn by 90 degrees about the long axis would carry x to y; here, a small one keeps the volume."""
    before = np.count_nonzero(scene()[1])
    for seed in range(5):
        assert np.count_nonzero(changed(Augmentation(1.0, rotation_deg=25), seed)[1]) == pytest.approx(before, rel=0.12)


def test_mirroring_swaps_right_and_left_alone():
    seen = {changed(Augmentation(0.0, mirror=True), seed)[1].tobytes() for seed in range(10)}
    labels = scene()[1]
    assert seen == {labels.tobytes(), np.ascontiguousarray(labels[::-1]).tobytes()}


def test_a_mask_channel_moves_but_keeps_its_values():
    image, labels = scene()
    both = np.concatenate([image, (labels > 0)[None].astype(np.float32)])
    spec = Augmentation(1.0, brightness_hu=50, contrast=0.3, noise_hu=30)
    found, _ = augment(both, labels, spec, np.random.default_rng(0), spacing=SPACING, hu_per_unit=200.0)
    assert np.array_equal(found[1], both[1]) and not np.array_equal(found[0], both[0])


def test_noise_has_at_most_the_deviation_of_the_recipe():
    image, _ = changed(Augmentation(1.0, noise_hu=20.0), seed=3)
    assert 0 < (image - scene()[0]).std() * 200.0 < 21.0
