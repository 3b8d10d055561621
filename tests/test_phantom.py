from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.labels import MassClass, Side, Structure
from renalct.core.phase import Phase
from renalct.synthetic.phantom import Coverage, MassSpec, PhantomSettings, make_phantom, random_settings
from scipy import ndimage

COARSE = PhantomSettings(spacing_mm=(2.5, 2.5, 3.0), field_mm=(340, 270, 240), masses=(), noise_sd_hu=0.0)
THREE = (
    MassSpec(MassClass.SOLID, 35.0, Side.LEFT),
    MassSpec(MassClass.CYSTIC, 25.0, Side.RIGHT),
    MassSpec(MassClass.AML, 30.0, Side.RIGHT),
)


def core_of(where):
    """The voxels at least two away from the edge, where blur does not reach."""
    return ndimage.binary_erosion(where, iterations=2)


@pytest.fixture(scope="module")
def three():
    settings = PhantomSettings(
        spacing_mm=(1.5, 1.5, 2.5), field_mm=(360, 280, 260), masses=THREE, noise_sd_hu=0.0, spread=0.0,
        phases=(Phase.NEPHROGRAPHIC, Phase.NON_CONTRAST),
    )  # fmt: skip
    return make_phantom(settings, seed=4)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    settings = replace(COARSE, masses=None, noise_sd_hu=12.0)
    one, same, other = (make_phantom(settings, seed=seed) for seed in (3, 3, 4))
    assert one.volumes[0].hu.tobytes() == same.volumes[0].hu.tobytes()
    assert one.label_map.values.tobytes() == same.label_map.values.tobytes()
    assert one.label_map.grid.same_as(same.label_map.grid)
    assert one.volumes[0].hu.tobytes() != other.volumes[0].hu.tobytes()
    assert one.label_map.grid.frame_of_reference_uid != other.label_map.grid.frame_of_reference_uid


def test_all_phases_lie_on_the_grid_of_the_label_map(three):
    assert [v.phase.phase for v in three.volumes] == [Phase.NEPHROGRAPHIC, Phase.NON_CONTRAST]
    assert all(v.grid.same_as(three.label_map.grid) and v.hu.dtype == np.int16 for v in three.volumes)


def test_masses_have_their_class_side_volume_and_label(three):
    assert [(m.mass_class, m.side, m.diameter_mm) for m in three.masses] == [
        (spec.mass_class, spec.side, spec.diameter_mm) for spec in THREE
    ]
    grid, values = three.label_map.grid, three.label_map.values
    for mass in three.masses:
        assert mass.mask.count * grid.voxel_ml == pytest.approx(np.pi / 6 * mass.diameter_mm**3 / 1000, rel=0.1)
        painted = np.zeros(grid.shape, bool)
        mass.mask.paint(painted, True)
        assert set(np.unique(values[painted])) == {mass.mass_class.structure}
        right_mm = grid.to_patient(np.argwhere(painted)).mean(0)[0]
        assert (right_mm > 0) == (mass.side is Side.RIGHT)
        assert (values[ndimage.binary_dilation(painted, iterations=2)] == Structure.KIDNEY).any()
    labeled = np.count_nonzero(values > Structure.KIDNEY)
    assert labeled == sum(mass.mask.count for mass in three.masses)


def test_ct_numbers_are_those_of_the_priors(three):
    nephrographic, plain = (v.hu.astype(float) for v in three.volumes)
    values = three.label_map.values
    kidney, cyst, solid = (core_of(values == s) for s in (Structure.KIDNEY, Structure.CYST, Structure.TUMOR))
    assert np.median(plain[kidney]) == pytest.approx(31, abs=4)
    assert 150 < np.median(nephrographic[kidney]) < 175
    assert -5 < np.median(plain[cyst]) < 82 and abs(np.median((nephrographic - plain)[cyst])) < 2
    assert ((nephrographic - plain)[solid] > 20).mean() > 0.25
    assert (plain[values == Structure.ANGIOMYOLIPOMA] < -10).mean() > 0.15
    assert np.median(plain[0]) < -990  # a face of the field is air


def test_the_surroundings_of_a_kidney_are_mostly_fat(three):
    kidney = three.label_map.values == Structure.KIDNEY
    shell = ndimage.binary_dilation(kidney, iterations=3) & ~ndimage.binary_dilation(three.label_map.values > 0)
    assert (three.volumes[1].hu[shell] < -30).mean() > 0.5


