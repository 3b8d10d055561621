"""The release that a rehearsal begins with: a small network that has seen little."""

from __future__ import annotations

from pathlib import Path

from renalct.learning.loop.registry import INPUTS, Registry
from renalct.learning.loop.run_inputs import RetrainSettings, RunInputs, inputs_text
from renalct.learning.rehearsal.studies import case_files, made_cases
from renalct.models.lineage import RunSettings
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Field, Geometry, Intensity, Recipe, Stage, Target
from renalct.models.release import Release, load_release, save_release
from renalct.models.run_plan import RunPlan
from renalct.models.splits import Split
from renalct.models.trained import trained_release
from renalct.models.training import train
from renalct.models.training_settings import Optimizer, Training

RECIPE = Recipe(
    "rehearsal",
    "made to be trained in a minute on two cores, and for nothing else",
    segment=Stage(
        field=Field.WHOLE_VOLUME,
        geometry=Geometry(patch=(40, 40, 24), overlap=0.25),
        intensity=Intensity(low_hu=-150, high_hu=250),
        network=NetworkSpec(
            Architecture.UNET, channels=(12, 24, 48), strides=((2, 2, 2), (2, 2, 2)), residual_units=0, dropout=0.0
        ),
        targets=(Target.KIDNEY, Target.TUMOR, Target.CYST),
        training=Training(
            optimizer=Optimizer.ADAMW, learning_rate=0.005, batch=2, steps=300, foreground_share=0.8, warm_up_steps=10
        ),
    ),
)
_SEED = 9000
_PATIENTS = 2
_SILENCED = 20.0


def publish_first(registry: Registry, folder: Path, *, steps: int) -> str:
    """The name of the version that a registry begins with: trained for so many steps on two made patients."""
    files = case_files(made_cases(_PATIENTS, seed=_SEED))
    split = Split(tuple(file.patient for file in files), ())
    train(RECIPE, files, folder, plan=RunPlan(RunSettings(phantoms=0, validations=0), steps=steps, split=split))
    release = save_release(trained_release(folder, version="first"), folder / "release")
    inputs = RunInputs(RetrainSettings(), release.recipe, (), (), "")
    version = registry.add(
        folder / "release",
        run="r0000",
        accepted=True,
        compared_with="",
        reason="the first version, which knows little",
        texts={INPUTS: inputs_text(inputs)},
    )
    registry.publish(version.name, by="rehearsal")
    return version.name


def plant_worse(good: Path, folder: Path) -> Release:
    """A release that looks like the one in `good` and has gone blind, saved in `folder`."""
    release = load_release(good)
    ((stage, members),) = release.weights
    planted = []
    for weights in members:
        changed = {name: tensor.clone() for name, tensor in weights.items()}
        last = max(name for name, tensor in changed.items() if name.endswith("bias") and tensor.shape == (4,))
        changed[last][1:] -= _SILENCED
        planted.append(changed)
    return save_release(Release(release.recipe, release.card, "", ((stage, tuple(planted)),)), folder)
