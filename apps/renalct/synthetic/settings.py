"""What a phantom shall be: its settings, settings drawn for training, and those of the demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from renalct.core.labels import MassClass, Side
from renalct.core.phase import Phase
from renalct.synthetic.appearance import PHASES
from renalct.synthetic.fields import Point
from renalct.synthetic.masses import MassSpec

_AXES = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}


class Coverage(Enum):
    """What part of the trunk the field of view holds; only the abdomen has kidneys."""

    ABDOMEN = "abdomen"
    CHEST = "chest"
    PELVIS = "pelvis"


@dataclass(frozen=True)
class PhantomSettings:
    """A made CT study.

    `spacing_mm` and `field_mm` are along the patient's right-left, front-back and head-foot axes, whatever the order
    of the array's axes (`orientation`: the direction in which each array axis runs, "LPS" as DICOM series are read).
    `masses=None` draws none to four at random; `()` means none. `kidneys` are the ones present. `slice_thickness_mm`
    (None: the spacing) may exceed the spacing along z: overlapping slices. `spread` scales how much CT numbers vary
    between patients. `field_shift_mm` moves the field of view: what it cuts off is not made.
    """

    spacing_mm: Point = (1.5, 1.5, 2.5)
    field_mm: Point = (360.0, 300.0, 350.0)
    field_shift_mm: Point = (0.0, 0.0, 0.0)
    coverage: Coverage = Coverage.ABDOMEN
    phases: tuple[Phase, ...] = (Phase.NEPHROGRAPHIC,)
    masses: tuple[MassSpec, ...] | None = None
    kidneys: tuple[Side, ...] = (Side.LEFT, Side.RIGHT)
    noise_sd_hu: float = 14.0
    sharpness: float = 0.5
    streaks_hu: float = 0.0
    slice_thickness_mm: float | None = None
    orientation: str = "LPS"
    spread: float = 1.0

    def __post_init__(self) -> None:
        if min(self.spacing_mm) <= 0 or min(self.shape) < 1:
            raise ValueError(f"spacing {self.spacing_mm} mm and field {self.field_mm} mm give no voxels")
        if not self.phases or any(phase not in PHASES for phase in self.phases):
            raise ValueError(f"a phantom has one or more of the phases {', '.join(p.value for p in PHASES)}")
        if len(set(self.kidneys)) < len(self.kidneys) or Side.UNDETERMINED in self.kidneys:
            raise ValueError("kidneys are left, right, both or none")
        if self.masses and self.coverage is not Coverage.ABDOMEN:
            raise ValueError(f"a phantom of the {self.coverage.value} has no kidneys and no renal masses")
        missing = {m.side for m in self.masses or () if m.side is not None} - set(self.kidneys)
        if missing or (self.masses and not self.kidneys):
            raise ValueError("a mass is asked for on a side without a kidney")
        if self.noise_sd_hu < 0 or self.streaks_hu < 0 or self.spread < 0 or not 0 <= self.sharpness <= 1:
            raise ValueError("noise, streaks and spread are not negative, and sharpness is from 0 to 1")
        if self.slice_thickness_mm is not None and self.slice_thickness_mm < self.spacing_mm[2]:
            raise ValueError("slices are at least as thick as the distance between them")
        if sorted(_AXES.get(letter, 3) for letter in self.orientation) != [0, 1, 2]:
            raise ValueError(f"an orientation names each of R/L, A/P and S/I once, unlike {self.orientation!r}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the right-left, front-back and head-foot axes."""
        return tuple(round(f / s) for f, s in zip(self.field_mm, self.spacing_mm, strict=True))  # type: ignore[return-value]

    @property
    def center_mm(self) -> Point:
        """The middle of the field of view in the phantom's own coordinates (kidneys about z = 0)."""
        height = self.field_mm[2] / 2
        z = {Coverage.ABDOMEN: -15.0, Coverage.CHEST: 125.0 + height, Coverage.PELVIS: -112.0 - height}[self.coverage]
        dx, dy, dz = self.field_shift_mm
        return dx, dy - 8.0, z + dz


def random_settings(rng: np.random.Generator) -> PhantomSettings:
    """Settings with the variety of clinical studies, one phase each; change what matters with `replace`."""
    phase = PHASES[int(rng.choice(4, p=(0.12, 0.30, 0.46, 0.12)))]
    kind = rng.random()
    coverage = Coverage.CHEST if kind < 0.04 else Coverage.PELVIS if kind < 0.08 else Coverage.ABDOMEN
    plane = float(rng.uniform(0.7, 2.0))
    thick = float(rng.choice((1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)))
    field, shift = [380.0, 310.0, 350.0], [0.0, 0.0, 0.0]
    if rng.random() < 0.3:  # a cropped field of view
        field = [rng.uniform(220, 380), rng.uniform(200, 310), rng.uniform(90, 350)]
        shift = [*rng.normal(0, 12, 2), rng.normal(0, 45) if coverage is Coverage.ABDOMEN else 0.0]
    one = rng.random()
    kidneys = (Side.LEFT,) if one < 0.04 else (Side.RIGHT,) if one < 0.08 else (Side.LEFT, Side.RIGHT)
    return PhantomSettings(
        spacing_mm=(plane, plane, thick),
        field_mm=(float(field[0]), float(field[1]), float(field[2])),
        field_shift_mm=(float(shift[0]), float(shift[1]), float(shift[2])),
        coverage=coverage,
        phases=(phase,),
        kidneys=kidneys,
        noise_sd_hu=float(rng.uniform(6, 30)),
        sharpness=float(rng.random()),
        streaks_hu=float(rng.uniform(2, 12)) if rng.random() < 0.25 else 0.0,
        spread=float(rng.uniform(0.6, 2.0)),
    )


def demo_settings() -> PhantomSettings:
    """The study of the demonstration: a solid mass, a cyst and a fat-containing angiomyolipoma, in two phases."""
    return PhantomSettings(
        spacing_mm=(1.5, 1.5, 3.0),
        field_mm=(384.0, 384.0, 330.0),
        phases=(Phase.NEPHROGRAPHIC, Phase.NON_CONTRAST),
        masses=(
            MassSpec(MassClass.SOLID, 35.0, Side.LEFT),
            MassSpec(MassClass.CYSTIC, 25.0, Side.RIGHT),
            MassSpec(MassClass.AML, 30.0, Side.RIGHT),
        ),
        noise_sd_hu=10.0,
    )
