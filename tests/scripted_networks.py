"""Networks that answer by a rule instead of weights, in a cascade of their own: what comes out is known by hand."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from renalct.cascade import Cascade
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.models.recipe import Geometry, Recipe
from renalct.models.recipes import recipe_named
from torch import nn

AIR, FAT, CYST, MUSCLE, TUMOR, KIDNEY = -1000, -90, 20, 40, 80, 200
SHAPE, SPACING = (60, 40, 24), (2.0, 2.0, 4.0)
RIGHT, LEFT = (slice(6, 18), slice(12, 26), slice(4, 20)), (slice(42, 54), slice(12, 26), slice(4, 20))
TUMOR_AT, CYST_AT = (slice(8, 14), slice(14, 20), slice(8, 12)), (slice(46, 50), slice(16, 20), slice(8, 10))


class ByBrightness(nn.Module):
    """Logits that fall with the square of the distance to the brightness of each class; `sharp` makes them sure.

    The background, first, is as bright as fat or as muscle.
    """

    def __init__(self, *levels_hu: float, sharp: float = 4000.0) -> None:
        super().__init__()
        self.levels, self.sharp = [(hu + 160) / 232 - 1 for hu in (MUSCLE, *levels_hu)], sharp

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        muscle, fat, *others = [-self.sharp * (images[:, 0] - level) ** 2 for level in self.levels]
        return torch.stack([torch.maximum(muscle, fat), *others], dim=1)


class LeftOfImage(nn.Module):
    """Like another network, but with tumor and cyst exchanged in the first half of the image's first axis."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.inner(images)
        half = images.shape[2] // 2
        logits[:, [2, 3], :half] = logits[:, [3, 2], :half]
        return logits


@dataclass(frozen=True)
class ScriptedRelease:
    """As much of a release as a cascade needs."""

    recipe: Recipe
    scripted: dict[str, Any]
    digest: str = "5c" * 32

    def networks(self, stage_name: str, *, device: str = "cpu") -> tuple[nn.Module, ...]:
        return self.scripted[stage_name]


def recipe(**changes: Any) -> Recipe:
    """Kidneys on 4 mm voxels, then each on the image's own, and no classes. `changes` are of the segment stage."""
    base = recipe_named("starter")
    own = Geometry()
    segment = replace(base.segment, geometry=own, near_located_mm=None, mirror_averaged=False, margin_mm=8.0)
    located = replace(base.localize, geometry=Geometry(spacing_mm=(4.0, 4.0, 4.0)))
    return replace(base, localize=located, segment=replace(segment, **changes), segment_too=None, classify=None)


def plain_network(*, sharp: float = 4000.0) -> ByBrightness:
    return ByBrightness(FAT, KIDNEY, TUMOR, CYST, sharp=sharp)


def scripted(*segmenting: nn.Module, recipe: Recipe | None = None) -> Cascade:
    """A cascade whose localizer finds what is brighter than muscle, and whose segmenting members are given."""
    recipe = recipe or globals()["recipe"](members=max(1, len(segmenting)))
    networks = {"segment": segmenting or (plain_network(),), "localize": (ByBrightness(FAT, KIDNEY, sharp=20.0),)}
    return Cascade(ScriptedRelease(recipe, networks))  # type: ignore[arg-type]


def labels_of_two_kidneys() -> LabelMap:
    """A kidney on each side, of 12 x 14 x 16 voxels of 16 mm3; a tumor of 6 x 6 x 4 in one, a cyst of 4 x 4 x 2."""
    values = np.zeros(SHAPE, np.uint8)
    values[RIGHT] = values[LEFT] = Structure.KIDNEY
    values[TUMOR_AT], values[CYST_AT] = Structure.TUMOR, Structure.CYST
    return LabelMap(values, Grid(SHAPE, np.diag([*SPACING, 1.0])))


def two_kidneys() -> CTVolume:
    """The image of `labels_of_two_kidneys`: fat and, apart from the kidneys, muscle, in air."""
    labels = labels_of_two_kidneys()
    hu = np.full(SHAPE, FAT, np.int16)
    hu[:, 30:] = MUSCLE
    hu[[0, -1]] = AIR
    table = np.asarray([FAT, KIDNEY, TUMOR, CYST], np.int16)
    inside = labels.values > 0
    hu[inside] = table[labels.values][inside]
    return CTVolume(hu, labels.grid)


def no_kidneys() -> CTVolume:
    """The same body without its kidneys."""
    volume = two_kidneys()
    return CTVolume(np.where(labels_of_two_kidneys().values > 0, np.int16(FAT), volume.hu), volume.grid)
