"""Outlines hold exactly the true pixels."""

import numpy as np
import pytest
from renalct.pictures.contours import beveled, outlines, rim


def filled(polygons, shape) -> np.ndarray:
    """True where a pixel centre lies inside by the even-odd rule: a ray to the left crosses an odd number of sides."""
    inside = np.zeros(shape, dtype=bool)
    y, x = np.indices(shape) + 0.5
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y0 != y1:
                crosses = (np.minimum(y0, y1) <= y) & (y < np.maximum(y0, y1))
                inside ^= crosses & (x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x)
    return inside


def area(polygon) -> float:
    x, y = polygon.T
    return float(abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2)


CASES = {
    "nothing": ["...", "..."],
    "one pixel": ["...", ".#.", "..."],
    "everything": ["##", "##"],
    "two apart": ["#..", "..#"],
    "touching at a corner": ["#.", ".#"],
    "touching at the other corner": [".#", "#."],
    "a hole": ["####", "#..#", "####"],
    "a hole that touches the outside at a corner": [".###", "#.##", "####"],
    "a checkerboard": ["#.#.", ".#.#", "#.#."],
    "an island in a hole": ["#####", "#...#", "#.#.#", "#...#", "#####"],
}


@pytest.mark.parametrize("rows", CASES.values(), ids=CASES.keys())
def test_outlines_hold_exactly_the_true_pixels(rows):
    mask = np.array([[c == "#" for c in row] for row in rows])
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)
    np.testing.assert_array_equal(filled([beveled(p, 0.5) for p in outlines(mask)], mask.shape), mask)


@pytest.mark.parametrize("seed", range(8))
def test_outlines_hold_exactly_the_true_pixels_of_noise(seed):
    mask = np.random.default_rng(seed).random((17, 23)) < 0.5
    np.testing.assert_array_equal(filled(outlines(mask), mask.shape), mask)
    np.testing.assert_array_equal(filled([beveled(p, 0.3) for p in outlines(mask)], mask.shape), mask)


def test_the_outline_of_a_rectangle_is_its_four_corners():
    mask = np.zeros((5, 6), dtype=bool)
    mask[1:3, 2:5] = True
    (polygon,) = outlines(mask)
    assert sorted(map(tuple, polygon)) == [(2, 1), (2, 3), (5, 1), (5, 3)]
    assert area(polygon) == 6


def test_pixels_that_touch_at_a_corner_have_one_outline():
    assert len(outlines(np.eye(3, dtype=bool))) == 1


def test_a_bevel_of_half_a_pixel_makes_a_diamond_of_one():
    (polygon,) = outlines(np.ones((1, 1), dtype=bool))
    diamond = beveled(polygon, 0.5)
    assert sorted(map(tuple, diamond)) == [(0, 0.5), (0.5, 0), (0.5, 1), (1, 0.5)]


def test_a_bevel_cuts_only_the_corners():
    (polygon,) = outlines(np.ones((10, 10), dtype=bool))
    cut = beveled(polygon, 0.5)
    assert len(cut) == 8
    assert area(cut) == pytest.approx(100 - 4 * 0.5**3)  # four triangles with legs of 0.5


def test_the_rim_surrounds_the_object_and_hides_nothing_of_it():
    mask = np.zeros((5, 5), dtype=bool)
    mask[2, 2] = True
    assert np.argwhere(rim(mask)).tolist() == [[1, 2], [2, 1], [2, 3], [3, 2]]
    assert not rim(np.ones((3, 3), dtype=bool)).any()
    assert not rim(np.zeros((3, 3), dtype=bool)).any()
