"""Checks of an annotator's labels: what contradicts the image, the anatomy, or what the annotator states."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.imaging.label_findings import (
    NOTHING_STATED,
    USUAL_CHECKS,
    Arrangement,
    CheckSettings,
    Finding,
    FindingKind,
    Severity,
    Statements,
)
from renalct.imaging.label_intensities import find_contradicting_hu, find_in_air, find_in_bone
from renalct.imaging.label_kidneys import find_kidney_count, find_kidney_volumes, find_mirrored, find_named_sides
from renalct.imaging.label_scene import Scene
from renalct.imaging.label_shapes import find_apart, find_flat, find_gaps, find_holes, find_twice

_ORDER = {severity: rank for rank, severity in enumerate(Severity)}
_EXPECTED_STRUCTURES = (Structure.KIDNEY, Structure.TUMOR, Structure.CYST)


def check_labels(
    label_map: LabelMap,
    volume: CTVolume | None = None,
    *,
    stated: Statements = NOTHING_STATED,
    settings: CheckSettings = USUAL_CHECKS,
) -> tuple[Finding, ...]:
    """What an annotator should look at, errors first, larger before smaller; () for labels without a finding.

    The label map lies on the volume's grid (`GeometryError` otherwise). Without a volume nothing is said of HU, air,
    bone, mirror images and holes in kidneys. Where only a part of the image is assessed, whole organs are not judged
    (number and volume of kidneys, pieces apart, flat objects). Works in a box around the labels.
    """
    scene = Scene.of(label_map, volume)
    findings = [*_of_statements(label_map, scene, stated)]
    if not stated.assessed:
        findings += find_kidney_count(scene, stated, settings)
    if scene is not None:
        findings += _of_shapes(scene, stated, settings)
        findings += find_named_sides(scene, volume, stated, settings)
    if scene is not None and volume is not None:
        findings += find_mirrored(scene, volume, settings)
        findings += find_contradicting_hu(scene, volume.phase, settings)
        findings += find_in_air(scene, settings)
        findings += find_in_bone(scene, settings)
    return tuple(sorted(findings, key=lambda finding: (_ORDER[finding.severity], -finding.volume_mm3)))


def _of_shapes(scene: Scene, stated: Statements, settings: CheckSettings) -> Iterator[Finding]:
    boxes = stated.assessed or (Box.whole(scene.grid.shape),)
    if not stated.assessed:
        yield from find_apart(scene, settings)
        yield from find_flat(scene, settings)
        yield from find_kidney_volumes(scene, stated, settings)
    yield from find_holes(scene, settings)
    yield from find_twice(scene, settings)
    for box in boxes:
        if box.overlaps(scene.box):
            yield from find_gaps(scene, settings, _common(box, scene.box).inside(scene.box))


def _of_statements(label_map: LabelMap, scene: Scene | None, stated: Statements) -> Iterator[Finding]:
    """What is missing in the statements, or contradicts the voxels."""
    present = frozenset(p.structure for p in scene.pieces if p.structure) if scene else frozenset()
    for name, voxels in stated.dropped:
        sentence = f"The segment {name!r} ({voxels} voxels) is no label and was left out; see what lies under it."
        yield Finding(FindingKind.DROPPED, Severity.NOTE, sentence)
    for structure in sorted(present & (stated.absent | stated.not_assessed)):
        claim = "absent" if structure in stated.absent else "not assessed"
        sentence = f"{structure.title.capitalize()} is labelled and stated to be {claim}: correct one of the two."
        yield Finding(FindingKind.PRESENCE, Severity.ERROR, sentence, structure)
    for structure in sorted(stated.present - present - _tumors_for(present)):
        sentence = f"{structure.title.capitalize()} is stated to be present and not labelled: label it."
        yield Finding(FindingKind.PRESENCE, Severity.ERROR, sentence, structure)
    said = present | stated.present | stated.absent | stated.not_assessed
    without_kidneys = {Structure.KIDNEY} if stated.kidneys is Arrangement.NONE or not stated.assessed else set()
    for structure in _EXPECTED_STRUCTURES:
        if structure not in said | without_kidneys:
            sentence = (
                f"No {structure.title} is labelled, and it is not stated whether there is one; say 'absent' when you "
                "have looked: until then it counts as not assessed."
            )
            yield Finding(FindingKind.EMPTY_CLASS, Severity.WARNING, sentence, structure)
    outside = _outside(label_map, stated)
    if outside:
        sentence = f"{outside} labelled voxels lie outside of the part that is stated to be done; they are not used."
        yield Finding(FindingKind.NOT_ASSESSED, Severity.NOTE, sentence, None, None, outside * label_map.grid.voxel_ml)


def _outside(label_map: LabelMap, stated: Statements) -> int:
    """The labelled voxels in none of the assessed boxes."""
    if not stated.assessed:
        return 0
    left = label_map.values > 0
    for box in stated.assessed:
        left[box.slices] = False
    return int(np.count_nonzero(left))


def _tumors_for(present: frozenset[Structure]) -> frozenset[Structure]:
    """An angiomyolipoma is a tumor: where one is labelled, tumors were looked for."""
    return frozenset({Structure.TUMOR} if Structure.ANGIOMYOLIPOMA in present else ())


def _common(one: Box, other: Box) -> Box:
    return Box(
        tuple(map(max, one.start, other.start)),  # type: ignore[arg-type]
        tuple(map(min, one.stop, other.stop)),  # type: ignore[arg-type]
    )
