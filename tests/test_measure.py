import numpy as np
import pytest
from renalct.core.errors import GeometryError
from renalct.core.findings import Classification
from renalct.core.grid import Grid
from renalct.core.labels import MassClass, Side
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.components import Organ
from renalct.imaging.intensity import estimate_phase, window
from renalct.imaging.measure import (
    body_midline_mm,
    centroid_mm,
    enhancing_fraction,
    fat_fraction,
    hu_statistics,
    measure_kidney,
    measure_mass,
    sides,
)
from shapes import ellipsoid, grid_of, mask_of

SOLID = Classification(MassClass.SOLID, (0.1, 0.2, 0.7))


def volume_of(grid, hu, phase=None):
    return CTVolume(np.asarray(hu, np.int16), grid, phase or PhaseEstimate())


def test_statistics_are_those_of_the_voxels_under_the_mask():
    grid = grid_of((4, 1, 1))
    first_three = mask_of(np.array([1, 1, 1, 0], bool).reshape(4, 1, 1))
    stats = hu_statistics(np.array([10, 20, 30, 999]).reshape(4, 1, 1), first_three)
    assert (stats.mean, stats.min, stats.max) == (20, 10, 30) and stats.sd == pytest.approx(np.sqrt(200 / 3))
    assert grid.voxel_ml == pytest.approx(0.001)


def test_the_centroid_is_in_patient_millimetres():
    grid = grid_of((10, 10, 10), (2.0, 1.0, 3.0), origin=(-5.0, 7.0, 100.0))
    voxels = np.zeros(grid.shape, bool)
    voxels[2:4, 5, 6] = True
    assert centroid_mm(mask_of(voxels), grid) == pytest.approx((0.0, 12.0, 118.0))


def test_a_mass_of_ten_millimetres_has_its_sphere_s_volume_and_number():
    grid = grid_of((32, 32, 32), (0.5, 0.5, 0.5))
    mask = mask_of(ellipsoid(grid, (8, 8, 8), (5, 5, 5)))
    volume = volume_of(grid, np.full(grid.shape, 40))
    mass = measure_mass(volume, mask, number=1, side=Side.LEFT, classification=SOLID)
    assert mass.volume_ml == pytest.approx(0.5236, rel=0.02)
    assert mass.average_diameter_mm == pytest.approx(10, rel=0.01)
    assert mass.volume_ml == pytest.approx(mask.count * 0.125e-3)
    assert mass.enhancing_fraction is None and mass.fat_fraction == 0 and mass.name == "Mass L1"


def test_fat_is_less_than_minus_ten():
    voxels = np.ones((4, 1, 1), bool)
    assert fat_fraction(np.array([[[-80]], [[-11]], [[-10]], [[40]]]), mask_of(voxels)) == 0.5


def phases(gain, *, shift=0.0, frame="1.2"):
    """A sphere that gains `gain` HU in its right half, in two grids whose slices do not coincide."""
    grid = Grid((24, 24, 24), np.eye(4), frame)
    before_affine = np.diag([1.0, 1.0, 2.0, 1.0])
    before_affine[:3, 3] = shift
    before_grid = Grid((30, 30, 16), before_affine, "1.2")
    hu = np.full(grid.shape, 35)
    hu[12:] += gain
    return volume_of(grid, hu), volume_of(before_grid, np.full(before_grid.shape, 35)), grid


def test_half_of_a_mass_that_gains_forty_hu_enhances_by_half():
    enhanced, baseline, grid = phases(40)
    mask = mask_of(ellipsoid(grid, (11.5, 12, 12), (6, 6, 6)))
    assert enhancing_fraction(enhanced, baseline, mask) == pytest.approx(0.5, abs=0.01)


def test_a_gain_of_fifteen_hu_is_no_enhancement():
    enhanced, baseline, grid = phases(15)
    assert enhancing_fraction(enhanced, baseline, mask_of(ellipsoid(grid, (12, 12, 12), (5, 5, 5)))) == 0


def test_a_mass_outside_the_other_phase_has_no_enhancing_fraction():
    enhanced, baseline, grid = phases(40, shift=15.0)
    assert enhancing_fraction(enhanced, baseline, mask_of(ellipsoid(grid, (12, 12, 12), (5, 5, 5)))) is None


def test_phases_in_other_frames_of_reference_are_refused():
    enhanced, baseline, grid = phases(40, frame="9.9")
    with pytest.raises(GeometryError):
        enhancing_fraction(enhanced, baseline, mask_of(ellipsoid(grid, (12, 12, 12), (5, 5, 5))))


