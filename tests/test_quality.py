import numpy as np
import pytest
from renalct.core.findings import Findings, HUStatistics, Kidney
from renalct.core.grid import Box
from renalct.core.labels import Side
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume, Mask
from renalct.imaging.quality import image_notices
from shapes import grid_of

SURE = PhaseEstimate(Phase.NEPHROGRAPHIC, 0.98, "the description says so")


def notices(*, shape=(10, 10, 100), step=2.0, sides=(Side.RIGHT, Side.LEFT), phase=SURE, corner=(3, 3, 30)):
    grid = grid_of(shape, (1.0, 1.0, step))
    box = Box(corner, tuple(c + 3 for c in corner))
    mask = Mask(box, np.ones(box.shape, bool))
    hu = HUStatistics(150, 10, 100, 200)
    kidneys = tuple(Kidney(side, mask, 150.0, 150.0, (0.0, 0.0, 0.0), hu) for side in sides)
    return image_notices(CTVolume(np.zeros(shape, np.int16), grid), Findings(kidneys), phase)


def test_a_complete_thin_study_of_a_sure_phase_needs_no_notice():
    assert notices() == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"shape": (10, 10, 40), "step": 7.5}, "7.5 mm apart"),
        ({"shape": (10, 10, 20), "step": 2.5, "corner": (3, 3, 5)}, "cover 50 mm"),
        ({"corner": (3, 3, 0)}, "reaches the edge"),
        ({"corner": (7, 3, 30)}, "reaches the edge"),
        ({"phase": PhaseEstimate()}, "phase is unknown"),
        ({"phase": PhaseEstimate(Phase.CORTICOMEDULLARY, 0.7, "bright cortex")}, "Phase estimated: corticomedullary"),
        ({"phase": PhaseEstimate(Phase.NON_CONTRAST, 0.99, "plain")}, "No contrast was seen"),
        ({"sides": (Side.UNDETERMINED, Side.LEFT)}, "could not be determined"),
        ({"sides": (Side.LEFT,)}, "Only one kidney"),
        ({"sides": (Side.LEFT, Side.RIGHT, Side.UNDETERMINED)}, "3 kidneys were found"),
    ],
)
def test_what_a_reader_must_know_is_said_once(changed, words):
    found = [notice for notice in notices(**changed) if words in notice]
    assert len(found) == 1 and found[0].endswith(".")
