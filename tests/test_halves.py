"""Right and left of a patient: by the empty planes between the kidneys, by the nearer kidney, by the image's middle."""

import numpy as np
import pytest
from label_pairs import label_map
from renalct.core.grid import Grid
from renalct.core.labels import Side
from renalct.core.volume import LabelMap
from renalct.metrics.halves import halves_of
from renalct.metrics.overlap import lay_on_each_other

SPACING = (5.0, 5.0, 5.0)  # a voxel of 0.125 ml: a kidney of 10 ml has 80
RIGHT, LEFT = (slice(50, 56), slice(4, 10), slice(2, 8)), (slice(10, 16), slice(4, 10), slice(2, 8))


def made(*blocks, shape=(66, 14, 10), value=1):
    values = np.zeros(shape, np.uint8)
    for block in blocks:
        values[block] = value
    return values


def right_of(reference, prediction=None, spacing=SPACING):
    """Where the right half is, on the whole grid (False where nothing is labelled), or None."""
    maps = [label_map(v, spacing) for v in (reference if prediction is None else prediction, reference)]
    pair = lay_on_each_other(*maps, case="a")
    halves = halves_of(pair)
    if halves.right is None:
        assert halves.sides == (Side.UNDETERMINED,)
        return None
    assert halves.sides == (Side.RIGHT, Side.LEFT)
    whole = np.zeros(reference.shape, bool)
    whole[pair.box.slices] = np.broadcast_to(halves.right, pair.reference.shape)
    return whole & ((maps[0].values > 0) | (maps[1].values > 0))


def test_the_plane_lies_in_the_middle_of_the_gap():
    between = made(RIGHT, LEFT, (slice(16, 50), 5, 5))
    right = right_of(made(RIGHT, LEFT), between)
    assert right[RIGHT].all() and not right[LEFT].any()
    assert right[33, 5, 5] and not right[32, 5, 5]  # 16 .. 49 are empty: the middle lies at 32.5


def test_patient_coordinates_decide_not_the_order_of_voxels():
    values = made(RIGHT, LEFT)
    grid = label_map(values, SPACING).grid
    mirrored = LabelMap(values[::-1].copy(), Grid(values.shape, grid.affine @ _flip(values.shape[0])))
    halves = halves_of(lay_on_each_other(mirrored, mirrored, case="a"))
    assert halves.right.ravel()[0] and not halves.right.ravel()[-1]


def _flip(n):
    flip = np.eye(4)
    flip[0, 0], flip[0, 3] = -1, n - 1
    return flip


def test_kidneys_without_an_empty_plane_between_them_share_by_the_nearer_one():
    # A mass of the right kidney reaches over the left one, in other rows and without touching it.
    reference = made(RIGHT, LEFT, (slice(12, 56), slice(12, 14), slice(2, 8)), (50, slice(10, 12), 2))
    right = right_of(reference)
    assert right[RIGHT].all() and not right[LEFT].any()
    assert right[12, 12, 2]


def test_a_single_kidney_takes_its_side_from_the_middle_of_the_image():
    right = right_of(made(RIGHT), made(RIGHT, LEFT))
    assert right[RIGHT].all() and not right[LEFT].any()
    right = right_of(made(LEFT), made(RIGHT, LEFT))
    assert right[RIGHT].all() and not right[LEFT].any()


def test_a_single_kidney_that_crosses_the_middle_is_not_cut():
    large = (slice(28, 60), slice(4, 10), slice(2, 8))
    right = right_of(made(large), made(large, LEFT))
    assert right[large].all() and not right[LEFT].any()


def test_an_empty_reference_leaves_it_to_the_prediction():
    right = right_of(made(), made(RIGHT, LEFT))
    assert right[RIGHT].all() and not right[LEFT].any()


@pytest.mark.parametrize(
    ("values", "spacing"),
    [
        (made(RIGHT)[40:].copy(), SPACING),  # an image of 130 mm shows no middle
        (made((slice(31, 36), slice(4, 10), slice(2, 8))), SPACING),  # a kidney on the midline (transplant, horseshoe)
        (made((slice(3, 9),), (slice(10, 16),))[:20].copy(), SPACING),  # two kidneys 35 mm apart
        (made((slice(50, 52), 4, 4))[40:].copy(), SPACING),  # crumbs
    ],
)
def test_sides_stay_undetermined_where_nothing_tells_them(values, spacing):
    assert right_of(values, spacing=spacing) is None


def test_a_crumb_on_the_other_side_is_no_second_kidney():
    crumb = (slice(10, 12), 4, 4)
    right = right_of(made(RIGHT, crumb))
    assert right[RIGHT].all()


def test_halves_are_cut_as_their_pair_is():
    from renalct.core.labels import Region

    values = made(RIGHT, LEFT)
    values[51:53, 5:7, 3:5] = 2
    maps = label_map(values, SPACING)
    pair = lay_on_each_other(maps, maps, case="a")
    mass = pair.region(Region.MASS)
    halves = halves_of(pair).cut(mass)
    assert halves.right.shape == (2, 1, 1)
    assert halves.of(Side.RIGHT).all() and not halves.of(Side.LEFT).any()
    assert mass.within(halves.of(Side.RIGHT)).counts == (8, 8)
