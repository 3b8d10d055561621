"""What a reader of the report must know about the images."""

from __future__ import annotations

from collections.abc import Sequence

from renalct.core.findings import Findings
from renalct.core.labels import Side
from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume, Mask

_THICK_MM = 5.0
_SHORT_MM = 120.0
_CERTAIN = 0.95


def image_notices(volume: CTVolume, findings: Findings, phase: PhaseEstimate) -> tuple[str, ...]:
    """Sentences on coverage, slice thickness, phase and sides; none when there is nothing to say."""
    notices = []
    grid = volume.grid
    step = grid.spacing_mm[grid.axial_axis]
    length = step * grid.shape[grid.axial_axis]
    if step > _THICK_MM:
        notices.append(f"Thick slices ({step:.1f} mm apart): small masses can be missed, and volumes are less exact.")
    if length < _SHORT_MM:
        notices.append(
            f"Partial coverage: the images cover {length:.0f} mm from head to foot, less than two kidneys need."
        )
    cut = [k.side.value for k in findings.kidneys if _cut_off(k.mask, grid.shape)]
    if cut:
        notices.append(
            f"A kidney ({', '.join(cut)}) reaches the edge of the images: its volume is of the visible part."
        )
    if phase.phase is Phase.UNKNOWN:
        notices.append(f"The contrast phase is unknown ({phase.evidence}).")
    elif phase.probability < _CERTAIN:
        notices.append(
            f"Phase estimated: {phase.phase.value} with probability {phase.probability:.2f}, from {phase.evidence}."
        )
    if phase.phase is Phase.NON_CONTRAST:
        notices.append("No contrast was seen: masses without contrast can be missed and their class is unreliable.")
    if any(k.side is Side.UNDETERMINED for k in findings.kidneys):
        notices.append("The side of a kidney could not be determined from its position.")
    if len(findings.kidneys) == 1:
        notices.append("Only one kidney was found.")
    if len(findings.kidneys) > 2:
        notices.append(f"{len(findings.kidneys)} kidneys were found: a transplant, a divided kidney, or an error.")
    return tuple(notices)


def _cut_off(mask: Mask, shape: Sequence[int]) -> bool:
    """Whether the mask reaches the edge of the field on any axis."""
    return any(a == 0 or b == n for a, b, n in zip(mask.box.start, mask.box.stop, shape, strict=True))
