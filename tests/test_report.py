import json
from dataclasses import replace

import pytest
from made_report import TOO_SMALL, block, kidney, mass, report
from renalct.core.findings import Classification, Findings
from renalct.core.labels import KNOWN_CLASSES, MassClass, Side
from renalct.core.report import NOT_FOR_CLINICAL_USE

KIDNEYS = (kidney(block((5, 5, 5), (15, 15, 15))), kidney(block((25, 5, 5), (35, 15, 15)), Side.LEFT))
MASS = mass(block((8, 8, 8), (12, 12, 12)))


@pytest.mark.parametrize(
    ("findings", "summary"),
    [
        (Findings(), "No kidney was found."),
        (Findings(KIDNEYS[:1]), "Found 1 kidney (right) and no renal mass."),
        (Findings(KIDNEYS), "Found 2 kidneys (right, left) and no renal mass."),
        (Findings(KIDNEYS, (MASS,)), "Found 2 kidneys (right, left) and 1 renal mass: Mass R1, solid, 4 mm."),
    ],
)
def test_the_summary_says_what_was_found_in_one_sentence(findings, summary):
    assert report(findings).summary() == summary


def test_the_json_begins_with_the_schema_and_the_warnings_and_survives_a_round_trip():
    data = report(Findings(KIDNEYS, (MASS,))).to_json()
    assert list(data)[:3] == ["schema_version", "warning", "trained_on"]
    assert data["schema_version"] == 1 and data["warning"] == NOT_FOR_CLINICAL_USE
    assert json.loads(json.dumps(data)) == data


def test_every_measurement_of_a_mass_is_in_the_json():
    (data,) = report(Findings(KIDNEYS, (MASS,))).to_json()["masses"]
    assert data["name"] == "Mass R1" and data["side"] == "right" and data["class"] == "solid"
    assert data["class_probabilities"] == {"aml": 0.05, "cystic": 0.12, "solid": 0.83}
    assert data["longest_axial_diameter_mm"] == MASS.longest_axial.length_mm == 4
    assert data["volume_ml"] == 12.3 and data["voxels"] == 64
    assert set(data["hu"]) == {"mean", "sd", "min", "max"} and data["enhancing_fraction"] is None


def test_a_class_that_is_not_known_says_why():
    (data,) = report(Findings(KIDNEYS, (replace(MASS, classification=TOO_SMALL),))).to_json()["masses"]
    assert (data["class"], data["class_reason"]) == ("unknown", "too small to characterise")
    assert data["class_probabilities"] is None


def test_a_report_without_findings_is_valid():
    data = report(Findings()).to_json()
    assert data["kidneys"] == data["masses"] == []


def test_masses_are_numbered_without_gaps():
    with pytest.raises(ValueError, match="without gaps"):
        Findings(KIDNEYS, (replace(MASS, number=2),))


@pytest.mark.parametrize(
    ("mass_class", "probabilities", "reason"),
    [
        (MassClass.UNKNOWN, (), ""),
        (MassClass.SOLID, (), "a reason"),
        (MassClass.SOLID, (0.5, 0.5), ""),
    ],
)
def test_a_classification_that_contradicts_itself_cannot_be_built(mass_class, probabilities, reason):
    with pytest.raises(ValueError):
        Classification(mass_class, probabilities, reason)


def test_a_probability_is_found_by_its_class():
    classification = Classification(MassClass.SOLID, (0.1, 0.2, 0.7))
    assert [classification.probability(c) for c in KNOWN_CLASSES] == [0.1, 0.2, 0.7]
    assert Classification(MassClass.UNKNOWN, reason="none").probability(MassClass.AML) is None
