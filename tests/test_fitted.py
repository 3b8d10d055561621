"""The mean and deviation of the training set, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from renalct.core.errors import RecipeError
from renalct.core.volume import CTVolume, LabelMap
from renalct.models.cases import Case, CaseFile, Origin
from renalct.models.fitted import fit_intensities
from renalct.models.recipes import recipe_named
from renalct.models.run_folder import unmeasured
from shapes import grid_of


def file_of(hu, labels) -> CaseFile:
    grid = grid_of((len(hu), 1, 1), (1.0, 1.0, 1.0))
    volume = CTVolume(np.asarray(hu, np.int16).reshape(-1, 1, 1), grid)
    case = Case("a", "a", Origin.VOLUME, volume, LabelMap(np.asarray(labels, np.uint8).reshape(-1, 1, 1), grid))
    return CaseFile("a", "a", Origin.VOLUME, lambda: (case,))


def test_each_phase_of_beheshtifard_takes_what_its_network_sees():
    """Phase 1: all that is scanned, clipped to 0 to 200 HU: 0, 100, 200, 100. Phase 2: the kidney and tumor voxels."""
    files = [file_of([-1024, -500, 100], [0, 0, 1]), file_of([900, 100], [0, 2])]
    fitted = fit_intensities(recipe_named("beheshtifard2023"), files)
    assert fitted.localize.intensity.mean_hu == pytest.approx(100.0)
    assert fitted.localize.intensity.sd_hu == pytest.approx(np.std([0, 100, 200, 100]), abs=1e-3)
    assert (fitted.segment.intensity.mean_hu, fitted.segment.intensity.sd_hu) == (100.0, 1.0)
    assert unmeasured(fitted) == unmeasured(recipe_named("beheshtifard2023")) != fitted


def test_other_recipes_are_as_they_were_and_no_case_is_read():
    def never():
        raise AssertionError

    files = [replace(file_of([0], [0]), load=never)]
    assert fit_intensities(recipe_named("zhao2023"), files) is recipe_named("zhao2023")


def test_a_training_set_without_voxels_is_refused():
    with pytest.raises(RecipeError, match="no training case has voxels"):
        fit_intensities(recipe_named("beheshtifard2023"), [file_of([100], [0])])
