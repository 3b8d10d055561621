from dataclasses import replace

import numpy as np
import pytest
from renalct.core.labels import MassClass, Side
from renalct.core.phase import Phase
from renalct.synthetic.masses import MassSpec
from renalct.synthetic.settings import Coverage, PhantomSettings, demo_settings, random_settings

MASS = MassSpec(MassClass.SOLID, 20.0, Side.LEFT)


def test_the_demonstration_is_256_by_256_by_110_and_can_show_enhancement():
    settings = demo_settings()
    assert settings.shape == (256, 256, 110)
    assert Phase.NON_CONTRAST in settings.phases and len(settings.phases) == 2
    assert [mass.mass_class for mass in settings.masses] == [MassClass.SOLID, MassClass.CYSTIC, MassClass.AML]


def test_chest_and_pelvis_lie_above_and_below_the_kidneys():
    for coverage, end in ((Coverage.CHEST, -1), (Coverage.PELVIS, 1)):
        settings = PhantomSettings(coverage=coverage)
        edge = settings.center_mm[2] + end * settings.field_mm[2] / 2
        assert abs(edge) > 110 and np.sign(edge) == -end


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spacing_mm": (0.0, 1.0, 1.0)}, "no voxels"),
        ({"field_mm": (0.1, 300.0, 300.0)}, "no voxels"),
        ({"phases": ()}, "one or more of the phases"),
        ({"phases": (Phase.UNKNOWN,)}, "one or more of the phases"),
        ({"kidneys": (Side.LEFT, Side.LEFT)}, "left, right, both or none"),
        ({"masses": (MASS,), "coverage": Coverage.CHEST}, "no kidneys"),
        ({"masses": (MASS,), "kidneys": (Side.RIGHT,)}, "without a kidney"),
        ({"noise_sd_hu": -1.0}, "not negative"),
        ({"slice_thickness_mm": 1.0}, "as thick as"),
        ({"orientation": "LPP"}, "each of R/L"),
    ],
)
def test_settings_that_cannot_be_made_are_refused(change, reason):
    with pytest.raises(ValueError, match=reason):
        replace(PhantomSettings(), **change)


def test_random_settings_are_valid_varied_and_repeatable():
    draws = [random_settings(np.random.default_rng(n)) for n in range(300)]
    assert draws[7] == random_settings(np.random.default_rng(7))
    assert {s.coverage for s in draws} == set(Coverage)
    assert {s.phases[0] for s in draws} == set(Phase) - {Phase.UNKNOWN}
    assert {s.kidneys for s in draws} == {(Side.LEFT,), (Side.RIGHT,), (Side.LEFT, Side.RIGHT)}
    assert {s.spacing_mm[2] for s in draws} >= {1.0, 5.0}
