import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.imaging.components import SeparationSettings, connected, separate, without_masses
from scipy import ndimage
from shapes import ellipsoid, grid_of

SETTINGS = SeparationSettings(min_kidney_ml=1.0, min_mass_diameter_mm=3.0)


def two_kidneys(spacing=(1.0, 1.0, 1.0)):
    grid = grid_of([int(n / s) for n, s in zip((90, 40, 40), spacing, strict=True)], spacing)
    values = np.zeros(grid.shape, np.uint8)
    values[ellipsoid(grid, (20, 20, 20), (12, 10, 15))] = Structure.KIDNEY
    values[ellipsoid(grid, (70, 20, 20), (10, 9, 13))] = Structure.KIDNEY
    return grid, values


def test_nothing_gives_no_kidney():
    grid = grid_of((4, 4, 4))
    assert separate(LabelMap(np.zeros(grid.shape, np.uint8), grid), settings=SETTINGS) == ()


def test_two_kidneys_keep_every_voxel_and_come_largest_first():
    grid, values = two_kidneys()
    organs = separate(LabelMap(values, grid), settings=SETTINGS)
    assert [o.masses for o in organs] == [(), ()]
    assert organs[0].parenchyma.box.stop[0] < 45 < organs[1].parenchyma.box.start[0]
    assert sum(o.parenchyma.count for o in organs) == np.count_nonzero(values)


def test_an_exophytic_mass_belongs_to_the_kidney_that_it_touches():
    grid, values = two_kidneys()
    mass = ellipsoid(grid, (34, 20, 20), (6, 6, 6))
    values[mass] = Structure.CYST
    first, second = separate(LabelMap(values, grid), settings=SETTINGS)
    assert [m.count for m in first.masses] == [np.count_nonzero(mass)] and second.masses == ()
    painted = np.zeros(grid.shape, np.uint8)
    first.masses[0].paint(painted, 1)
    np.testing.assert_array_equal(painted.astype(bool), mass)


def test_a_mass_far_from_every_kidney_is_dropped():
    grid, values = two_kidneys()
    values[ellipsoid(grid, (45, 5, 5), (4, 4, 4))] = Structure.TUMOR
    assert all(o.masses == () for o in separate(LabelMap(values, grid), settings=SETTINGS))


def test_a_mass_under_the_minimum_becomes_nothing_but_its_hole_is_filled():
    grid, values = two_kidneys()
    values[20, 20, 20] = Structure.TUMOR
    first, _ = separate(LabelMap(values, grid), settings=SETTINGS)
    assert first.masses == () and first.parenchyma.voxels[tuple(20 - s for s in first.parenchyma.box.start)]


def test_a_third_organ_is_a_kidney_only_when_it_is_a_quarter_as_large_as_the_largest():
    for radius, kidneys in ((5.0, 2), (8.0, 3)):  # 12 x 10 x 15 mm is the largest: a quarter of it is a 7.7 mm sphere
        grid, values = two_kidneys()
        values[ellipsoid(grid, (46, 9, 9), (radius, radius, radius))] = Structure.KIDNEY
        organs = separate(LabelMap(values, grid), settings=SeparationSettings(min_kidney_ml=0.1))
        assert len(organs) == kidneys


def test_a_hole_in_a_kidney_becomes_parenchyma():
    grid, values = two_kidneys()
    filled = np.count_nonzero(values)
    values[18:22, 18:22, 18:22] = 0
    assert sum(o.parenchyma.count for o in separate(LabelMap(values, grid), settings=SETTINGS)) == filled


def test_voxels_that_touch_at_a_corner_are_one_mass():
    grid, values = two_kidneys()
    values[16:20, 16:20, 16:20] = Structure.TUMOR
    values[20:24, 20:24, 20:24] = Structure.CYST
    assert [m.count for m in separate(LabelMap(values, grid), settings=SETTINGS)[0].masses] == [128]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(10, 30), st.integers(12, 28), st.integers(8, 32)), max_size=5), st.floats(0.8, 2.5)
)
def test_organs_and_masses_never_overlap_and_masses_are_sorted(centers, step):
    grid, values = two_kidneys((1.0, 1.0, step))
    for center in centers:
        values[ellipsoid(grid, center, (3, 3, 4))] = Structure.TUMOR
    count = np.zeros(grid.shape, int)
    for organ in separate(LabelMap(values, grid), settings=SETTINGS):
        sizes = [m.count for m in organ.masses]
        assert sizes == sorted(sizes, reverse=True)
        for mask in (organ.parenchyma, *organ.masses):
            count[mask.box.slices] += mask.voxels
    assert count.max() == 1


