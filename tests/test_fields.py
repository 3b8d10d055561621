import numpy as np
from renalct.synthetic.fields import SmoothField, field_around, rotation

CORNERS = ((-100.0, -100.0, -100.0), (100.0, 100.0, 100.0))


def lines(step):
    line = np.arange(-90, 90, step, dtype=np.float32)
    return line, line, line


def test_a_field_has_mean_zero_and_variance_one():
    values = SmoothField(np.random.default_rng(0), CORNERS, scale_mm=5.0).at(*lines(2.0))
    assert abs(values.mean()) < 0.05 and abs(values.std() - 1.0) < 0.05  # some 40000 independent knots


def test_the_same_draw_gives_the_same_field_on_a_coarser_grid():
    fine, coarse = (SmoothField(np.random.default_rng(3), CORNERS, scale_mm=9.0).at(*lines(step)) for step in (2, 6))
    np.testing.assert_allclose(coarse, fine[::3, ::3, ::3], atol=1e-4)


def test_neighbours_closer_than_the_scale_are_alike_and_distant_ones_are_not():
    values = SmoothField(np.random.default_rng(1), CORNERS, scale_mm=10.0).at(*lines(2.0))
    near = np.corrcoef(values[:-1].ravel(), values[1:].ravel())[0, 1]
    far = np.corrcoef(values[:-30].ravel(), values[30:].ravel())[0, 1]
    assert near > 0.9 and abs(far) < 0.2


def test_outside_its_corners_a_field_goes_on_with_the_value_at_the_edge():
    field = field_around(np.random.default_rng(0), (0.0, 0.0, 0.0), reach_mm=20.0, scale_mm=10.0)
    far = np.array([500.0, 900.0], dtype=np.float32)
    values = field.at(far, far, far)
    assert np.isfinite(values).all() and np.ptp(values) == 0.0


def test_a_quarter_turn_about_z_brings_right_to_front():
    np.testing.assert_allclose(rotation(about_z=np.pi / 2) @ (1, 0, 0), (0, 1, 0), atol=1e-12)
