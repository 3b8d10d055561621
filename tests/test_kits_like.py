"""Volumes like those of KiTS, made of a small label map of two ellipsoid kidneys with a tumor and a cyst."""

from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.grid import Grid
from renalct.core.labels import MassClass, Side, Structure
from renalct.core.phase import Phase
from renalct.core.volume import LabelMap
from renalct.synthetic.deformation import NO_CHANGE, ShapeChange, changed, ellipsoid_mass, loosened
from renalct.synthetic.enhancement import Measured, look_of, measured_enhancement
from renalct.synthetic.kidney_maps import patient_map
from renalct.synthetic.kits_like import Donor, KitsLikeSettings, make_kits_like
from renalct.synthetic.procedural import procedural_patient
from scipy import ndimage

SPACING = (2.0, 2.0, 2.5)
QUIET = KitsLikeSettings(
    spacing_mm=(1.6, 1.6, 2.0), shape=(160, 130, 72), phase=Phase.NEPHROGRAPHIC, change=NO_CHANGE, new_masses=0,
    noise_sd_hu=0.0, rim_mm=0.0,
)  # fmt: skip


def ball(x, y, z, center, radii):
    return sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), center, radii, strict=True)) < 1


def two_kidneys():
    """Labels with x to the left, y to the back, z to the feet, as KiTS has them."""
    shape = (110, 50, 60)
    grid = Grid(shape, np.diag([-2.0, -2.0, -2.5, 1.0]))
    x, y, z = (grid.to_patient(np.indices(shape).reshape(3, -1).T).T).reshape(3, *shape)
    values = np.zeros(shape, np.uint8)
    values[ball(x, y, z, (-50, -50, -75), (24, 22, 50))] = Structure.KIDNEY
    values[ball(x, y, z, (-170, -50, -75), (24, 22, 50))] = Structure.KIDNEY
    values[ball(x, y, z, (-30, -50, -75), (14, 14, 14))] = Structure.TUMOR
    values[ball(x, y, z, (-180, -50, -55), (8, 8, 8))] = Structure.CYST
    return LabelMap(values, grid)


@pytest.fixture(scope="module")
def labels():
    return two_kidneys()


@pytest.fixture(scope="module")
def patient(labels):
    return patient_map(labels, name="two", histology="papillary_rcc")


@pytest.fixture(scope="module")
def made(patient):
    return make_kits_like(Donor(patient), QUIET, seed=3)


def volumes_ml(label_map):
    counts = np.bincount(label_map.values.ravel(), minlength=5)
    return counts[1:] * label_map.grid.voxel_ml


def test_a_map_keeps_sides_volumes_and_masses(labels, patient):
    assert sorted(k.side.value for k in patient.kidneys) == ["left", "right"]
    right = next(k for k in patient.kidneys if k.side is Side.RIGHT)
    assert [m.structure for m in right.masses] == [Structure.TUMOR]
    organs = sum(k.organ.volume_ml for k in patient.kidneys)
    assert organs == pytest.approx(volumes_ml(labels).sum())
    assert right.organ.center_mm[0] == pytest.approx(61, abs=2)  # half the distance, and the tumor on its outer side


def test_every_class_has_the_volume_that_was_asked_for(labels, made):
    """Within 3 %: painted to the voxel at 2 mm, where a half of each slice's voxels rounds either way."""
    np.testing.assert_allclose(volumes_ml(made.phantom.label_map)[:3], volumes_ml(labels)[:3], rtol=0.03)
    for mass, asked in zip(made.phantom.masses, made.asked, strict=True):
        assert mass.mask.count * made.phantom.label_map.grid.voxel_ml == pytest.approx(asked.asked_ml, rel=0.03)


def test_masses_keep_their_class_and_side(made):
    assert {(m.mass_class, m.side) for m in made.phantom.masses} == {
        (MassClass.SOLID, Side.RIGHT), (MassClass.CYSTIC, Side.LEFT),
    }  # fmt: skip
    grid = made.phantom.label_map.grid
    tumor = grid.to_patient(np.argwhere(made.phantom.label_map.values == Structure.TUMOR)).mean(axis=0)
    assert tumor[0] > 0  # the patient's right


@pytest.mark.parametrize(("phase", "asked_hu"), [(Phase.NEPHROGRAPHIC, None), (Phase.NON_CONTRAST, None)])
def test_ct_numbers_are_those_that_were_asked_for(patient, phase, asked_hu):
    """Within 8 HU in the middle of tissues: their texture is 8 HU and its patches are few."""
    made = make_kits_like(Donor(patient), replace(QUIET, phase=phase), seed=5)
    hu, values = made.phantom.volumes[0].hu, made.phantom.label_map.values
    deep = ndimage.binary_erosion(values == Structure.KIDNEY, iterations=3)
    assert np.median(hu[deep]) == pytest.approx(made.enhancement.kidney_hu, abs=8)
    for mass, asked in zip(made.phantom.masses, made.asked, strict=True):
        inside = np.zeros(values.shape, bool)
        mass.mask.paint(inside, True)
        assert hu[ndimage.binary_erosion(inside, iterations=2)].mean() == pytest.approx(asked.mean_hu, abs=14)