def test_an_organ_that_is_almost_all_mass_is_no_kidney_where_a_share_of_parenchyma_is_asked_for():
    grid, values = two_kidneys()
    second = np.zeros(grid.shape, bool)
    second[45:] = values[45:] > 0
    values[second] = Structure.TUMOR
    values[69:72, 19:22, 19:22] = Structure.KIDNEY  # 27 of some 4900 voxels
    label_map = LabelMap(values, grid)
    assert len(separate(label_map, settings=SETTINGS)) == 2
    (kept,) = separate(label_map, settings=SeparationSettings(1.0, 3.0, min_parenchyma_share=0.05))
    assert kept.parenchyma.box.stop[0] < 45


def cubes(*masses: tuple[slice, slice, slice]) -> LabelMap:
    """A kidney of 8 x 8 x 8 voxels of 1 mm in a grid of 14, with cubes of tumor."""
    values = np.zeros((14, 14, 14), np.uint8)
    values[2:10, 2:10, 2:10] = Structure.KIDNEY
    for mass in masses:
        values[mass] = Structure.TUMOR
    return LabelMap(values, grid_of((14, 14, 14)))


INNER, OUTER = (slice(4, 7),) * 3, (slice(9, 13), slice(4, 8), slice(4, 8))
SMALL = SeparationSettings(min_kidney_ml=0.1)


def test_a_dropped_mass_inside_the_kidney_becomes_parenchyma():
    (organ,) = separate(cubes(INNER, OUTER), settings=SMALL)
    outer, inner = organ.masses
    left = without_masses(organ, [inner], shape=(14, 14, 14))
    assert left.masses == (outer,)
    assert left.parenchyma.count == 8**3 - 16  # the outer cube takes one layer of 4 x 4 voxels of the kidney


def test_a_dropped_mass_that_borders_on_other_tissue_becomes_background():
    (organ,) = separate(cubes(INNER, OUTER), settings=SMALL)
    outer, inner = organ.masses
    left = without_masses(organ, [outer], shape=(14, 14, 14))
    assert left.masses == (inner,)
    assert left.parenchyma.count == organ.parenchyma.count == 8**3 - 16 - 27


def test_dropping_nothing_changes_nothing():
    (organ,) = separate(cubes(OUTER), settings=SMALL)
    left = without_masses(organ, [], shape=(14, 14, 14))
    assert left.masses == organ.masses
    assert np.array_equal(left.parenchyma.voxels, organ.parenchyma.voxels)


def test_what_lies_outside_of_the_image_is_no_border():
    values = np.full((3, 3, 3), Structure.KIDNEY, np.uint8)
    values[0, 0, 0] = Structure.TUMOR
    rules = SeparationSettings(min_kidney_ml=0.0, min_mass_diameter_mm=0.0)
    (organ,) = separate(LabelMap(values, grid_of((3, 3, 3))), settings=rules)
    assert without_masses(organ, organ.masses, shape=(3, 3, 3)).parenchyma.count == 27  # all seven neighbors are kidney


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 3, 1), (3, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_of_a_single_voxels_thickness_are_parted_too(shape, order):
    mask = np.ones(shape, bool, order=order)
    if mask.size == 3:
        mask.flat[1] = False  # two parts with a gap, on which cc3d 4.1.1 gives up
    labels, count = connected(mask)
    assert labels.shape == shape and count == (2 if mask.size == 3 else 1)
    assert np.array_equal(labels > 0, mask) and len(np.unique(labels[mask])) == count


@given(st.tuples(*[st.integers(1, 5)] * 3), st.floats(0, 1), st.integers(0, 2**16))
@settings(max_examples=200, deadline=None)
def test_connected_parts_are_those_of_scipy(shape, share, seed):
    mask = np.random.default_rng(seed).random(shape) < share
    labels, count = connected(mask)
    theirs, wanted = ndimage.label(mask, np.ones((3, 3, 3), bool))
    assert count == wanted
    assert len({(a, b) for a, b in zip(labels[mask], theirs[mask], strict=True)}) == count, "the same parts"
