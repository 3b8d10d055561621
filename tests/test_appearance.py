import numpy as np
import pytest
from renalct.core.phase import Phase
from renalct.synthetic.appearance import FIRST_OWN, PHASES, PRIORS, Material, Palette, Prior


def test_every_material_has_a_prior_below_the_numbers_of_single_masses():
    assert set(PRIORS) == set(Material) and max(Material) < FIRST_OWN


def test_without_spread_and_contrast_the_palette_is_the_table():
    palette = Palette((Phase.NON_CONTRAST,), np.random.default_rng(0), spread=0.0)
    for material, prior in PRIORS.items():
        assert palette.hu[0, material] == pytest.approx(prior.hu[0])


def test_a_phase_is_reached_between_its_own_prior_and_that_of_the_next():
    palette = Palette((Phase.CORTICOMEDULLARY,), np.random.default_rng(0), spread=0.0)
    early, late = PRIORS[Material.RENAL_MEDULLA].hu[1:3]
    assert early <= palette.hu[0, Material.RENAL_MEDULLA] <= early + 0.3 * (late - early)


def test_patients_differ_by_about_the_standard_deviation_of_the_prior():
    draws = [Palette((Phase.NON_CONTRAST,), np.random.default_rng(n)).hu[0, Material.LIVER] for n in range(200)]
    assert np.mean(draws) == pytest.approx(55, abs=2) and np.std(draws) == pytest.approx(9, rel=0.2)


def test_fat_does_not_enhance_and_cortex_enhances_first():
    palette = Palette(PHASES, np.random.default_rng(4))
    assert np.ptp(palette.hu[:, Material.FAT]) == pytest.approx(0, abs=1e-3)
    assert palette.hu[1, Material.RENAL_CORTEX] > palette.hu[1, Material.RENAL_MEDULLA] + 40
    assert palette.hu[3, Material.URINE] > 400


def test_own_materials_get_new_numbers_and_run_out_with_a_message():
    palette = Palette((Phase.NON_CONTRAST,), np.random.default_rng(0))
    numbers = [palette.add(Prior((10, 10, 10, 10), 0, 0), shift_hu=5) for _ in range(192)]
    assert numbers == list(range(64, 256)) and palette.hu[0, 255] == pytest.approx(15)
    with pytest.raises(ValueError, match="at most 192"):
        palette.add(Prior((10, 10, 10, 10), 0, 0))
