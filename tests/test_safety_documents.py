"""The safety documents agree with each other and with the code: what they name exists, and numbers are those in use."""

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from renalct.learning.loop.gate import GateSettings
from renalct.models.release import INTENDED_USE

ROOT = Path(__file__).parents[1]
SAFETY = ROOT / "docs" / "safety"
PAGES = ("intended_use.md", "hazards.md", "requirements.md", "change_control.md")
IHE = ROOT / "docs" / "ihe_air.md"
NOT_MET = "not met"


def rows(text: str, kind: str) -> dict[str, list[str]]:
    """The cells of the table rows that begin with an id of this kind (R, H), by id. An id that stands twice fails."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(rf"{kind}-\d+", cells[0]):
            assert cells[0] not in found, f"{cells[0]} stands twice"
            found[cells[0]] = cells[1:]
    return found


def ids(text: str, kind: str) -> set[str]:
    """The ids of a kind that a text mentions; "R-01 to R-03" mentions three."""
    found = set(re.findall(rf"\b{kind}-\d+", text))
    for first, last in re.findall(rf"\b{kind}-(\d+) to {kind}-(\d+)", text):
        found |= {f"{kind}-{n:02d}" for n in range(int(first), int(last) + 1)}
    return found


def named_tests(text: str) -> list[str]:
    """The tests that a text names, as file::function."""
    return re.findall(r"`(?:tests/)?(test_\w+\.py::test_\w+)`", text)


@cache
def functions(file: str) -> frozenset[str]:
    """The test functions of a file of tests; none when there is no such file."""
    path = ROOT / "tests" / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def missing_tests(text: str) -> list[str]:
    """The named tests that do not exist."""
    return [name for name in named_tests(text) if name.split("::")[1] not in functions(name.split("::")[0])]


def untested(requirements: str) -> list[str]:
    """The requirements that name no test."""
    return [id_ for id_, cells in rows(requirements, "R").items() if not named_tests(cells[-1])]


def orphans(requirements: str, *others: str) -> set[str]:
    """The ids of requirements that are defined and not needed, or needed and not defined."""
    return set(rows(requirements, "R")) ^ set().union(*(ids(other, "R") for other in others))


def missing_files(text: str) -> list[str]:
    """The files of ours that a text names and that do not exist."""
    named = re.findall(r"`((?:apps|docs|deploy|tests|labelapp)/[\w./-]+)`", text)
    return [name for name in named if not (ROOT / name).exists()]


def risk(words: str) -> str:
    """What "S4 P2" means by the rule of the page."""
    severity, probability = (int(value) for value in re.fullmatch(r"S(\d) P(\d)", words).groups())
    total = severity + probability
    return "low" if total <= 5 else "medium" if total == 6 else "high"


def wrong_risks(hazards: str) -> list[str]:
    """The hazards whose residual risk is not what the rule says, or is larger than before."""
    return [
        id_
        for id_, (*_, before, _mitigation, after, residual) in rows(hazards, "H").items()
        if residual != risk(after) or after[:2] != before[:2] or after[-1] > before[-1]
    ]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: (SAFETY / name).read_text() for name in PAGES}


def test_every_test_and_every_file_that_a_page_names_exists(pages):
    for name, text in {**pages, IHE.name: IHE.read_text()}.items():
        assert missing_tests(text) == [], name
        assert missing_files(text) == [], name


def test_every_requirement_has_a_test_and_code(pages):
    assert len(rows(pages["requirements.md"], "R")) >= 40
    assert untested(pages["requirements.md"]) == []
    assert all("`apps/renalct/" in cells[1] for cells in rows(pages["requirements.md"], "R").values())


def test_every_requirement_is_needed_and_every_one_that_is_needed_exists(pages):
    others = [pages[name] for name in PAGES if name != "requirements.md"]
    assert orphans(pages["requirements.md"], *others) == set()


def test_every_hazard_has_a_mitigation_and_those_that_are_mentioned_exist(pages):
    hazards = rows(pages["hazards.md"], "H")
    assert all(ids(cells[-3], "R") for cells in hazards.values())
    assert set().union(*(ids(text, "H") for text in pages.values())) == set(hazards)


def test_residual_risks_follow_the_rule(pages):
    assert wrong_risks(pages["hazards.md"]) == []


def test_high_risks_are_named_as_the_reason_against_clinical_use(pages):
    high = {id_ for id_, cells in rows(pages["hazards.md"], "H").items() if cells[-1] == "high"}
    last = pages["hazards.md"].split("\n\n")[-1]
    assert ids(last, "H") == high and "not for clinical use" in last


def test_the_intended_use_is_that_of_the_release_cards(pages):
    assert f'"{INTENDED_USE}"' in " ".join(pages["intended_use.md"].split())


def test_the_numbers_of_the_gate_are_those_in_use(pages):
    table = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|", pages["change_control.md"], re.MULTILINE))
    known = {field.name: field.default for field in fields(GateSettings) if field.name not in ("seed", "floors")}
    assert {name: float(value) for name, value in table.items()} == known


def test_every_row_of_the_ihe_table_names_its_test_or_says_not_met():
    lines = [line for line in IHE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    table = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    heads = [cells for cells in table if cells[-1] == "Shown by"]
    claims = [cells for cells in table if cells[-1] != "Shown by"]
    assert heads and claims
    assert [cells[0] for cells in claims if not named_tests(cells[-1]) and not cells[-1].startswith(NOT_MET)] == []


ROW = "| R-01 | words | `apps/renalct/cascade.py` | `test_safety_documents.py::{}` |"


def test_each_check_finds_what_breaks_it():
    there, gone = (ROW.format(name) for name in ("test_each_check_finds_what_breaks_it", "test_gone"))
    assert missing_tests(there) == [] and missing_tests(gone) == ["test_safety_documents.py::test_gone"]
    assert missing_tests("`test_no_such_file.py::test_gone`") == ["test_no_such_file.py::test_gone"]
    assert untested(there) == [] and untested("| R-01 | words | code | none |") == ["R-01"]
    assert orphans(there, "R-01") == set()
    assert orphans(there, "nothing") == {"R-01"} and orphans(there, "R-01 to R-03") == {"R-02", "R-03"}
    assert missing_files("`apps/renalct/gone.py`") == ["apps/renalct/gone.py"]
    with pytest.raises(AssertionError, match="stands twice"):
        rows(f"{there}\n{there}", "R")
    hazard = "| H-01 | hazard | cause | harm | {} | R-01 | {} | {} |"
    assert wrong_risks(hazard.format("S4 P3", "S4 P2", "medium")) == []
    for before, after, residual in (("S4 P3", "S4 P2", "low"), ("S4 P3", "S3 P2", "low"), ("S4 P1", "S4 P2", "medium")):
        assert wrong_risks(hazard.format(before, after, residual)) == ["H-01"]
