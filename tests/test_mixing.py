"""A mass of one training sample pasted onto the kidney of another."""

import numpy as np
import pytest
from renalct.models.mixing import paste_mass

SHAPE = (32, 32, 3)
KIDNEY_VALUE, MASS_VALUE = 0.5, -0.5


def sample(mass_at=None, radius=3, structure=2):
    """A round kidney in the middle, and perhaps a round mass."""
    x, y, _ = np.indices(SHAPE)
    labels = ((x - 16) ** 2 + (y - 16) ** 2 <= 64).astype(np.uint8)
    if mass_at is not None:
        labels[(x - mass_at[0]) ** 2 + (y - mass_at[1]) ** 2 <= radius**2] = structure
    image = np.select([labels == 1, labels > 1], [KIDNEY_VALUE, MASS_VALUE], -1.0).astype(np.float32)[None]
    return image, labels


def paste(recipient, donor, seed=0):
    return paste_mass(*recipient, *donor, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("structure", [2, 3])
def test_the_mass_comes_with_its_label_and_its_looks(seed, structure):
    image, labels = paste(sample(), sample((16, 16), structure=structure), seed)
    pasted = labels == structure
    assert 15 <= pasted[:, :, 1].sum() <= 29  # a disc of radius 3 has 29 voxels; a part may leave the image
    assert sample()[1][pasted].any()  # on the kidney
    core = np.argwhere(pasted[:, :, 1]).mean(axis=0).round().astype(int)
    assert image[0, core[0], core[1], 1] == pytest.approx(MASS_VALUE, abs=0.1)


def test_what_is_far_from_the_mass_stays_and_the_sample_itself_is_not_changed():
    recipient = sample()
    before = recipient[0].copy()
    image, labels = paste(recipient, sample((16, 16)))
    assert np.array_equal(recipient[0], before) and not (recipient[1] > 1).any()
    changed = np.abs(image - before)[0] > 1e-3
    near = np.zeros(SHAPE, bool)
    where = np.argwhere((labels > 1).any(axis=2))
    low, high = np.maximum(where.min(axis=0) - 5, 0), where.max(axis=0) + 6
    near[low[0] : high[0], low[1] : high[1]] = True
    assert not (changed & ~near).any()


def test_only_the_mass_in_the_middle_is_taken():
    donor = sample((16, 16))
    donor[1][1:3, 1:3] = 3
    assert not (paste(sample(), donor)[1] == 3).any()


@pytest.mark.parametrize("donor", [sample(), sample((16, 16), radius=14)], ids=["no mass", "mass fills the sample"])
def test_a_donor_without_a_fitting_mass_changes_nothing(donor):
    recipient = sample()
    image, labels = paste(recipient, donor)
    assert np.array_equal(image, recipient[0]) and np.array_equal(labels, recipient[1])


def test_a_sample_without_kidney_stays():
    nothing = (np.full((1, *SHAPE), -1.0, np.float32), np.zeros(SHAPE, np.uint8))
    assert not paste(nothing, sample((16, 16)))[1].any()
