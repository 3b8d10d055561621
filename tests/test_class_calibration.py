"""Calibrated probabilities: by hand, on answers that are known to be too sure or to lean to one class."""

import math
from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import InputError, RecipeError
from renalct.core.labels import MassClass
from renalct.learning.class_calibration import (
    Answer,
    answers_of,
    calibrated_release,
    calibration_metrics,
    cross_fitted,
    fit_calibration,
)
from renalct.models.cases import phantom_files
from renalct.models.class_calibration import ClassCalibration
from renalct.models.recipes import recipe_named
from renalct.models.release import load_release, random_release, save_release
from renalct.models.run_folder import unmeasured
from tiny_recipes import tiny


def answers(patients=30, *, sure=0.95, right=0.7) -> tuple[Answer, ...]:
    """Two masses per patient, each called with a probability of `sure`, of which only a share of `right` is so."""
    rng, found = np.random.default_rng(3), []
    for n in range(2 * patients):
        called = n % 3
        row = np.full(3, (1 - sure) / 2)
        row[called] = sure
        truth = called if rng.random() < right else (called + 1 + int(rng.integers(2))) % 3
        found.append(Answer(f"p{n // 2}", (MassClass.AML, MassClass.CYSTIC, MassClass.SOLID)[truth], tuple(row)))
    return tuple(found)


def test_a_temperature_of_two_takes_the_root_of_the_odds():
    """0.8 : 0.2 : 0 has odds of 4; the root is 2."""
    (row,) = ClassCalibration(2.0).of(np.array([[0.8, 0.2, 0.0]]))
    assert row[0] / row[1] == pytest.approx(2.0) and row.sum() == pytest.approx(1.0)


def test_an_offset_multiplies_the_odds_of_its_class():
    (row,) = ClassCalibration(1.0, (0.0, math.log(3), 0.0)).of(np.array([[0.25, 0.25, 0.5]]))
    np.testing.assert_allclose(row, [0.25 / 1.5, 0.75 / 1.5, 0.5 / 1.5])


def test_without_a_change_the_same_array_comes_back():
    rows = np.array([[0.0, 0.5, 0.5]])
    assert ClassCalibration().of(rows) is rows and not ClassCalibration().changes
    assert ClassCalibration().of(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("values", [(0.0,), (-1.0,), (math.nan,), (1.0, (math.inf, 0.0, 0.0))])
def test_what_is_no_calibration_is_refused(values):
    with pytest.raises(RecipeError, match="a temperature above 0"):
        ClassCalibration(*values)


def test_a_classifier_that_is_too_sure_becomes_less_sure():
    """It says 0.95 and is right in 7 of 10: odds of 38 to each other class should be about 4.7."""
    given = answers(200)
    fitted = fit_calibration(given)
    rows = fitted.of(np.array([a.probabilities for a in given]))
    assert fitted.temperature > 1.5
    assert rows.max(axis=1).mean() == pytest.approx(0.7, abs=0.05)


def test_a_classifier_that_leans_to_solid_is_set_upright():
    """Half of the masses are cysts; of each cyst it says 0.45 cystic, 0.5 solid, of each tumor 0.2 and 0.75."""
    given = tuple(
        Answer(f"p{n}", *((MassClass.CYSTIC, (0.05, 0.45, 0.5)) if n % 2 else (MassClass.SOLID, (0.05, 0.2, 0.75))))
        for n in range(40)
    )
    metrics = {m.name: m for m in calibration_metrics(given, data="made")}
    assert metrics["class accuracy on reference masses"].value == 0.5
    assert metrics["class accuracy on reference masses, calibrated"].value == 1.0
    assert all(m.n == 40 and m.low <= m.value <= m.high for m in metrics.values())


def test_how_often_a_class_occurs_is_not_learned():
    """Nine of ten masses are solid, and the answers are even-handed: nothing is to be changed."""
    rows = {MassClass.CYSTIC: (0.1, 0.6, 0.3), MassClass.SOLID: (0.1, 0.3, 0.6)}
    often = [MassClass.CYSTIC if n % 10 == 0 else MassClass.SOLID for n in range(100)]
    _, cystic, solid = fit_calibration([Answer(f"p{n}", c, rows[c]) for n, c in enumerate(often)]).offsets
    assert cystic == pytest.approx(solid, abs=1e-3)


def test_masses_beside_the_patients_take_part_in_every_fit():
    made = tuple(replace(answer, patient="phantom") for answer in answers(40))
    alone, helped = cross_fitted(answers(10)), cross_fitted(answers(10), others=made)
    assert [a.patient for a in alone] == [a.patient for a in helped]
    assert [a.probabilities for a in alone] != [a.probabilities for a in helped]


def test_each_patient_is_calibrated_by_the_others_alone():
    """A patient whose masses contradict all others changes their calibration, and not its own."""
    given = answers(20)
    odd = tuple(replace(a, truth=MassClass.AML) if a.patient == "p0" else a for a in given)
    before, after = ([a for a in cross_fitted(each) if a.patient == "p0"] for each in (given, odd))
    assert [a.probabilities for a in before] == [a.probabilities for a in after]
    assert cross_fitted(given)[10].probabilities != cross_fitted(odd)[10].probabilities


def test_few_masses_cannot_calibrate():
    with pytest.raises(InputError, match="9 masses cannot calibrate a classifier; at least 10"):
        fit_calibration(answers()[:9])


def test_a_calibrated_release_keeps_its_calibration_on_disk_and_reads_old_ones_as_plain(tmp_path):
    release = random_release(tiny(recipe_named("starter")))
    assert not release.recipe.classify.calibration.changes
    save_release(calibrated_release(release, answers()), tmp_path / "release")
    kept = load_release(tmp_path / "release").recipe
    assert kept.classify.calibration == fit_calibration(answers()) and kept.classify.calibration.changes
    assert unmeasured(kept) == unmeasured(release.recipe)


def test_a_recipe_without_a_classifier_is_not_calibrated():
    release = random_release(tiny(recipe_named("beheshtifard2023")))
    assert answers_of(release, ()) == ()
    with pytest.raises(InputError, match="has no classifier to calibrate"):
        calibrated_release(release, answers())


def test_answers_are_those_of_the_plain_classifier_on_the_masses_of_known_class():
    release = random_release(tiny(recipe_named("starter")))
    files = phantom_files(range(2), spacing_mm=(6.0, 6.0, 8.0))
    plain = answers_of(release, files)
    assert answers_of(calibrated_release(release, answers()), files) == plain
    masses = [mass for file in files for case in file.load() for mass in case.masses]
    assert [a.truth for a in plain] == [m.mass_class for m in masses if m.mass_class is not MassClass.UNKNOWN]
    assert all(sum(a.probabilities) == pytest.approx(1.0) for a in plain)
