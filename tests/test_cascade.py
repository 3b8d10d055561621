from dataclasses import replace

import numpy as np
import pytest
from renalct.cascade import Cascade
from renalct.core.errors import InputError
from renalct.core.findings import Findings
from renalct.core.labels import MassClass, Side, Structure
from renalct.core.phase import Phase
from renalct.core.volume import CTVolume, LabelMap
from renalct.models.recipes.beheshtifard2023 import BEHESHTIFARD2023
from renalct.models.recipes.starter import STARTER
from renalct.models.recipes.zang2021 import ZANG2021
from renalct.models.recipes.zhao2023 import ENSEMBLE, ONE_STAGE, ZHAO2023
from renalct.models.release import random_release
from renalct.synthetic.masses import MassSpec
from renalct.synthetic.phantom import make_phantom
from renalct.synthetic.settings import PhantomSettings
from shapes import ellipsoid, grid_of
from tiny_recipes import tiny

MASSES = (
    MassSpec(MassClass.SOLID, 36.0, Side.LEFT),
    MassSpec(MassClass.CYSTIC, 24.0, Side.RIGHT),
    MassSpec(MassClass.AML, 30.0, Side.RIGHT),
)


@pytest.fixture(scope="module")
def phantom():
    settings = PhantomSettings(
        spacing_mm=(3.0, 3.0, 4.0), phases=(Phase.NEPHROGRAPHIC, Phase.NON_CONTRAST), masses=MASSES, noise_sd_hu=8.0
    )
    return make_phantom(settings, seed=3)


@pytest.fixture(scope="module")
def cascade():
    return Cascade(random_release(tiny(STARTER), seed=1))


@pytest.fixture(scope="module")
def findings(cascade, phantom):
    return cascade.characterize(phantom.volumes[0], phantom.label_map, other_phases=phantom.volumes[1:])


def test_every_mass_is_found_on_its_side_and_numbered_by_decreasing_volume(findings):
    assert [m.name for m in findings.masses] == ["Mass L1", "Mass R2", "Mass R3"]
    volumes = [m.volume_ml for m in findings.masses]
    assert volumes == sorted(volumes, reverse=True)
    assert [k.side for k in findings.kidneys] == [Side.RIGHT, Side.LEFT]


def test_volume_is_voxels_times_voxel_volume(findings, phantom):
    for each in (*findings.kidneys, *findings.masses):
        assert each.volume_ml == pytest.approx(each.mask.count * 3 * 3 * 4 / 1000)
    for kidney in findings.kidneys:
        own = sum(m.volume_ml for m in findings.masses if m.side is kidney.side)
        assert kidney.volume_with_masses_ml == pytest.approx(kidney.volume_ml + own)
    painted = sum(m.mask.count for m in findings.masses)
    assert painted == sum(t.mask.count for t in phantom.masses)


def test_fat_and_enhancement_tell_the_made_masses_apart(findings):
    solid, aml, cyst = findings.masses
    assert aml.fat_fraction > 0.15 > solid.fat_fraction
    assert solid.enhancing_fraction > 0.7 and cyst.enhancing_fraction < 0.3


def test_without_a_second_phase_there_is_no_enhancing_fraction(cascade, phantom):
    findings = cascade.characterize(phantom.volumes[0], phantom.label_map)
    assert [m.enhancing_fraction for m in findings.masses] == [None, None, None]


def test_an_empty_segmentation_gives_a_valid_report_without_findings(cascade, phantom):
    volume = phantom.volumes[0]
    empty = LabelMap(np.zeros(volume.grid.shape, np.uint8), volume.grid)
    findings = cascade.characterize(volume, empty)
    report = cascade.report(volume, findings)
    assert (findings.kidneys, findings.masses) == ((), ())
    assert report.summary() == "No kidney was found." and report.to_json()["masses"] == []
    assert not cascade.paint(empty, findings).values.any()


def small_mass(diameter):
    """A kidney of 60 x 40 x 40 mm with one mass of a given diameter at its centre, on 1 mm voxels."""
    grid = grid_of((80, 60, 60))
    values = np.zeros(grid.shape, np.uint8)
    values[ellipsoid(grid, (40, 30, 30), (30, 20, 20))] = Structure.KIDNEY
    values[ellipsoid(grid, (40, 30, 30), (diameter / 2,) * 3)] = Structure.CYST
    return CTVolume(np.full(grid.shape, 40, np.int16), grid), LabelMap(values, grid)


def test_a_mass_under_five_millimetres_is_too_small_to_characterize(cascade):
    findings = cascade.characterize(*small_mass(4.6))
    assert findings.masses[0].average_diameter_mm < 5
    assert findings.masses[0].classification.mass_class is MassClass.UNKNOWN
    assert findings.masses[0].classification.reason == "too small to characterise"


