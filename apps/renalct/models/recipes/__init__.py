"""Recipes by name: each is the base with its differences."""

from __future__ import annotations

from renalct.core.errors import RecipeError
from renalct.core.nearest import did_you_mean
from renalct.models.recipe import Recipe
from renalct.models.recipes.beheshtifard2023 import (
    AT_2_MM,
    BEHESHTIFARD2023,
    KIDNEY_ONLY,
    PLAIN_UNET,
    THREE_PLANES,
    WHOLE_SLICES,
)
from renalct.models.recipes.starter import STARTER
from renalct.models.recipes.zang2021 import FOREGROUND_THIRD, ZANG2021, ZANG2021_LITERAL
from renalct.models.recipes.zhao2023 import ENSEMBLE, LITERAL, MEDICALNET, ONE_STAGE, SIZED, UNWEIGHTED, ZHAO2023

RECIPES: tuple[Recipe, ...] = (
    STARTER, ZHAO2023, LITERAL, MEDICALNET, SIZED, UNWEIGHTED, ONE_STAGE, ENSEMBLE, ZANG2021, ZANG2021_LITERAL,
    FOREGROUND_THIRD, BEHESHTIFARD2023, KIDNEY_ONLY, PLAIN_UNET, WHOLE_SLICES, AT_2_MM, THREE_PLANES,
)  # fmt: skip


def recipe_named(name: str) -> Recipe:
    """The recipe of that name. Raises `RecipeError` with the nearest name for any other."""
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    names = [recipe.name for recipe in RECIPES]
    hint = did_you_mean(name, names, "did you mean {!r}? ")
    raise RecipeError(f"there is no recipe {name!r}; {hint}known: {', '.join(names)}")
