"""What a recipe takes from the training set: the mean and deviation of its CT numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from renalct.core.errors import RecipeError
from renalct.models.cases import Case, CaseFile
from renalct.models.recipe import Intensity, Masking, Normalization, Recipe, Stage

_AIR_HU = -1024


@dataclass(eq=False)
class _Sum:
    """A running count, sum and sum of squares."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, case: Case, stage: Stage) -> None:
        """Count the voxels of a case that the stage shows to its network, clipped to its window."""
        shown = case.label_map.values > 0 if stage.masking is Masking.KIDNEY else case.volume.hu > _AIR_HU
        values = case.volume.hu[shown].astype(np.float64)
        if stage.intensity.low_hu is not None:
            values = np.clip(values, stage.intensity.low_hu, stage.intensity.high_hu)
        self.count += values.size
        self.total += float(values.sum())
        self.squares += float((values**2).sum())

    def intensity(self, before: Intensity) -> Intensity:
        """The intensity rule with the mean and deviation of what was counted."""
        if not self.count:
            raise RecipeError(
                "no training case has voxels to take the mean and deviation from; give cases with kidneys"
            )
        mean = self.total / self.count
        sd = math.sqrt(max(0.0, self.squares / self.count - mean**2))
        return replace(before, mean_hu=round(mean, 3), sd_hu=max(1.0, round(sd, 3)))


def fit_intensities(
    recipe: Recipe, files: Sequence[CaseFile], *, tell: Callable[[int, int], None] | None = None
) -> Recipe:
    """The recipe with the mean and deviation of the training cases in the stages whose rule asks for them.

    They are of the voxels that the network sees: all that was scanned, or of a stage that sees kidneys alone, those.
    """
    sums = {
        name: _Sum()
        for name, stage in recipe.stages
        if stage.intensity.normalization is Normalization.Z_SCORE_OF_TRAINING_SET
    }
    if not sums:
        return recipe
    stages = dict(recipe.stages)
    for number, file in enumerate(files, start=1):
        for case in file.load():
            for name, found in sums.items():
                found.add(case, stages[name])
        if tell:
            tell(number, len(files))

    def measured(name: str, stage: Stage) -> Stage:
        return replace(stage, intensity=sums[name].intensity(stage.intensity)) if name in sums else stage

    return recipe.with_stages(measured)
