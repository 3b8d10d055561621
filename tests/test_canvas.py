import numpy as np
import pytest
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.fields import rotation


def canvas_of(spacing=(1.0, 1.0, 1.0), half_mm=30.0, center=(0.0, 0.0, 0.0)):
    return Canvas(tuple(round(2 * half_mm / s) for s in spacing), spacing_mm=spacing, center_mm=center)


def volume_ml(canvas, material):
    return np.count_nonzero(canvas.material == material) * np.prod(canvas.spacing_mm) / 1000


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.2, 2.5)])
def test_a_sphere_of_20_mm_has_4_19_ml(spacing):
    canvas = canvas_of(spacing)
    canvas.paint(canvas.ellipsoid((1.0, -2.0, 3.0), (10.0, 10.0, 10.0)), 7)
    assert volume_ml(canvas, 7) == pytest.approx(4.19, rel=0.02)


def test_a_turned_ellipsoid_keeps_its_volume():
    canvas = canvas_of()
    canvas.paint(canvas.ellipsoid((0, 0, 0), (20.0, 10.0, 5.0), turn=rotation(0.4, -0.7, 1.1)), 7)
    assert volume_ml(canvas, 7) == pytest.approx(4 / 3 * np.pi * 1.0, rel=0.03)  # 2 x 1 x 0.5 cm


def test_a_shape_out_of_view_is_none_and_paints_nothing():
    canvas = canvas_of()
    level = canvas.ellipsoid((500.0, 0.0, 0.0), (10.0, 10.0, 10.0))
    canvas.paint(level, 7)
    canvas.tube(np.array([[0.0, 0.0, 400.0], [0.0, 0.0, 500.0]]), 5.0, 7)
    assert level is None and not canvas.material.any()


def test_a_shape_half_in_view_paints_its_half():
    canvas = canvas_of(center=(30.5, 0.0, 0.0))  # the canvas starts at x = 1
    canvas.paint(canvas.ellipsoid((0.5, 0.0, 0.0), (10.0, 10.0, 10.0)), 7)
    assert volume_ml(canvas, 7) == pytest.approx(4.19 / 2, rel=0.03)


def test_painting_over_one_material_spares_the_others():
    canvas = canvas_of()
    canvas.material[:30] = 3
    canvas.paint(canvas.ellipsoid((0, 0, 0), (10.0, 10.0, 10.0)), 7, over=3)
    assert volume_ml(canvas, 7) == pytest.approx(4.19 / 2, rel=0.03)


def test_a_tube_is_a_cylinder_with_round_ends():
    canvas = canvas_of()
    canvas.tube(np.array([[0.0, 0.0, -15.0], [0.0, 0.0, 15.0]]), 5.0, 7)
    expected = (np.pi * 25 * 30 + 4 / 3 * np.pi * 125) / 1000
    assert volume_ml(canvas, 7) == pytest.approx(expected, rel=0.05)


def test_a_column_ends_at_its_first_and_last_height():
    canvas = canvas_of()
    canvas.paint(canvas.column(np.array([(-10.0, 0, 0, 6, 6), (10.0, 4, 0, 6, 6)])), 7)
    heights = np.flatnonzero((canvas.material == 7).any((0, 1)))
    assert len(heights) == 20 and volume_ml(canvas, 7) == pytest.approx(np.pi * 36 * 20 / 1000, rel=0.05)
