"""What is known of a case beside its voxels: patient, histology, and which structures its reader looked for.

A sidecar is a JSON file with the name of the image or the labels (`X.json` beside `X.nii.gz`). Its keys, all optional:

- `patient`: a name that the cases of one patient share (never a real identifier);
- `histology`: of the tumor, in the words of KiTS (`clear_cell_rcc`, `angiomyolipoma`, ...);
- `diameter_mm`: of the largest mass;
- `assessed`: a list of the structures that were looked for (`["kidney", "tumor"]`);
- `presence`: for each structure `"present"`, `"absent"` or `"not assessed"` (or true, false, null).

Other keys are left alone: programs that convert images write files of the same name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError, LabelError
from renalct.core.labels import Structure, structure_named

ALL_STRUCTURES = frozenset(Structure)
"""Every structure that a reader can look for; the background always counts as one."""

_PRESENCE = {
    "present": True, "yes": True, True: True,
    "absent": False, "no": False, False: False,
    "not assessed": None, "not_assessed": None, "unknown": None, None: None,
}  # fmt: skip


@dataclass(frozen=True)
class CaseNotes:
    """What is known of a case; "" and None where nothing is said.

    Structures outside `assessed` may be in the image without being labelled. `present` and `absent` are those whose
    presence the reader confirmed. Assessing tumors includes angiomyolipomas, which are tumors.
    """

    patient: str = ""
    histology: str = ""
    diameter_mm: float | None = None
    assessed: frozenset[Structure] = ALL_STRUCTURES
    present: frozenset[Structure] = frozenset()
    absent: frozenset[Structure] = frozenset()

    def __post_init__(self) -> None:
        if not self.assessed - {Structure.BACKGROUND}:
            raise LabelError("a case in which no structure was assessed has nothing to learn from; leave it out")
        unseen = sorted((self.present | self.absent) - self.assessed)
        if unseen:
            raise LabelError(f"{unseen[0].title} is said to be present or absent, and not to be assessed; say one")

    def filled_from(self, other: CaseNotes) -> CaseNotes:
        """These notes, with the patient, histology and diameter of `other` where they say nothing."""
        return replace(
            self,
            patient=self.patient or other.patient,
            histology=self.histology or other.histology,
            diameter_mm=other.diameter_mm if self.diameter_mm is None else self.diameter_mm,
        )


NO_NOTES = CaseNotes()
"""Nothing is known; every structure was looked for."""


def read_notes(*beside: Path | None) -> CaseNotes:
    """The notes in the first sidecar that lies beside one of the files; empty notes when there is none.

    Raises `InputError` for a sidecar that is no JSON, and `LabelError` for a structure or presence that it misspells.
    """
    for path in beside:
        sidecar = None if path is None else path.with_name(stem_of(path) + ".json")
        if sidecar is not None and sidecar.is_file():
            return parse_notes(read_json(sidecar), sidecar.name)
    return CaseNotes()


def parse_notes(data: Any, where: str) -> CaseNotes:
    """The notes in JSON data; `where` names the file in errors. Raises as `read_notes`."""
    if not isinstance(data, dict):
        raise InputError(f"{where} holds no JSON object; give one with the keys patient, histology, assessed, presence")
    stated = _presence(data.get("presence"), where)
    assessed = ALL_STRUCTURES - {structure for structure, found in stated if found is None}
    listed = data.get("assessed")
    if listed is not None:
        if not isinstance(listed, list):
            raise LabelError(f"assessed in {where} is {listed!r}; a list of structures is needed")
        assessed &= _with_implied(frozenset(structure_named(str(name)) for name in listed))
    try:
        return CaseNotes(
            patient=str(data.get("patient") or ""),
            histology=str(data.get("histology") or ""),
            diameter_mm=None if data.get("diameter_mm") is None else float(data["diameter_mm"]),
            assessed=assessed,
            present=frozenset(structure for structure, found in stated if found is True),
            absent=frozenset(structure for structure, found in stated if found is False),
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"diameter_mm in {where} is {data['diameter_mm']!r}; a number is needed") from error
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


def read_json(path: Path) -> Any:
    """The JSON value in a file. Raises `InputError` when it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} cannot be read as JSON ({error}); correct it, or remove it") from error


def stem_of(path: Path) -> str:
    """A file's name without its ending; `.nii.gz` and `.seg.nrrd` are one ending."""
    name = path.name
    for ending in (".nii.gz", ".seg.nrrd"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem


def _presence(data: Any, where: str) -> list[tuple[Structure, bool | None]]:
    if data is None:
        return []
    if not isinstance(data, dict):
        raise LabelError(f"presence in {where} is {data!r}; an object with a value for each structure is needed")
    stated: list[tuple[Structure, bool | None]] = []
    for name, value in data.items():
        key = value.strip().lower() if isinstance(value, str) else value
        if not isinstance(key, (str, bool, type(None))) or key not in _PRESENCE:
            raise LabelError(
                f"the presence of {name} in {where} is {value!r}; it is 'present', 'absent' or 'not assessed'"
            )
        stated.append((structure_named(str(name)), _PRESENCE[key]))
    tumor = next((found for structure, found in stated if structure is Structure.TUMOR), True)
    if tumor is None and all(structure is not Structure.ANGIOMYOLIPOMA for structure, _ in stated):
        stated.append((Structure.ANGIOMYOLIPOMA, None))
    return stated


def _with_implied(structures: frozenset[Structure]) -> frozenset[Structure]:
    """Who looks for tumors finds angiomyolipomas, and the background is what is left."""
    tumors = {Structure.ANGIOMYOLIPOMA} if Structure.TUMOR in structures else set()
    return structures | tumors | {Structure.BACKGROUND}