def test_the_surroundings_are_mostly_fat(made):
    kidney = made.phantom.label_map.values > 0
    shell = ndimage.binary_dilation(kidney, iterations=2) & ~ndimage.binary_dilation(kidney)
    assert (made.phantom.volumes[0].hu[shell] < -30).mean() > 0.5


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(patient):
    small = KitsLikeSettings(spacing_mm=(3.0, 3.0, 5.0), shape=(80, 64, 12))
    one, same, other = (make_kits_like(Donor(patient), small, seed=s, others=(patient,)) for s in (1, 1, 2))
    assert one.phantom.volumes[0].hu.tobytes() == same.phantom.volumes[0].hu.tobytes()
    assert one.phantom.label_map.values.tobytes() == same.phantom.label_map.values.tobytes()
    assert one.phantom.volumes[0].hu.tobytes() != other.phantom.volumes[0].hu.tobytes()


def test_a_field_of_one_voxel_can_be_made(patient):
    made = make_kits_like(Donor(patient), replace(QUIET, shape=(1, 1, 1)), seed=0)
    assert made.phantom.volumes[0].hu.shape == (1, 1, 1)


def test_kidneys_of_nobody_fill_a_volume():
    donor = Donor(procedural_patient(rng=np.random.default_rng(2)))
    made = make_kits_like(donor, replace(QUIET, new_masses=2), seed=2)
    kidneys = sum(k.organ.volume_ml for k in donor.patient.kidneys)
    extra = sum(a.asked_ml for a in made.asked)
    assert kidneys * 0.7 < volumes_ml(made.phantom.label_map).sum() < (kidneys + extra) * 1.03


def test_a_label_map_without_an_organ_is_refused():
    values = np.zeros((10, 10, 10), np.uint8)
    values[5, 5, 5] = 1
    with pytest.raises(InputError, match="3 ml"):
        patient_map(LabelMap(values, Grid(values.shape, np.eye(4))), name="crumb")


def test_mirrored_kidneys_change_sides_and_nothing_else(patient):
    flipped = changed(patient, ShapeChange(0, 0, 0, 1.0), rng=np.random.default_rng(0))
    for before, after in zip(patient.kidneys, flipped.kidneys, strict=True):
        assert before.side is not after.side and before.organ.volume_ml == after.organ.volume_ml
        assert after.organ.center_mm[0] == pytest.approx(-before.organ.center_mm[0])


def test_a_changed_kidney_has_the_volume_that_its_shape_says(patient):
    """Within 4 %: distances are kept on a grid of 2 mm."""
    bent = changed(patient, ShapeChange(mirror=0.0), rng=np.random.default_rng(4))
    for before, after in zip(patient.kidneys, bent.kidneys, strict=True):
        inside = np.count_nonzero(after.organ.distance_mm > 0) * 8 / 1000
        assert inside == pytest.approx(after.organ.volume_ml, rel=0.04)
        assert after.organ.volume_ml != pytest.approx(before.organ.volume_ml, rel=0.001)


@pytest.mark.parametrize("diameter_mm", [3.0, 8.0, 40.0])
def test_an_ellipsoid_has_the_volume_of_its_sphere(diameter_mm):
    mass = ellipsoid_mass(MassClass.CYSTIC, diameter_mm, rng=np.random.default_rng(1))
    assert mass.shape.volume_ml == pytest.approx(np.pi / 6 * diameter_mm**3 / 1000)
    assert mass.shape.distance_mm.max() > 0 and mass.structure is Structure.CYST


def test_a_loosened_mass_lies_about_the_origin(patient):
    mass = next(m for k in patient.kidneys for m in k.masses if m.structure is Structure.TUMOR)
    loose = loosened(mass, rng=np.random.default_rng(0))
    inside = np.count_nonzero(loose.shape.distance_mm > 0) * 8 / 1000
    assert inside == pytest.approx(loose.shape.volume_ml, rel=0.15)
    assert np.abs(loose.shape.center_mm).max() < 2.0


def test_measured_ct_numbers_give_kidney_tumor_and_phase():
    """Half kidney at 150 with fat at its edge (so 0.85 x 150 on average), half tumor at 60: the mean is 94."""
    half = Measured((58, 60, 105, 150, 152), 94, 100, 100, 0)
    found = measured_enhancement(half, rng=np.random.default_rng(0))
    assert found.phase is Phase.NEPHROGRAPHIC
    assert found.kidney_hu == pytest.approx(145, abs=12) and found.tumor_hu == pytest.approx(60, abs=20)
    plain = measured_enhancement(Measured((-10, 20, 30, 38, 45), 28, 300, 0, 0), rng=np.random.default_rng(0))
    assert plain.phase is Phase.NON_CONTRAST and plain.tumor_hu is None
    early = measured_enhancement(Measured((0, 70, 130, 190, 240), 130, 300, 5, 0), rng=np.random.default_rng(0))
    assert early.phase is Phase.CORTICOMEDULLARY


def test_tumors_are_as_bright_as_their_histology_and_cysts_are_fluid(patient):
    rng = np.random.default_rng(0)
    enhancement = measured_enhancement(Measured((0, 100, 120, 135, 150), 115, 300, 5, 0), rng=rng)
    means = {
        name: np.mean([look_of(Structure.TUMOR, name, enhancement, rng=rng).mean_hu for _ in range(60)])
        for name in ("oncocytoma", "papillary_rcc")
    }
    assert means["oncocytoma"] > means["papillary_rcc"] + 15
    cysts = [look_of(Structure.CYST, "", enhancement, rng=rng).mean_hu for _ in range(100)]
    assert np.median(cysts) == pytest.approx(11, abs=4)
