"""Scores survive the way to JSON and back; what was never written is refused."""

import json
import math
from dataclasses import dataclass

import pytest
from made_evaluation import three_patients
from renalct.core.labels import MassClass, Region, Side
from renalct.learning.evaluation_records import as_json, from_json
from renalct.metrics.evaluated import CaseRecord


@dataclass(frozen=True)
class Inner:
    side: Side
    value: float


@dataclass(frozen=True)
class Outer:
    region: Region
    inner: tuple[Inner, ...]
    maybe: tuple[float, float, float] | None
    name: str = "x"


def test_enums_are_written_by_name_and_nan_as_null():
    made = Outer(Region.MASS, (Inner(Side.LEFT, math.nan),), None)
    assert as_json(made) == {
        "region": "mass", "inner": [{"side": "left", "value": None}], "maybe": None, "name": "x",
    }  # fmt: skip


def test_a_record_comes_back_as_it_was():
    for record in three_patients().records:
        text = json.dumps(as_json(record), allow_nan=False)
        back = from_json(CaseRecord, json.loads(text))
        assert as_json(back) == as_json(record)
        assert back.found == record.found and back.scores.case == record.scores.case
        assert back.scores.regions[0].region is Region.KIDNEY_AND_MASS


@pytest.mark.parametrize(
    "data",
    [
        {"region": "liver", "inner": [], "maybe": None, "name": "x"},
        {"region": "mass", "inner": [], "maybe": [0.1], "name": "x"},
        {"region": "mass", "inner": [{"side": "left"}], "maybe": None, "name": "x"},
        {"region": "mass", "inner": [], "maybe": None, "name": 3},
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_json(Outer, data)


def test_a_class_is_read_by_its_name():
    assert from_json(MassClass, "aml") is MassClass.AML
