"""CT numbers: windows, and the contrast phase that the kidneys show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from renalct.core.phase import Phase, PhaseEstimate
from renalct.core.volume import CTVolume, Mask

_ENHANCED_ABOVE_HU = 65.0
_DENSE_URINE_HU = 350
_CORTEX_MM = 5.0
_TRUSTED = 0.8


def window(hu: NDArray[Any], low_hu: float, high_hu: float) -> NDArray[np.float32]:
    """CT numbers as 0 to 1 between `low_hu` and `high_hu`, clipped outside."""
    return np.clip((hu.astype(np.float32) - low_hu) / (high_hu - low_hu), 0.0, 1.0)


def estimate_phase(volume: CTVolume, kidneys: Sequence[Mask]) -> PhaseEstimate:
    """The contrast phase, from the series' header and from the kidneys' parenchyma.

    Unenhanced parenchyma is near 30 to 45 HU; in the corticomedullary phase the outer 5 mm are much brighter than the
    depth; in the excretory phase urine is above 350 HU; else the phase is nephrographic. A header that is sure (0.8
    or more) is kept unless the images contradict it on whether there is contrast; then the images are believed.
    """
    shown = _from_kidneys(volume, kidneys)
    header = volume.phase
    if header.phase is Phase.UNKNOWN:
        return shown
    if shown.phase is Phase.UNKNOWN:
        return header
    contradicts = (header.phase is Phase.NON_CONTRAST) != (shown.phase is Phase.NON_CONTRAST)
    if contradicts:
        evidence = f"{shown.evidence}, although the header says {header.phase.value} ({header.evidence})"
        return PhaseEstimate(shown.phase, shown.probability * (1.0 - header.probability / 2), evidence)
    if header.probability >= _TRUSTED or header.phase is shown.phase:
        return PhaseEstimate(header.phase, header.probability, f"{header.evidence}; {shown.evidence}")
    return shown


def _from_kidneys(volume: CTVolume, kidneys: Sequence[Mask]) -> PhaseEstimate:
    shell, depth, urine = [], [], []
    for mask in kidneys:
        hu = volume.hu[mask.box.slices]
        padded = np.pad(mask.voxels, 1)
        distance = ndimage.distance_transform_edt(padded, volume.grid.spacing_mm)[1:-1, 1:-1, 1:-1]
        shell.append(hu[mask.voxels & (distance > 1.0) & (distance <= _CORTEX_MM)])
        depth.append(hu[mask.voxels & (distance > _CORTEX_MM + 3.0) & (hu > 0)])
        urine.append(np.atleast_1d(np.mean(hu[mask.voxels] > _DENSE_URINE_HU)) if mask.count else np.zeros(1))
    cortex = np.concatenate(shell) if shell else np.zeros(0)
    inner = np.concatenate(depth) if depth else np.zeros(0)
    if cortex.size < 100 or inner.size < 100:
        return PhaseEstimate()
    outside, inside = float(np.median(cortex)), float(np.median(inner))
    evidence = f"kidney of {outside:.0f} HU in the outer 5 mm and {inside:.0f} HU in the depth"
    if outside < _ENHANCED_ABOVE_HU:
        return PhaseEstimate(Phase.NON_CONTRAST, 0.9 if outside < 50 else 0.6, evidence)
    if float(np.mean(np.concatenate(urine))) > 0.02:
        return PhaseEstimate(Phase.EXCRETORY, 0.8, evidence + ", with dense urine")
    if outside > 1.3 * inside and outside > 110:
        return PhaseEstimate(Phase.CORTICOMEDULLARY, 0.75, evidence)
    return PhaseEstimate(Phase.NEPHROGRAPHIC, 0.7, evidence)
