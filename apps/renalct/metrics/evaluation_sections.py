"""The parts of an evaluation: which tables and charts stand together, what to say of them, and the headline."""

from __future__ import annotations

import math
from collections.abc import Sequence

from renalct.core.labels import Region
from renalct.metrics.detection import count_by_touch
from renalct.metrics.estimates import mean_of, ratio_of
from renalct.metrics.evaluated import Evaluated, decisions_of, of_records
from renalct.metrics.evaluation_figures import (
    class_figures,
    comparison_figures,
    froc_figures,
    probability_figures,
    reader_figures,
    region_figures,
    side_figures,
    size_figures,
)
from renalct.metrics.evaluation_page import Headline, Section
from renalct.metrics.figures import Figure
from renalct.metrics.paper_tables import (
    FOUND,
    GIVEN,
    agreement_table,
    class_table,
    confusion_table,
    detection_table,
    external_table,
)
from renalct.metrics.paper_tables_kits import REGION_NAMES, region_table, size_table, slice_table
from renalct.metrics.result_tables import (
    case_table,
    distance_table,
    false_positive_table,
    iou_table,
    probability_table,
    reader_table,
    strata_table,
)
from renalct.metrics.significance_tables import comparison_table, question_table

_FEW_PATIENTS = 20


def headlines(evaluated: Evaluated) -> tuple[Headline, ...]:
    """The numbers to read first: Dice by region, masses found and false, and the accuracy of classes."""
    patients = [record.patient for record in evaluated.records]
    found = []
    for region in Region:
        values = [record.scores.region(region).dice for record in evaluated.records]
        name = REGION_NAMES[region]
        found.append(Headline(f"Dice, {name}", mean_of(values, patients), of_records(evaluated.scored_on(region))))
    known = evaluated.scored_on(Region.MASS)
    patients = [record.patient for record in known]
    counts = [count_by_touch([record.scores]) for record in known]
    there = [each.true_positives + each.false_negatives for each in counts]
    number = ratio_of([each.true_positives for each in counts], there, patients, factor=100, decimals=0)
    found.append(Headline("Masses found, %", number, f"{sum(there)} masses"))
    number = ratio_of([each.false_positives for each in counts], [1] * len(counts), patients)
    found.append(Headline("False masses per case", number, of_records(known)))
    for name, given in ((GIVEN, True), (FOUND, False)):
        decisions = decisions_of(evaluated.records, given=given)
        if decisions:
            names = [d.patient for d in decisions]
            number = ratio_of([d.correct for d in decisions], [1] * len(decisions), names, factor=100, decimals=0)
            found.append(Headline(f"Class right, {name}, %", number, f"{len(decisions)} masses"))
    return tuple(found)


def notices(evaluated: Evaluated) -> tuple[str, ...]:
    """What a reader must know before the numbers."""
    said = ["Numbers of the papers are of their own patients. They show the layout and the scale, not a comparison."]
    if len(evaluated.patients) < _FEW_PATIENTS:
        said.append(f"This is from {len(evaluated.patients)} patients: read the intervals, not the means.")
    said += evaluated.partial
    for region in (Region.MASS, Region.TUMOR):
        known = evaluated.scored_on(region)
        missing = sum(math.isnan(record.scores.region(region).hausdorff_mm) for record in known)
        if missing:
            said.append(
                f"In {missing} of {len(known)} cases the {region.title} has no distance, because it is "
                "empty in the reference or in the prediction."
            )
    ignored = sum(record.scores.ignored_references for record in evaluated.records)
    if ignored:
        said.append(f"{ignored} masses of the references are under the smallest size and were not counted.")
    unclassified = sum(len(record.scores.references) for record in evaluated.records)
    if unclassified and not decisions_of(evaluated.records, given=True):
        said.append(
            "The classifier was not asked about the readers' masks; only its answers on found masses are shown."
        )
    return tuple(said)


def sections(evaluated: Evaluated, *, other: Evaluated | None, pictures: Sequence[Figure]) -> tuple[Section, ...]:
    """All sections in the order of the page. `other` is a second system on the same cases, or None."""
    readers = reader_table(evaluated)
    found = [
        Section(
            "regions",
            "Segmentation by region",
            ("Regions as in KiTS: kidney with masses, masses (tumors and cysts), and tumors.",),
            (region_table(evaluated), distance_table(evaluated)),
            region_figures(evaluated),
        ),
        Section(
            "sides",
            "Each kidney",
            ("Left and right are those of the patient, from the coordinates of the voxels.",),
            (agreement_table(evaluated),),
            side_figures(evaluated),
        ),
        Section(
            "detection",
            "Masses found",
            (),
            (detection_table(evaluated), iou_table(evaluated), strata_table(evaluated)),
            froc_figures(evaluated),
        ),
        Section(
            "classes",
            "Classes of masses",
            ("AML, cystic or solid, asked twice: inside the readers' masks, and inside the masks that were found.",),
            (
                confusion_table(evaluated),
                class_table(evaluated),
                external_table(evaluated),
                probability_table(evaluated),
                false_positive_table(evaluated),
            ),
            (*class_figures(evaluated), *probability_figures(evaluated)),
        ),
        Section("sizes", "Small and large tumors", (), (size_table(evaluated),), size_figures(evaluated)),
        Section("slices", "Slice by slice", (), (slice_table(evaluated),)),
        Section("tests", "Tests", (), (question_table(evaluated),)),
    ]
    if other is not None:
        tables, figures = (comparison_table(evaluated, other),), comparison_figures(evaluated, other)
        found.insert(0, Section("comparison", "Two systems on the same cases", (), tables, figures))
    if readers is not None:
        found.append(Section("readers", "Readers", (), (readers,), reader_figures(evaluated)))
    found.append(Section("cases", "Every case", (), (case_table(evaluated),), folded=True))
    if pictures:
        found.append(Section("pictures", "Cases and training", (), (), tuple(pictures)))
    return tuple(found)
