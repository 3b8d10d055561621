"""What tissues look like: CT numbers by contrast phase, and the palette that one made patient is drawn with.

The priors are typical values of abdominal radiology textbooks and of normal-organ attenuation tables (120 kV, routine
dose of iodine), rounded; they are the definition of the made data, not measurements of any patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np

from renalct.core.phase import Phase
from renalct.synthetic.fields import Floats

PHASES: tuple[Phase, ...] = (Phase.NON_CONTRAST, Phase.CORTICOMEDULLARY, Phase.NEPHROGRAPHIC, Phase.EXCRETORY)


class Material(IntEnum):
    """The painted materials. Numbers from `FIRST_OWN` up belong to single masses (`Palette.add`)."""

    AIR = 0
    SKIN = auto()
    FAT = auto()
    MUSCLE = auto()
    VISCERAL_FAT = auto()
    LUNG = auto()
    TABLE_SHELL = auto()
    TABLE_CORE = auto()
    LIVER = auto()
    LIVER_VESSEL = auto()
    LIVER_CYST = auto()
    LIVER_LESION = auto()
    GALLBLADDER = auto()
    SPLEEN = auto()
    PANCREAS = auto()
    ADRENAL = auto()
    STOMACH_WALL = auto()
    BOWEL_WALL = auto()
    FLUID = auto()
    CHYME = auto()
    FECES = auto()
    ORAL_CONTRAST = auto()
    GAS = auto()
    ARTERY = auto()
    VEIN = auto()
    BONE = auto()
    MARROW = auto()
    DISC = auto()
    CANAL = auto()
    HEART = auto()
    BLADDER = auto()
    PERIRENAL_FAT = auto()
    SINUS_FAT = auto()
    RENAL_CORTEX = auto()
    RENAL_MEDULLA = auto()
    CALYX = auto()
    URINE = auto()


FIRST_OWN = 64


@dataclass(frozen=True)
class Prior:
    """Mean HU in the four `PHASES`, the standard deviation between patients, and that of the texture within."""

    hu: tuple[float, float, float, float]
    between_hu: float
    within_hu: float


def _same(hu: float, between_hu: float, within_hu: float) -> Prior:
    return Prior((hu, hu, hu, hu), between_hu, within_hu)


M = Material
PRIORS: dict[Material, Prior] = {
    M.AIR: _same(-1000, 0, 0),
    M.SKIN: _same(-5, 15, 10),
    M.FAT: _same(-103, 5, 7),
    M.MUSCLE: Prior((52, 56, 62, 62), 6, 14),
    M.VISCERAL_FAT: _same(-100, 6, 12),
    M.LUNG: _same(-850, 30, 35),
    M.TABLE_SHELL: _same(20, 90, 0),
    M.TABLE_CORE: _same(-960, 10, 0),
    M.LIVER: Prior((55, 72, 108, 98), 9, 7),
    M.LIVER_VESSEL: Prior((42, 85, 150, 125), 8, 3),
    M.LIVER_CYST: _same(6, 5, 3),
    M.LIVER_LESION: Prior((40, 55, 70, 72), 15, 9),
    M.GALLBLADDER: _same(8, 6, 3),
    M.SPLEEN: Prior((48, 125, 122, 108), 10, 8),
    M.PANCREAS: Prior((40, 100, 92, 80), 9, 14),
    M.ADRENAL: Prior((28, 70, 80, 65), 9, 6),
    M.STOMACH_WALL: Prior((40, 78, 92, 82), 9, 8),
    M.BOWEL_WALL: Prior((40, 105, 105, 90), 14, 10),
    M.FLUID: _same(12, 8, 6),
    M.CHYME: Prior((30, 45, 50, 45), 12, 14),
    M.FECES: _same(-40, 45, 85),
    M.ORAL_CONTRAST: _same(240, 60, 25),
    M.GAS: _same(-960, 15, 5),
    M.ARTERY: Prior((42, 300, 155, 125), 20, 4),
    M.VEIN: Prior((42, 105, 155, 128), 15, 5),
    M.BONE: _same(620, 90, 70),
    M.MARROW: Prior((180, 185, 190, 190), 45, 35),
    M.DISC: _same(85, 10, 8),
    M.CANAL: _same(28, 8, 8),
    M.HEART: Prior((44, 170, 135, 115), 12, 8),
    M.BLADDER: Prior((4, 4, 8, 190), 5, 3),
    M.PERIRENAL_FAT: _same(-105, 5, 8),
    M.SINUS_FAT: _same(-75, 15, 15),
    M.RENAL_CORTEX: Prior((32, 185, 172, 150), 8, 8),
    M.RENAL_MEDULLA: Prior((30, 82, 165, 152), 8, 8),
    M.CALYX: Prior((12, 30, 60, 600), 10, 10),
    M.URINE: Prior((8, 12, 30, 700), 8, 6),
}
"""Each number once. Phases: non-contrast, corticomedullary, nephrographic, excretory."""


class Palette:
    """The CT numbers of one made patient: a table (phase x material) and the texture of each material.

    All enhancement of a patient is scaled by one factor, and each phase is reached a little early or late, so organs
    vary together as they do in patients; `enhancement` gives the factor instead of drawing it.
    """

    def __init__(
        self,
        phases: tuple[Phase, ...],
        rng: np.random.Generator,
        *,
        spread: float = 1.0,
        enhancement: float | None = None,
    ) -> None:
        self.phases = phases
        self.hu: Floats = np.zeros((len(phases), 256), dtype=np.float32)
        self.within_hu: Floats = np.zeros(256, dtype=np.float32)
        self._next = FIRST_OWN
        drawn = float(np.clip(rng.normal(1.0, 0.1 * spread), 0.65, 1.45))
        self._enhancement = drawn if enhancement is None else enhancement
        lateness = dict(zip(PHASES, (0.0, *rng.uniform(0.0, 0.3, 2), 0.0), strict=True))
        self._mix = np.zeros((len(phases), len(PHASES)))
        for row, phase in enumerate(phases):
            column = PHASES.index(phase)
            self._mix[row, column] = 1 - lateness[phase]
            self._mix[row, min(column + 1, len(PHASES) - 1)] += lateness[phase]
        shifts = rng.standard_normal(len(Material))
        for material, prior in PRIORS.items():
            self._set(material, prior, shifts[material] * prior.between_hu * spread)

    def add(self, prior: Prior, *, shift_hu: float = 0.0) -> int:
        """A new material number with a prior of its own; `shift_hu` moves all of its phases."""
        if self._next > 255:
            raise ValueError("a palette holds at most 192 materials of single masses")
        number, self._next = self._next, self._next + 1
        self._set(number, prior, shift_hu)
        return number

    def _set(self, number: int, prior: Prior, shift_hu: float) -> None:
        plain = prior.hu[0]
        enhanced = plain + (np.asarray(prior.hu) - plain) * self._enhancement
        self.hu[:, number] = self._mix @ enhanced + shift_hu
        self.within_hu[number] = prior.within_hu
