"""Label maps of blocks whose scores are known by hand, and what an evaluation keeps of them."""

import numpy as np
from renalct.core.grid import Box
from renalct.core.labels import MassClass
from renalct.core.volume import LabelMap
from renalct.metrics.case import evaluate_case
from renalct.metrics.evaluated import CaseRecord, Evaluated
from renalct.metrics.scores import Decision
from renalct.metrics.slice_scores import slice_scores
from shapes import grid_of

SHAPE, SPACING = (60, 24, 12), (2.0, 2.0, 4.0)
RIGHT_KIDNEY = Box((44, 4, 2), (54, 16, 10))
LEFT_KIDNEY = Box((6, 4, 2), (16, 16, 10))
RIGHT_MASS = Box((46, 6, 4), (50, 10, 8))
LEFT_MASS = Box((8, 6, 4), (12, 10, 8))
FAR_MASS = Box((8, 12, 4), (10, 14, 6))


def a_grid():
    """60 x 24 x 12 voxels of 2 x 2 x 4 mm, the midline at x = 60 mm."""
    return grid_of(SHAPE, SPACING)


def label_map(*painted: tuple[Box, int], kidneys: bool = True) -> LabelMap:
    """Two kidneys, and boxes with their label values."""
    values = np.zeros(SHAPE, np.uint8)
    for box, value in (*(((RIGHT_KIDNEY, 1), (LEFT_KIDNEY, 1)) if kidneys else ()), *painted):
        values[box.slices] = value
    return LabelMap(values, a_grid())


def record(name: str, prediction: LabelMap, reference: LabelMap, **kept) -> CaseRecord:
    """A scored case; the patient is the case."""
    scores = evaluate_case(prediction, reference, case=name, patient=name)
    return CaseRecord(scores, slices=slice_scores(prediction, reference), **kept)


def decision(reference: MassClass, answer: MassClass, *, diameter_mm: float = 20.0, patient: str = "a", **more):
    """A decision without probabilities."""
    return Decision(reference, answer, more.pop("probabilities", None), diameter_mm, patient, more.pop("dice", 1.0))


def three_patients() -> Evaluated:
    """a: both masses found exactly; b: the left mass missed; c: a false mass on the left, none in the reference."""
    tumor_and_cyst = label_map((RIGHT_MASS, 2), (LEFT_MASS, 3))
    solid, cystic = MassClass.SOLID, MassClass.CYSTIC
    return Evaluated(
        "made data",
        "made system",
        (
            record(
                "a",
                tumor_and_cyst,
                tumor_and_cyst,
                found=(decision(solid, solid, probabilities=(0.1, 0.1, 0.8)), decision(cystic, cystic)),
                given=(decision(solid, cystic), decision(cystic, cystic)),
            ),
            record("b", label_map((RIGHT_MASS, 2)), tumor_and_cyst, found=(decision(solid, solid, patient="b"),)),
            record("c", label_map((FAR_MASS, 3)), label_map(), false_classes=(MassClass.CYSTIC,)),
        ),
    )
