"""CT numbers that kidneys and masses of a made case shall have: by phase and histology, and as its patient has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renalct.core.labels import Structure
from renalct.core.phase import Phase
from renalct.synthetic.appearance import PHASES, PRIORS, Material

_ARTERIAL_SPREAD = 0.5
_PLAIN_HU, _FAINT_HU = 31.0, 55.0  # an unenhanced kidney; under the second, no contrast medium was given
_USUAL_SHARES = (0.06, 0.62, 0.28, 0.04)  # of the four phases, in trials that image before surgery
_KIDNEY_BETWEEN_HU = 22.0
_CYST_HU, _CYST_BETWEEN_HU, _DENSE_CYST = 11.0, 7.0, 0.08
_TISSUE_SHARE = 0.85  # mean over the outline of a kidney, fat of edge and hilum included, relative to its tissue
_LEAST_SHARE = 0.25  # of the measured voxels that are tumor, from which their mean follows from that of all

# Mean HU of a tumor where kidneys have 120 HU, between patients, and within one tumor, by histology. Measured inside
# the labels of KiTS slices; the last is the measured spread less noise and edges.
_REFERENCE_HU = 120.0
_TUMORS: dict[str, tuple[float, float, float]] = {
    "clear_cell_rcc": (80, 22, 26),
    "papillary_rcc": (58, 14, 14),
    "chromophobe_rcc": (70, 18, 16),
    "oncocytoma": (93, 20, 18),
    "angiomyolipoma": (58, 15, 20),
    "transitional_cell_carcinoma": (62, 15, 12),
    "": (76, 24, 22),
}
_DRAWN = ("clear_cell_rcc", "papillary_rcc", "chromophobe_rcc", "oncocytoma")
_DRAWN_SHARES = (0.64, 0.16, 0.11, 0.09)


@dataclass(frozen=True)
class Measured:
    """The distribution of HU inside kidneys and masses of a patient (percentiles 5, 25, 50, 75, 95), and volumes."""

    percentiles_hu: tuple[float, float, float, float, float]
    mean_hu: float
    kidney_ml: float
    tumor_ml: float
    cyst_ml: float


@dataclass(frozen=True)
class Enhancement:
    """The phase of a case, the mean HU of its parenchyma, and that of its tumors where it was measured."""

    phase: Phase
    kidney_hu: float
    tumor_hu: float | None = None

    def __post_init__(self) -> None:
        if self.phase not in PHASES or not np.isfinite(self.kidney_hu):
            raise ValueError(f"a made case has one of the phases {', '.join(p.value for p in PHASES)} and finite HU")

    @property
    def strength(self) -> float:
        """Enhancement relative to the usual one of the phase: 1 where kidneys have the CT numbers of `PRIORS`."""
        usual = kidney_prior_hu(self.phase)
        if self.phase is Phase.NON_CONTRAST:
            return 1.0
        return float(np.clip((self.kidney_hu - _PLAIN_HU) / (usual - _PLAIN_HU), 0.45, 1.7))


@dataclass(frozen=True)
class TumorLook:
    """The CT numbers of one mass: mean, and standard deviation of the texture within."""

    mean_hu: float
    within_hu: float


def kidney_prior_hu(phase: Phase) -> float:
    """Mean HU of parenchyma in a phase when nothing was measured: two parts of cortex, one of medulla."""
    column = PHASES.index(phase)
    return (2 * PRIORS[Material.RENAL_CORTEX].hu[column] + PRIORS[Material.RENAL_MEDULLA].hu[column]) / 3


def random_enhancement(*, rng: np.random.Generator, phase: Phase | None = None) -> Enhancement:
    """The enhancement of a patient of whom nothing was measured; `phase` None draws one."""
    drawn = PHASES[int(rng.choice(len(PHASES), p=_USUAL_SHARES))]
    phase = phase or drawn
    spread = 3.0 if phase is Phase.NON_CONTRAST else _KIDNEY_BETWEEN_HU
    return Enhancement(phase, kidney_prior_hu(phase) + spread * float(np.clip(rng.standard_normal(), -2.2, 2.2)))


def measured_enhancement(measured: Measured, *, rng: np.random.Generator, phase: Phase | None = None) -> Enhancement:
    """The enhancement of a patient whose CT numbers were measured over kidneys and masses together.

    Parenchyma is taken to be the brighter part, so that its median is the percentile at half of its share from the
    top; edges to fat darken the lowest tenth and are left out. A wide distribution of few masses is corticomedullary.
    With `phase` only the tumor's contrast to the kidney is kept.
    """
    whole = max(measured.kidney_ml + measured.tumor_ml + measured.cyst_ml, 1e-6)
    share, tumor = measured.kidney_ml / whole, measured.tumor_ml / whole
    if share < 0.1:
        return random_enhancement(rng=rng, phase=phase)
    low, high, middle = np.interp(
        [100 - 72 * share, 100 - 8 * share, 100 - 46 * share], (0, 5, 25, 50, 75, 95, 100), _ends(measured)
    )
    kidney = float(0.5 * middle + 0.25 * (low + high))
    estimated = _phase_of(kidney, float(high - low))
    tumor_hu = None
    if tumor >= _LEAST_SHARE:
        rest = measured.mean_hu - share * _TISSUE_SHARE * kidney - (1 - share - tumor) * _CYST_HU
        tumor_hu = float(np.clip(rest / tumor, 25, max(kidney + 10, 40)))
    if phase is None or phase is estimated:
        return Enhancement(estimated, kidney, tumor_hu)
    other = random_enhancement(rng=rng, phase=phase)
    return Enhancement(phase, other.kidney_hu, None if tumor_hu is None else tumor_hu * other.kidney_hu / kidney)


def _ends(measured: Measured) -> tuple[float, ...]:
    p = measured.percentiles_hu
    return (p[0] - 40, *p, p[4] + 0.5 * (p[4] - p[3]))


def _phase_of(kidney_hu: float, spread_hu: float) -> Phase:
    if kidney_hu < _FAINT_HU:
        return Phase.NON_CONTRAST
    return Phase.CORTICOMEDULLARY if spread_hu > _ARTERIAL_SPREAD * kidney_hu else Phase.NEPHROGRAPHIC


def random_histology(rng: np.random.Generator) -> str:
    """The histology of a solid mass of whose patient nothing is known."""
    return str(rng.choice(_DRAWN, p=_DRAWN_SHARES))


def look_of(
    structure: Structure, histology: str, enhancement: Enhancement, *, rng: np.random.Generator, own: bool = True
) -> TumorLook:
    """The CT numbers of one mass; `own` masses of the measured patient have the mean that was measured.

    Enhancement above 36 HU goes with that of the kidneys. Cysts are fluid in every phase, few are dense.
    """
    shift = float(np.clip(rng.standard_normal(), -2, 2))
    dense, dense_hu = rng.random() < _DENSE_CYST, float(rng.uniform(30, 70))
    if structure is Structure.CYST:
        return TumorLook(dense_hu if dense else _CYST_HU + _CYST_BETWEEN_HU * shift, 3.0)
    mean, between, within = _TUMORS.get(histology, _TUMORS[""])
    if own and enhancement.tumor_hu is not None:
        return TumorLook(enhancement.tumor_hu, within)
    plain = 36.0
    scale = max(0.0, enhancement.kidney_hu - _PLAIN_HU) / (_REFERENCE_HU - _PLAIN_HU)
    scale = scale**0.7 if scale > 1 else scale  # tumors do not brighten as far as cortex does
    faint = min(1.0, 0.3 + scale)
    return TumorLook(plain + (mean - plain) * scale + between * shift * faint, max(6.0, within * faint))
