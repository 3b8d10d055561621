"""Kidneys of nobody: maps from the procedural shapes, for made volumes without any label maps."""

from __future__ import annotations

import numpy as np

from renalct.core.labels import Side
from renalct.synthetic.anatomy import Build
from renalct.synthetic.kidney_maps import MARGIN_MM, STEP_MM, KidneyMap, PatientMap, shape_of
from renalct.synthetic.kidneys import KidneyShape

_ALONE = 0.06


def procedural_patient(*, rng: np.random.Generator, name: str = "procedural") -> PatientMap:
    """Two kidneys of an adult (few have one) without masses, as maps about the origin."""
    build = Build.drawn(rng)
    sides = (Side.LEFT, Side.RIGHT)
    kept = (sides[int(rng.integers(2))],) if rng.random() < _ALONE else sides
    kidneys = [KidneyShape.drawn(side, build, rng) for side in sides]
    return PatientMap(name, tuple(_mapped(kidney) for kidney in kidneys if kidney.side in kept))


def _mapped(kidney: KidneyShape) -> KidneyMap:
    reach = kidney.reach(MARGIN_MM)
    first = np.asarray(kidney.center) - reach
    lines = [np.arange(f, f + 2 * r, STEP_MM).astype(np.float32) for f, r in zip(first, reach, strict=True)]
    axes = (lines[0][:, None, None], lines[1][None, :, None], lines[2][None, None, :])
    bean, sinus = kidney.levels(axes)
    shape = shape_of((bean < 1) & (sinus >= 1), (STEP_MM,) * 3, first)
    return KidneyMap(kidney.side, shape, shape)
