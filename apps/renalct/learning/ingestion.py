"""From an annotator's upload to a checked, named label map, and into the store.

What a viewer sends beside the file (`info`, the `params` of a save) may hold:

- `label_info`: a list of {name, idx} (or {name, id}): the names of the file's values;
- `presence`: {"tumor": "absent", "cyst": "not assessed"}; `assessed`: a list of the structures that were looked for;
- `flags`: {"kidneys": "usual" | "single" | "horseshoe" | "transplant" | "none"};
- `slices`: [first, last], the axial slices that are done, numbered from 1 in the order of the file, both included;
- `boxes`: [[i0, i1, j0, j1, k0, k1], ...], the boxes that are done, as voxel indices from 0, the upper ends excluded.

Nothing is written before everything is understood: what is refused leaves nothing behind.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats import nifti
from renalct.formats.monai_label import names_of
from renalct.formats.uploads import USUAL_LIMITS, UploadLimits, read_upload
from renalct.imaging.label_checks import check_labels
from renalct.imaging.label_findings import USUAL_CHECKS, CheckSettings, Finding, Statements
from renalct.learning.statements import assessed_region, described, presence_of, statements_of
from renalct.learning.store import FINAL, LabelStore, Presence, Version, VersionNote

__all__ = ["Ingested", "IngestionSettings", "Submission", "assessed_region", "ingest", "messages", "submit"]

SUFFIX = ".nii.gz"
_MOST_MESSAGES = 12


@dataclass(frozen=True)
class IngestionSettings:
    """The limits of an upload and of the checks."""

    limits: UploadLimits = USUAL_LIMITS
    checks: CheckSettings = USUAL_CHECKS


@dataclass(frozen=True, eq=False)
class Ingested:
    """A named label map on its image's grid, what the checks found, the presence of each structure, what was stated,
    and the bytes of the file to store (``.nii.gz`` with the values of `Structure`)."""

    label_map: LabelMap = field(repr=False)
    findings: tuple[Finding, ...]
    presence: tuple[tuple[Structure, Presence], ...]
    stated: Statements
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Submission:
    """A committed version, and what its author should look at."""

    version: Version
    findings: tuple[Finding, ...]

    @property
    def messages(self) -> tuple[str, ...]:
        """What a viewer shows after the save."""
        return messages(self.findings)


_USUAL = IngestionSettings()


def ingest(path: Path, volume: CTVolume, *, info: Mapping[str, Any], settings: IngestionSettings = _USUAL) -> Ingested:
    """The labels of an upload (a file, or a folder with one DICOM segmentation), named and checked; nothing is kept.

    A structure with voxels is present, unless it is stated to be not assessed. One without is absent only when that
    is stated, and not assessed otherwise, which is a finding.

    Raises an `InputError` that says why an upload is refused: another kind of file, damaged, too large, on another
    grid, values that are no labels, names that are unknown or ambiguous, statements that cannot be read.
    """
    stated = statements_of(info, volume.grid)
    read = read_upload(path, names_of(dict(info)), grid=volume.grid, limits=settings.limits)
    stated = replace(stated, sided=read.sided, dropped=read.dropped)
    findings = check_labels(read.label_map, volume, stated=stated, settings=settings.checks)
    seen = np.bincount(read.label_map.values.ravel(order="K"), minlength=len(Structure))
    found = frozenset(structure for structure in Structure if structure and seen[structure])
    return Ingested(read.label_map, findings, presence_of(found, stated), stated, _file_of(read.label_map))


def submit(
    store: LabelStore,
    image_id: str,
    path: Path,
    *,
    volume: CTVolume,
    note: VersionNote,
    info: Mapping[str, Any],
    tag: str = FINAL,
    parent: int | None = None,
    settings: IngestionSettings = _USUAL,
) -> Submission:
    """The new version of an image's labels, with what its author should look at; findings never stop a label.

    The upload is kept as it came (`note.uploaded`; a folder is not), and the note's `info_json` gains the statements,
    the findings and the assessed part (`assessed_region` reads it). Raises as `ingest` and `LabelStore.commit`;
    nothing is left behind then.
    """
    store.image(image_id)
    ingested = ingest(path, volume, info=info, settings=settings)
    noted = json.loads(note.info_json) if note.info_json else {}
    noted = {**(noted if isinstance(noted, dict) else {"note": noted}), **described(ingested.stated, ingested.findings)}
    uploaded = note.uploaded if path.is_dir() else store.put_blob(path)
    version = store.commit(
        image_id,
        ingested.content,
        suffix=SUFFIX,
        note=replace(note, uploaded=uploaded, info_json=json.dumps(noted)),
        tag=tag,
        presence=ingested.presence,
        parent=parent,
    )
    return Submission(version, ingested.findings)


def messages(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The findings as lines for a viewer, errors first, the first dozen of them; one line when there are none."""
    if not findings:
        return ("No finding: the labels passed all checks.",)
    lines = [f"{finding.severity.value.capitalize()}: {finding.sentence}" for finding in findings[:_MOST_MESSAGES]]
    rest = len(findings) - len(lines)
    return (*lines, f"... and {rest} more.") if rest else tuple(lines)


def _file_of(label_map: LabelMap) -> bytes:
    """The bytes of the file that is stored; the same labels, the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "label" + SUFFIX)
        nifti.write_label_map(label_map, path)
        return path.read_bytes()
