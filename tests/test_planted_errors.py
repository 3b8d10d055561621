"""A small version of benchmarks/bench_label_checks.py: what it prints for many phantoms is asserted here for few."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from renalct.imaging.label_checks import check_labels
from renalct.imaging.label_findings import FindingKind
from renalct.synthetic.planted_errors import ERRORS, made_labels, planted

SEEDS = (1, 4)
NEVER_PLANTED = {FindingKind.DROPPED, FindingKind.NOT_ASSESSED}
"""Not errors of labels: what ingestion left out, and what lies outside of the part that is done."""


@pytest.fixture(scope="module")
def good():
    return [made_labels(seed, finest_mm=(2.6, 4.0)) for seed in SEEDS]


@pytest.fixture(scope="module")
def errors(good):
    return [error for seed, labelled in zip(SEEDS, good, strict=True) for error in planted(labelled, seed=seed)]


def check(labelled):
    return check_labels(labelled.label_map, labelled.volume, stated=labelled.stated)


def test_good_labels_have_no_finding(good):
    assert [finding.sentence for labelled in good for finding in check(labelled)] == []


def test_nine_in_ten_planted_errors_are_found_at_their_place_and_every_kind_more_often_than_not(errors):
    found, asked = Counter(), Counter()
    for error in errors:
        asked[error.kind] += 1
        found[error.kind] += error.is_found(check(error.labelled))
    assert set(FindingKind) - set(asked) <= NEVER_PLANTED
    assert found.total() / asked.total() >= 0.9
    assert [kind.value for kind in asked if found[kind] <= asked[kind] / 2] == []


def test_an_error_counts_as_found_only_near_its_place(errors):
    far = next(error for error in errors if error.kind is FindingKind.MASS_FAR)
    findings = check(far.labelled)
    assert far.is_found(findings) and not far.is_found(())
    elsewhere = np.zeros_like(far.where)
    elsewhere[0, 0, 0] = True
    assert not replace(far, where=elsewhere).is_found(findings)


def test_the_same_seed_plants_the_same_errors(good, errors):
    again = list(planted(good[0], seed=SEEDS[0]))
    one = errors[: len(again)]
    assert {error.labelled.name for error in one} == {good[0].name}
    assert len(again) > len({kind for kind, _, _ in ERRORS})
    for a, b in zip(one, again, strict=True):
        assert (a.kind, a.strength) == (b.kind, b.strength)
        assert np.array_equal(a.labelled.label_map.values, b.labelled.label_map.values)


def test_every_error_changes_the_labels_or_what_is_stated(good, errors):
    originals = {labelled.name: labelled for labelled in good}
    for error in errors:
        original = originals[error.labelled.name]
        same = np.array_equal(error.labelled.label_map.values, original.label_map.values)
        assert not same or error.labelled.stated != original.stated, error.strength