def test_a_recipe_says_which_mass_is_too_small_to_be_one():
    release = random_release(tiny(STARTER), seed=1)
    findings = Cascade(replace(release, recipe=replace(release.recipe, smallest_mass_mm=5.0))).characterize(
        *small_mass(4.6)
    )
    assert findings.masses == () and findings.kidneys[0].volume_ml == findings.kidneys[0].volume_with_masses_ml


def test_an_unknown_mass_keeps_the_structure_it_was_segmented_as(cascade):
    volume, segmented = small_mass(4.6)
    painted = cascade.paint(segmented, cascade.characterize(volume, segmented))
    np.testing.assert_array_equal(painted.values, segmented.values)


def sure_of(mass_class):
    """A cascade whose classifier answers one class whatever it sees."""
    release = random_release(tiny(STARTER), seed=1)
    cascade = Cascade(replace(release, recipe=replace(release.recipe, abstain_below=0.5)))
    last = list(cascade._networks["classify"][0].modules())[-1]
    last.weight.zero_()
    last.bias.zero_()
    last.bias[list(MassClass).index(mass_class)] = 10.0
    return cascade


@pytest.mark.parametrize(("mass_class", "structure"), [(MassClass.AML, 4), (MassClass.CYSTIC, 3), (MassClass.SOLID, 2)])
def test_the_class_decides_the_label_that_is_painted(mass_class, structure):
    volume, segmented = small_mass(12)
    cascade = sure_of(mass_class)
    findings = cascade.characterize(volume, segmented)
    assert findings.masses[0].classification.mass_class is mass_class
    assert findings.masses[0].activation.mass_class is mass_class
    painted = cascade.paint(segmented, findings).values
    assert set(np.unique(painted[segmented.values == Structure.CYST])) == {structure}


def test_a_class_below_the_threshold_is_unknown_with_its_probabilities(cascade):
    mass = cascade.characterize(*small_mass(12)).masses[0]
    assert mass.classification.mass_class is MassClass.UNKNOWN and "50%" in mass.classification.reason
    assert sum(mass.classification.probabilities) == pytest.approx(1.0)


SMALL = PhantomSettings(spacing_mm=(6.0, 6.0, 8.0), field_mm=(192.0, 160.0, 80.0))
RECIPES = (STARTER, ZHAO2023, ONE_STAGE, ENSEMBLE, ZANG2021, BEHESHTIFARD2023)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_run_gives_a_label_map_on_the_volume_s_own_grid(recipe):
    phantom = make_phantom(SMALL, seed=1)
    stages = []
    cascade = Cascade(random_release(tiny(recipe, patch=64)))
    result = cascade.run(phantom.volumes[0], progress=lambda stage, share: stages.append(stage))
    assert result.label_map.grid.same_as(phantom.volumes[0].grid)
    assert isinstance(result.report.findings, Findings)
    assert list(dict.fromkeys(stages)) == ["localize", "segment", "classify", "explain"]
    assert {"localize", "segment", "classify"} <= dict(result.report.seconds_per_stage).keys()


def test_two_runs_give_the_same_voxels_and_the_same_report():
    cascade = Cascade(random_release(tiny(STARTER), seed=1))
    phantom = make_phantom(SMALL, seed=2)
    first, second = (cascade.run(phantom.volumes[0]) for _ in range(2))
    np.testing.assert_array_equal(first.label_map.values, second.label_map.values)
    one, two = (r.report.to_json() for r in (first, second))
    one.pop("seconds_per_stage")
    two.pop("seconds_per_stage")
    assert one == two


@pytest.mark.parametrize(("device", "words"), [("cuda:99", "not in this machine"), ("abacus", "no kind of device")])
def test_a_device_that_is_not_there_is_refused(device, words):
    with pytest.raises(InputError, match=words):
        Cascade(random_release(tiny(STARTER)), device=device)


def test_without_explanations_everything_else_is_the_same(phantom, findings):
    plain = Cascade(random_release(tiny(STARTER), seed=1), explained=False)
    found = plain.characterize(phantom.volumes[0], phantom.label_map, other_phases=phantom.volumes[1:])
    assert len(found.masses) == 3 and all(mass.activation is None for mass in found.masses)
    assert all(mass.activation is not None for mass in findings.masses)
    for one, other in zip(findings.masses, found.masses, strict=True):
        assert one.classification == other.classification and one.hu == other.hu
        assert one.mask.box == other.mask.box and np.array_equal(one.mask.voxels, other.mask.voxels)
