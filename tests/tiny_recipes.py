"""Recipes with the same stages but narrow networks and small patches, for tests of everything but accuracy."""

from dataclasses import replace

from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Recipe, Stage


def tiny(recipe: Recipe, *, patch: int = 32) -> Recipe:
    """The recipe with an eighth of the channels and cubic patches (or a fixed shape) of `patch` voxels.

    Masses count however unsure the networks are, as untrained ones are sure of nothing.
    """
    changed = {name: _tiny(stage, patch) for name, stage in recipe.stages}
    return replace(recipe, least_mass_confidence=0.0, **changed)


def _tiny(stage: Stage, patch: int) -> Stage:
    geometry, network = stage.geometry, stage.network
    if geometry.patch is not None and not geometry.slice_wise:
        geometry = replace(geometry, patch=(patch,) * 3)
    if geometry.shape is not None:
        geometry = replace(geometry, shape=(patch,) * 3)
    if network.encoder == "efficientnet-lite0":  # nothing about it can be made narrower
        network = NetworkSpec(Architecture.UNET, channels=(2, 4), strides=((2, 2, 1),))
    elif network.architecture is not Architecture.FLEXIBLE_UNET:
        network = replace(network, channels=tuple(max(2, n // 8) for n in network.channels))
    return replace(stage, geometry=geometry, network=network)
