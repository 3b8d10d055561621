"""Prepared cases as a network of another plane than the axial sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from renalct.core.labels import Structure
from renalct.models.cases import Origin
from renalct.models.plane_slices import sliced, sliced_axes
from renalct.models.prepared_cases import PreparedCase
from renalct.models.recipe import Geometry
from renalct.pictures.planes import View


@dataclass(frozen=True, eq=False)
class _SlicedCase:
    """A prepared case whose axes are those of another plane's slices."""

    case: PreparedCase = field(repr=False)
    view: View

    @property
    def origin(self) -> Origin:
        return self.case.origin

    @property
    def patient(self) -> str:
        return self.case.patient

    @property
    def image(self) -> NDArray[np.float16]:
        return sliced(self.case.image, self.view)

    @property
    def labels(self) -> NDArray[np.uint8]:
        return sliced(self.case.labels, self.view)

    @property
    def spots(self) -> tuple[NDArray[np.int16], ...]:
        columns = list(sliced_axes((0, 1, 2), self.view))
        return tuple(spots[:, columns] for spots in self.case.spots)

    @property
    def class_index(self) -> int:
        return self.case.class_index

    @property
    def fill(self) -> float:
        return self.case.fill

    @property
    def assessed(self) -> frozenset[Structure]:
        return self.case.assessed


def sliced_cases(pool: Sequence[PreparedCase], geometry: Geometry) -> tuple[PreparedCase, ...]:
    """The cases as a network sees them whose stage has that geometry (of one plane: `Stage.seen_by`)."""
    (view,) = geometry.planes
    if view is View.AXIAL:
        return tuple(pool)
    return tuple(_SlicedCase(case, view) for case in pool)
