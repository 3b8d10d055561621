import numpy as np
import pytest
from renalct.core.labels import KNOWN_CLASSES, MassClass, Side
from renalct.core.phase import Phase
from renalct.synthetic.anatomy import Build
from renalct.synthetic.appearance import FIRST_OWN, Palette
from renalct.synthetic.canvas import Canvas
from renalct.synthetic.kidneys import KidneyShape
from renalct.synthetic.masses import MassSpec, PlacedMass, paint_mass, place_masses, random_masses

BUILD = Build.drawn(np.random.default_rng(0))
KIDNEYS = tuple(
    KidneyShape.drawn(side, BUILD, np.random.default_rng((0, n))) for n, side in enumerate((Side.LEFT, Side.RIGHT))
)


def paint(mass_class, diameter_mm, *, spacing=(1.0, 1.0, 1.0), seed=0, half_mm=50.0):
    """A mass in the middle of its canvas, and the palette it was painted with."""
    mass = PlacedMass(MassSpec(mass_class, diameter_mm), KIDNEYS[0], (0.0, 0.0, 0.0))
    canvas = Canvas(tuple(round(2 * half_mm / s) for s in spacing), spacing_mm=spacing, center_mm=(0.0, 0.0, 0.0))
    palette = Palette((Phase.NON_CONTRAST, Phase.NEPHROGRAPHIC), np.random.default_rng(seed), spread=0.0)
    found = paint_mass(canvas, mass, palette, np.random.default_rng(seed))
    return canvas, palette, found


@pytest.mark.parametrize("mass_class", KNOWN_CLASSES)
@pytest.mark.parametrize("diameter_mm", [6.0, 20.0, 60.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0)])
def test_a_mass_has_the_volume_of_its_sphere(mass_class, diameter_mm, spacing):
    canvas, _, (_, inside) = paint(mass_class, diameter_mm, spacing=spacing)
    volume = np.count_nonzero(inside) * np.prod(spacing)
    assert volume == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.02)  # to one voxel
    assert np.count_nonzero(canvas.material) == np.count_nonzero(inside)


def test_a_mass_smaller_than_a_voxel_fills_one():
    _, _, (_, inside) = paint(MassClass.CYSTIC, 1.0, spacing=(2.0, 2.0, 5.0))
    assert np.count_nonzero(inside) == 1


def test_a_mass_out_of_view_is_none_and_one_half_in_view_is_cut():
    mass = PlacedMass(MassSpec(MassClass.SOLID, 20.0), KIDNEYS[0], (0.0, 0.0, 0.0))
    palette = Palette((Phase.NON_CONTRAST,), np.random.default_rng(0))
    far = Canvas((10, 10, 10), spacing_mm=(1.0, 1.0, 1.0), center_mm=(300.0, 0.0, 0.0))
    assert paint_mass(far, mass, palette, np.random.default_rng(0)) is None
    half = Canvas((30, 60, 60), spacing_mm=(1.0, 1.0, 1.0), center_mm=(15.0, 0.0, 0.0))
    _, inside = paint_mass(half, mass, palette, np.random.default_rng(0))
    assert np.count_nonzero(inside) == pytest.approx(4189 / 2, rel=0.15)


def hu_of(canvas, palette):
    return palette.hu[:, canvas.material[canvas.material >= FIRST_OWN]]


@pytest.mark.parametrize("seed", range(8))
def test_a_cyst_is_fluid_or_dense_and_does_not_enhance(seed):
    canvas, palette, _ = paint(MassClass.CYSTIC, 30.0, seed=seed)
    plain, nephrographic = np.median(hu_of(canvas, palette), axis=1)
    assert plain == pytest.approx(nephrographic)
    assert -3 <= plain <= 20 or 45 <= plain <= 80


@pytest.mark.parametrize("seed", range(8))
def test_a_solid_mass_gains_more_than_20_hu_in_more_than_a_quarter_and_has_no_fat(seed):
    canvas, palette, _ = paint(MassClass.SOLID, 50.0, seed=seed)
    plain, nephrographic = hu_of(canvas, palette)
    assert (nephrographic - plain > 20).mean() > 0.25
    assert plain.min() > -10


@pytest.mark.parametrize("seed", range(8))
def test_an_angiomyolipoma_has_macroscopic_fat_in_soft_tissue_and_no_calcification(seed):
    canvas, palette, _ = paint(MassClass.AML, 30.0, seed=seed)
    plain, nephrographic = hu_of(canvas, palette)
    assert 0.25 < (plain < -30).mean() < 0.95
    assert nephrographic.max() < 160 and nephrographic.max() > 30


def test_masses_are_placed_on_their_side_and_apart():
    specs = tuple(
        MassSpec(MassClass.CYSTIC, d, side) for d, side in ((30, Side.LEFT), (20, Side.RIGHT), (12, Side.LEFT))
    )
    for seed in range(20):
        placed = place_masses(specs, KIDNEYS, BUILD, np.random.default_rng(seed))
        assert [m.spec.diameter_mm for m in placed] == [30, 20, 12]  # in the order that was asked for
        assert [np.sign(m.center[0]) for m in placed] == [-1, 1, -1]
        for one, other in ((0, 1), (0, 2), (1, 2)):
            distance = np.linalg.norm(np.subtract(placed[one].center, placed[other].center))
            assert distance > placed[one].radius_mm + placed[other].radius_mm + 5


def test_masses_without_room_or_kidney_are_left_out():
    crowd = tuple(MassSpec(MassClass.SOLID, 60.0, Side.LEFT) for _ in range(9))
    assert 1 <= len(place_masses(crowd, KIDNEYS, BUILD, np.random.default_rng(0))) < 9
    assert place_masses(crowd, KIDNEYS[1:], BUILD, np.random.default_rng(0)) == ()


def test_random_masses_are_none_to_four_of_3_to_70_mm():
    draws = [random_masses(np.random.default_rng(n)) for n in range(300)]
    assert {len(masses) for masses in draws} == {0, 1, 2, 3, 4}
    every = [mass for masses in draws for mass in masses]
    assert all(3 <= mass.diameter_mm <= 70 for mass in every)
    assert {mass.mass_class for mass in every} == set(KNOWN_CLASSES)


@pytest.mark.parametrize(
    ("mass_class", "diameter_mm", "side", "reason"),
    [
        (MassClass.UNKNOWN, 20.0, None, "unknown is only an answer"),
        (MassClass.SOLID, 0.0, None, "1 to 150 mm"),
        (MassClass.SOLID, 20.0, Side.UNDETERMINED, "on the left"),
    ],
)
def test_a_mass_that_cannot_be_made_is_refused(mass_class, diameter_mm, side, reason):
    with pytest.raises(ValueError, match=reason):
        MassSpec(mass_class, diameter_mm, side)
