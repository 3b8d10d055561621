"""Gray values, heat and colors."""

import numpy as np
from renalct.core.labels import MassClass
from renalct.pictures.colors import KIDNEY_COLOR, class_color, gray_of, heat_gradient, heat_of, hexadecimal


def test_the_window_runs_from_black_at_minus_160_to_white_at_240_hu():
    hu = np.array([-3024, -160, 40, 240, 3000], dtype=np.int16)
    assert gray_of(hu).tolist() == [0, 0, 128, 255, 255]


def test_heat_is_clear_at_zero_and_covers_less_than_everything_at_one():
    none, some, full, beyond = heat_of(np.array([0.0, 0.5, 1.0, 7.0], dtype=np.float32))
    assert none[3] == 0
    assert 0 < some[3] < full[3] < 200
    np.testing.assert_array_equal(full, beyond)


def test_heat_grows_lighter_so_that_it_reads_in_gray():
    colors = heat_of(np.linspace(0, 1, 50, dtype=np.float32))[:, :3].astype(float)
    lightness = colors @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_each_kind_has_its_own_color_that_is_bright_on_black():
    colors = [KIDNEY_COLOR, *map(class_color, MassClass)]
    assert len(set(colors)) == len(colors)
    assert all(np.dot(color, [0.2126, 0.7152, 0.0722]) > 120 for color in colors)


def test_colors_are_written_as_css():
    assert hexadecimal((82, 214, 160)) == "#52d6a0"
    assert heat_gradient().startswith("linear-gradient(90deg, #")
