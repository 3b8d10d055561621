"""What a rehearsal has shown, as Markdown and as a page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from renalct.learning.rehearsal.marks import Mark
from renalct.pictures.templating import template_environment

SCHEMA_VERSION = 1
_TEMPLATES = Path(__file__).parent / "templates"
_PAGE, _TEXT = "rehearsal.html.j2", "rehearsal.md.j2"


@dataclass(frozen=True)
class Handed:
    """A label that the server acknowledged: whose, of which case, its version and hash, and what the checks said."""

    loop: int
    annotator: str
    image_id: str
    version: int
    sha256: str
    checks: tuple[str, ...] = ()
    dice: float = 0.0


@dataclass(frozen=True)
class Served:
    """A case that the server gave to a client."""

    loop: int
    annotator: str
    image_id: str


@dataclass(frozen=True)
class Trained:
    """What a loop's training led to: the state and the words of the gate, and the marks of what is published then."""

    loop: int
    labels: int
    state: str
    reason: str
    published: str
    began: float
    ended: float
    marks: tuple[Mark, ...]

    @property
    def seconds(self) -> float:
        """How long training and gate took."""
        return self.ended - self.began


@dataclass(frozen=True)
class Planted:
    """What the gate said of a release that was made worse on purpose."""

    accepted: bool
    published: bool
    text: str


@dataclass(frozen=True)
class Rehearsal:
    """A whole rehearsal. `lost` are acknowledged labels that are not in the store as they were acknowledged."""

    studies: int
    habits: tuple[tuple[str, str], ...]
    first: tuple[Mark, ...]
    served: tuple[Served, ...]
    handed: tuple[Handed, ...]
    lost: tuple[str, ...]
    segmentations: int
    trained: tuple[Trained, ...]
    planted: Planted
    began: float
    ended: float
    notices: tuple[str, ...] = field(default=())

    @property
    def seconds(self) -> float:
        """How long it all took."""
        return self.ended - self.began

    @property
    def versions(self) -> int:
        """How many versions the acknowledged labels are."""
        return len({(each.image_id, each.version) for each in self.handed})

    @property
    def duplicates(self) -> int:
        """How many times a case was given out that somebody else had been given, or that had its label already."""
        first: dict[str, Served] = {}
        return sum(first.setdefault(each.image_id, each) is not each for each in self.served)

    @property
    def annotators(self) -> tuple[dict[str, Any], ...]:
        """For each annotator: cases, submissions, what the checks pointed at, Dice of final labels with the truth."""
        rows = []
        for name, habit in self.habits:
            mine = [each for each in self.handed if each.annotator == name]
            last = {each.image_id: each for each in mine}
            first = {each.image_id: each for each in reversed(mine)}
            rows.append(
                {
                    "name": name,
                    "habit": habit,
                    "cases": len(last),
                    "submissions": len(mine),
                    "pointed": sum(bool(each.checks) for each in first.values()),
                    "open": sum(bool(each.checks) for each in last.values()),
                    "dice": sum(each.dice for each in last.values()) / len(last) if last else float("nan"),
                }
            )
        return tuple(rows)

    @property
    def rounds(self) -> tuple[dict[str, Any], ...]:
        """For each loop, what was published before and after it, with both marks."""
        before = self.first
        rows = []
        for each in self.trained:
            pairs = list(zip(before, each.marks, strict=True))
            rows.append({"trained": each, "pairs": pairs})
            before = each.marks
        return tuple(rows)


def write_report(rehearsal: Rehearsal, folder: Path) -> tuple[Path, Path, Path]:
    """The files report.md, report.html and rehearsal.json, written into a folder."""
    page = template_environment(_TEMPLATES)
    text = template_environment(_TEMPLATES)
    text.autoescape = False
    paths = folder / "report.md", folder / "report.html", folder / "rehearsal.json"
    paths[0].write_text(text.get_template(_TEXT).render(rehearsal=rehearsal), encoding="utf-8")
    paths[1].write_text(page.get_template(_PAGE).render(rehearsal=rehearsal), encoding="utf-8")
    record = {
        "schema_version": SCHEMA_VERSION,
        **asdict(rehearsal),
        "duplicates": rehearsal.duplicates,
        "seconds": rehearsal.seconds,
    }
    paths[2].write_text(json.dumps(record, indent=1, default=_plain) + "\n", encoding="utf-8")
    return paths


def _plain(value: Any) -> Any:
    return getattr(value, "title", None) or str(value)