@pytest.mark.parametrize(
    ("x", "midline", "expected"),
    [
        ((60, -60), 0.0, ("right", "left")),
        ((-60, 60), None, ("left", "right")),
        ((60, 80), 0.0, ("right", "right")),
        ((60,), 0.0, ("right",)),
        ((60,), None, ("undetermined",)),
        ((5,), 0.0, ("undetermined",)),
        ((5, 70), 0.0, ("left", "right")),
        ((5, 20), 0.0, ("undetermined", "right")),
        ((20, -20), None, ("undetermined", "undetermined")),
        ((60, -60, 30), 0.0, ("right", "left", "right")),
        ((), None, ()),
    ],
)
def test_sides_come_from_patient_coordinates(x, midline, expected):
    assert tuple(s.value for s in sides([(float(v), 0.0, 0.0) for v in x], midline)) == expected


def body(shift, shape=(80, 60, 6)):
    grid = grid_of(shape, (5.0, 5.0, 5.0), origin=(-200.0, -150.0, 0.0))
    hu = np.full(shape, -1000)
    hu[ellipsoid(grid, (shift, 0, 15), (150, 110, 1000))] = 30
    return volume_of(grid, hu)


def test_the_midline_lies_between_the_flanks():
    volume = body(20.0)
    assert body_midline_mm(volume, mask_of(np.ones(volume.grid.shape, bool)).box) == pytest.approx(20.0, abs=2.5)


def test_a_body_cut_by_the_field_has_no_midline():
    volume = body(80.0)
    assert body_midline_mm(volume, mask_of(np.ones(volume.grid.shape, bool)).box) is None


def test_a_kidney_that_is_all_mass_is_measured_on_its_mass():
    grid = grid_of((20, 20, 20))
    mass = mask_of(ellipsoid(grid, (10, 10, 10), (5, 5, 5)))
    organ = Organ(Mask(mass.box, np.zeros(mass.box.shape, bool)), (mass,))
    kidney = measure_kidney(volume_of(grid, np.full(grid.shape, 70)), organ, Side.LEFT)
    assert kidney.volume_ml == 0 and kidney.volume_with_masses_ml == pytest.approx(mass.count / 1000)
    assert kidney.hu.mean == 70


def kidney_in(outer, inner, header=None):
    grid = grid_of((60, 60, 60))
    hu = np.full(grid.shape, -100)
    whole = ellipsoid(grid, (30, 30, 30), (22, 22, 22))
    hu[whole] = outer
    hu[ellipsoid(grid, (30, 30, 30), (16, 16, 16))] = inner
    return volume_of(grid, hu, header), mask_of(whole)


@pytest.mark.parametrize(
    ("outer", "inner", "phase"),
    [(32, 30, Phase.NON_CONTRAST), (190, 80, Phase.CORTICOMEDULLARY), (170, 165, Phase.NEPHROGRAPHIC)],
)
def test_the_phase_is_estimated_from_the_kidneys(outer, inner, phase):
    volume, mask = kidney_in(outer, inner)
    estimate = estimate_phase(volume, [mask])
    assert estimate.phase is phase and 0.5 < estimate.probability < 1 and "HU" in estimate.evidence


def test_dense_urine_makes_the_phase_excretory():
    volume, mask = kidney_in(150, 150)
    hu = volume.hu.copy()
    hu[24:36, 24:36, 24:36] = 600
    assert estimate_phase(volume_of(volume.grid, hu), [mask]).phase is Phase.EXCRETORY


def test_a_sure_header_is_kept_unless_the_images_show_no_contrast():
    header = PhaseEstimate(Phase.CORTICOMEDULLARY, 0.9, "the description says arterial")
    volume, mask = kidney_in(170, 165, header)
    assert estimate_phase(volume, [mask]).phase is Phase.CORTICOMEDULLARY
    plain, mask = kidney_in(32, 30, header)
    contradicted = estimate_phase(plain, [mask])
    assert contradicted.phase is Phase.NON_CONTRAST and "although the header says" in contradicted.evidence


def test_without_kidneys_the_header_alone_counts():
    volume, _ = kidney_in(170, 165)
    assert estimate_phase(volume, []).phase is Phase.UNKNOWN


def test_a_window_maps_its_ends_to_zero_and_one_and_clips():
    np.testing.assert_allclose(window(np.array([-500, -100, 50, 200, 900]), -100, 200), [0, 0, 0.5, 1, 1])
