from dataclasses import replace

import numpy as np
import pytest
from renalct.synthetic.acquisition import Scanner, acquire, average_slices, noise_like

SCANNER = Scanner((1.0, 1.0, 2.0), noise_sd_hu=0.0)


def flat(value=100.0, shape=(40, 30, 6)):
    return np.full(shape, value, dtype=np.float32)


def test_without_noise_a_flat_body_stays_flat():
    assert (acquire(flat(), SCANNER, rng=np.random.default_rng(0)) == 100).all()


def test_thick_slices_are_the_mean_of_their_fine_ones():
    fine = np.arange(12, dtype=np.float32).reshape(1, 2, 6)
    np.testing.assert_array_equal(average_slices(fine, 3), [[[1, 4], [7, 10]]])
    assert average_slices(fine, 1) is fine


@pytest.mark.parametrize("spread_mm", [0.4, 0.7, 2.0])
def test_the_point_spread_has_its_width_and_keeps_the_sum(spread_mm):
    point = flat(0.0, (31, 31, 1))
    point[15, 15] = 2500.0
    scanner = replace(SCANNER, point_spread_mm=spread_mm)
    seen = acquire(point, scanner, rng=np.random.default_rng(0)).astype(float)[:, :, 0]
    at = np.arange(31) - 15
    variance = (seen.sum(1) * at**2).sum() / seen.sum()
    assert seen.sum() == pytest.approx(2500, rel=0.03)  # rounded to whole HU in every voxel
    assert variance == pytest.approx(spread_mm**2, rel=0.12)  # the Gaussian is cut at three standard deviations


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (0.7, 1.4, 5.0)])
def test_noise_has_the_asked_deviation_and_is_correlated_within_slices_only(spacing):
    scanner = Scanner(spacing, noise_sd_hu=20.0, sharpness=0.2)
    noise = noise_like((80, 80, 12), scanner, rng=np.random.default_rng(0))
    assert noise.std() == pytest.approx(20, rel=1e-3) and abs(noise.mean()) < 2
    beside = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    above = np.corrcoef(noise[..., :-1].ravel(), noise[..., 1:].ravel())[0, 1]
    assert beside > 0.2 and abs(above) < 0.05


def test_ct_numbers_are_twelve_bit():
    body = flat(5000.0)
    body[0] = -2000
    seen = acquire(body, replace(SCANNER, point_spread_mm=0.0), rng=np.random.default_rng(0))
    assert seen.dtype == np.int16 and seen.min() == -1024 and seen.max() == 3071


def test_streaks_change_some_slices_and_no_more_than_a_few_times_their_height():
    seen = acquire(flat(shape=(60, 60, 40)), replace(SCANNER, streaks_hu=5.0), rng=np.random.default_rng(0))
    change = np.abs(seen - 100)
    assert 0 < change.max() < 60


def test_a_single_voxel_can_be_scanned():
    scanner = Scanner((1.0, 1.0, 1.0), noise_sd_hu=10.0)
    assert acquire(flat(shape=(1, 1, 1)), scanner, rng=np.random.default_rng(0)).shape == (1, 1, 1)