@pytest.mark.parametrize("coverage", [Coverage.CHEST, Coverage.PELVIS])
def test_chest_and_pelvis_alone_have_no_kidney_and_no_mass(coverage):
    phantom = make_phantom(replace(COARSE, coverage=coverage, masses=None), seed=1)
    assert not phantom.label_map.values.any() and phantom.masses == ()
    lungs = (phantom.volumes[0].hu < -700) & (phantom.volumes[0].hu > -950)
    share = lungs.mean()
    assert share > 0.1 if coverage is Coverage.CHEST else share < 0.02


def test_no_masses_and_one_or_no_kidney():
    grid = make_phantom(COARSE, seed=2).label_map.grid
    for kidneys, sides in (((), set()), ((Side.RIGHT,), {True}), ((Side.LEFT,), {False})):
        phantom = make_phantom(replace(COARSE, kidneys=kidneys), seed=2)
        where = np.argwhere(phantom.label_map.values == Structure.KIDNEY)
        assert set(grid.to_patient(where)[:, 0] > 0) == sides
        assert phantom.masses == () and phantom.label_map.values.max(initial=0) <= Structure.KIDNEY


def test_the_same_seed_is_the_same_patient_at_another_spacing():
    fine, coarse = (make_phantom(replace(COARSE, spacing_mm=s), seed=5) for s in ((1.5, 1.5, 2.5), (3.0, 3.0, 5.0)))
    volumes = [np.count_nonzero(p.label_map.values) * p.label_map.grid.voxel_ml for p in (fine, coarse)]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.06)
    centers = [p.label_map.grid.to_patient(np.argwhere(p.label_map.values)).mean(0) for p in (fine, coarse)]
    assert np.abs(centers[0] - centers[1]).max() < 2.0


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "SAL", "PIR"])
def test_another_orientation_is_the_same_patient_in_another_order(orientation):
    settings = replace(COARSE, masses=THREE)
    usual, turned = (make_phantom(replace(settings, orientation=o), seed=6) for o in ("LPS", orientation))
    index = np.argwhere(usual.label_map.values)[::50]
    moved = np.rint(turned.label_map.grid.to_index(usual.label_map.grid.to_patient(index))).astype(int)
    for one, other in ((usual.label_map.values, turned.label_map.values), (usual.volumes[0].hu, turned.volumes[0].hu)):
        np.testing.assert_array_equal(one[tuple(index.T)], other[tuple(moved.T)])
    for one, other in zip(usual.masses, turned.masses, strict=True):
        assert one.mask.count == other.mask.count
        painted = np.zeros(turned.label_map.grid.shape, bool)
        other.mask.paint(painted, True)
        assert (turned.label_map.values[painted] == other.mass_class.structure).all()


def test_thick_slices_mix_what_lies_above_each_other():
    thin, thick = (make_phantom(replace(COARSE, spacing_mm=(2.5, 2.5, dz)), seed=7) for dz in (2.5, 10.0))
    bone = [np.percentile(p.volumes[0].hu, 99.8) for p in (thin, thick)]
    assert bone[1] < bone[0]
    assert thick.volumes[0].hu.shape[2] == 24


def test_slices_four_times_as_thick_as_their_distance_are_the_mean_of_four():
    thin, thick = (make_phantom(replace(COARSE, slice_thickness_mm=t), seed=7) for t in (None, 12.0))
    hu, mixed = (p.volumes[0].hu.astype(float) for p in (thin, thick))
    expected = np.stack([hu[:, :, k - 2 : k + 2].mean(axis=2) for k in range(10, 60)], axis=2)
    assert np.abs(mixed[:, :, 10:60] - expected).max() <= 1.0  # blur and mean commute; both are rounded


def test_a_field_of_one_voxel_can_be_made():
    phantom = make_phantom(replace(COARSE, field_mm=(2.5, 2.5, 3.0)), seed=0)
    assert phantom.volumes[0].hu.shape == (1, 1, 1)


def test_masses_that_find_no_room_are_an_error_with_the_number():
    crowd = tuple(MassSpec(MassClass.SOLID, 60.0, Side.LEFT) for _ in range(12))
    with pytest.raises(InputError, match=r"of 12 masses find no room"):
        make_phantom(replace(COARSE, masses=crowd), seed=0)


@pytest.mark.parametrize("seed", range(6))
def test_random_phantoms_have_separate_masses_in_kidneys(seed):
    drawn = random_settings(np.random.default_rng(seed))
    phantom = make_phantom(replace(drawn, spacing_mm=(2.0, 2.0, max(2.0, drawn.spacing_mm[2]))), seed=seed)
    values = phantom.label_map.values
    _, parts = ndimage.label(values > Structure.KIDNEY, structure=np.ones((3, 3, 3)))
    assert parts == len(phantom.masses)
    assert phantom.volumes[0].hu.min() >= -1024 and phantom.volumes[0].hu.max() <= 3071
