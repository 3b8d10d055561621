"""The renal sinus filled: kidneys whose volume is known by geometry, and what must stay as it is."""

import numpy as np
import pytest
from renalct.core.errors import RecipeError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.imaging.sinus import SinusSettings, closed, fill_renal_sinus
from shapes import grid_of

OUTER_MM, SINUS_MM = 20.0, 8.0


def c_shaped(spacing=(1.0, 1.0, 1.0), opening_mm=10.0, *, x_mm=0.0, poles=True, shape_mm=(64, 52, 50)):
    """A cylinder of 20 mm radius and 40 mm height around z, hollow by 8 mm and open to +x in its middle 20 mm.

    Without poles it goes through the whole field and is open all along.
    """
    grid = grid_of([round(n / s) for n, s in zip(shape_mm, spacing, strict=True)], spacing)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    x, y, z = np.moveaxis(grid.to_patient(index) - (np.asarray(shape_mm) - np.asarray(spacing)) / 2, -1, 0)
    x = x - x_mm
    radius = np.hypot(x, y)
    body = radius <= OUTER_MM
    hollow = (radius <= SINUS_MM) | ((np.abs(y) <= opening_mm / 2) & (x > 0))
    if poles:
        body &= np.abs(z) <= 20
        hollow &= np.abs(z) <= 10
    return LabelMap((body & ~hollow).astype(np.uint8), grid), body & hollow & (radius <= SINUS_MM), body


def ml(mask, grid):
    return np.count_nonzero(mask) * grid.voxel_ml


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.3, 2.5), (1.0, 1.0, 5.0)])
def test_a_c_shaped_kidney_becomes_a_full_cylinder(spacing):
    label_map, sinus, body = c_shaped(spacing)
    filled = fill_renal_sinus(label_map)
    assert (filled.values[sinus] == Structure.KIDNEY).all()
    assert not (filled.values > 0)[~body].any()
    # pi 20^2 x 40 mm is 50.3 ml; the ball of 10 mm dips 1.3 mm into the opening of 10 mm, over 20 mm: under 0.3 ml
    assert ml(filled.values > 0, label_map.grid) == pytest.approx(np.pi * 0.4 * 40, rel=0.03)


def test_an_opening_wider_than_the_ball_stays_open():
    label_map, sinus, _ = c_shaped(opening_mm=30.0, poles=False)
    filled = fill_renal_sinus(label_map)
    assert not filled.values[33:][sinus[33:]].any()  # a ball at x = 6 mm touches the sinus' edges at (0, 8) and (0, -8)
    wider = fill_renal_sinus(label_map, settings=SinusSettings(closing_mm=30.0))
    assert (wider.values[sinus] == Structure.KIDNEY).all()


def test_masses_keep_every_voxel_and_are_not_grown():
    label_map, sinus, _ = c_shaped()
    values = label_map.values.copy()
    values[20:30, 20:30, 10:20][values[20:30, 20:30, 10:20] == 1] = Structure.TUMOR
    values[30:34, 24:28, 22:28] = Structure.CYST
    values[56:62, 24:28, 22:28] = Structure.TUMOR
    filled = fill_renal_sinus(LabelMap(values, label_map.grid))
    np.testing.assert_array_equal(filled.values[values > 0], values[values > 0])
    assert set(np.unique(filled.values[values == 0])) == {0, Structure.KIDNEY}
    assert (filled.values[sinus] > 0).all()


def test_an_exophytic_mass_gets_no_collar():
    """A ball of tumor that touches a kidney's straight side: the wedge between them is fat, not kidney."""
    grid = grid_of((60, 60, 30))
    values = np.zeros(grid.shape, np.uint8)
    values[5:30, 5:55, 5:25] = Structure.KIDNEY
    x, y, z = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    values[((x - 40) ** 2 + (y - 30) ** 2 + (z - 15) ** 2 <= 11**2) & (values == 0)] = Structure.TUMOR
    np.testing.assert_array_equal(fill_renal_sinus(LabelMap(values, grid)).values, values)


def test_two_kidneys_are_filled_and_never_joined():
    """Openings face each other 6 mm apart, nearer than the ball is wide."""
    left, sinus, _ = c_shaped(x_mm=-23.0, shape_mm=(100, 52, 50))
    values = left.values | left.values[::-1]
    filled = fill_renal_sinus(LabelMap(values, left.grid)).values
    assert filled[sinus].all() and filled[sinus[::-1]].all()
    assert not filled[47:53].any() and np.array_equal(filled, filled[::-1])


def test_a_kidney_cut_off_by_the_field_is_filled_as_if_it_went_on():
    for slices_mm in (5, 10):
        label_map, sinus, _ = c_shaped((1.0, 1.0, 5.0), poles=False, shape_mm=(64, 52, slices_mm))
        assert (fill_renal_sinus(label_map).values[sinus] == Structure.KIDNEY).all()


def test_the_result_does_not_depend_on_how_the_axes_lie():
    label_map, _, _ = c_shaped((1.0, 1.2, 2.5))
    filled = fill_renal_sinus(label_map).values
    turned = label_map.grid.affine[:, [2, 1, 0, 3]]
    other = LabelMap(np.ascontiguousarray(label_map.values.T), Grid(label_map.grid.shape[::-1], turned))
    np.testing.assert_array_equal(fill_renal_sinus(other).values, filled.T)


def test_what_an_axial_slice_encloses_is_filled_however_wide():
    label_map, sinus, _ = c_shaped(opening_mm=0.0)
    small = SinusSettings(closing_mm=1.0)
    assert (fill_renal_sinus(label_map, settings=small).values[sinus] > 0).all()


@pytest.mark.parametrize("labelled", [0, 1])
def test_nothing_and_a_single_voxel_stay_as_they_are(labelled):
    values = np.zeros((5, 5, 5), np.uint8)
    values[2, 2, 2] = labelled
    for least in (0.0, 1.0):
        settings = SinusSettings(min_kidney_ml=least)
        filled = fill_renal_sinus(LabelMap(values, grid_of(values.shape)), settings=settings)
        np.testing.assert_array_equal(filled.values, values)


def test_a_mass_without_kidney_is_left():
    values = np.zeros((30, 30, 30), np.uint8)
    values[5:25, 5:25, 5:25] = Structure.CYST
    values[10:20, 10:20, 10:20] = 0
    np.testing.assert_array_equal(fill_renal_sinus(LabelMap(values, grid_of(values.shape))).values, values)


def test_closing_fills_a_slit_under_twice_the_radius_and_nothing_convex():
    slab = np.zeros((40, 40, 40), bool)
    slab[5:35, 5:35, 5:35] = True
    np.testing.assert_array_equal(closed(slab, (1.0, 1.0, 2.0), 7.0), slab)
    slit = slab.copy()
    slit[18:22, :, :] = False
    assert closed(slit, (1.0, 1.0, 2.0), 7.0)[18:22, 15:25, 15:25].all()
    assert not closed(slit, (1.0, 1.0, 2.0), 1.0)[18:22].any()


def test_a_radius_that_closes_nothing_is_refused():
    with pytest.raises(RecipeError, match="above 0 mm"):
        SinusSettings(closing_mm=0.0)
