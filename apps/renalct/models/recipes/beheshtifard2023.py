"""Beheshtifard et al. 2023: two 2D U-Nets on axial slices, each with a ResNet-34 encoder."""

from __future__ import annotations

from dataclasses import replace

from renalct.models.recipe import (
    Activation,
    Architecture,
    Field,
    Geometry,
    Masking,
    NetworkSpec,
    Normalization,
    Recipe,
    Stage,
    Target,
)
from renalct.models.recipes.base import BASE, WINDOW_BEHESHTIFARD, WINDOW_RENAL
from renalct.models.training_settings import Augmentation, Loss, Optimizer, Training

NETWORK = NetworkSpec(Architecture.FLEXIBLE_UNET, encoder="resnet34")
TRAINING = Training(
    loss=Loss.BINARY_CROSS_ENTROPY,  # section 3: BCEWithLogits
    optimizer=Optimizer.ADAM,
    learning_rate=1e-3,
    batch=128,
    steps=100 * 400,  # 100 epochs; the number of slices of 240 patients is not stated
    patch=(320, 320, 1),  # not in the paper, which passes whole slices; the size of our slice stacks
    augmentation=Augmentation(rotation_deg=15.0, mirror=True, noise_hu=10.0, translation=0.1),  # ranges not stated
)
KIDNEYS = Stage(
    field=Field.WHOLE_VOLUME,
    geometry=Geometry(slice_wise=True),
    intensity=WINDOW_BEHESHTIFARD,  # phase 1 alone is clipped to 0 to 200 HU
    network=NETWORK,
    targets=(Target.KIDNEY_AND_MASS,),  # kidney alone would erase the tumor from phase 2
    activation=Activation.SIGMOID,
    training=TRAINING,
)
TUMORS = replace(
    KIDNEYS,
    field=Field.KIDNEY_REGION,
    intensity=replace(
        WINDOW_RENAL, normalization=Normalization.Z_SCORE_OF_TRAINING_SET, mean_hu=90.0, sd_hu=65.0
    ),  # phase 2 is not clipped in the paper
    targets=(Target.TUMOR,),
    masking=Masking.KIDNEY,  # phase 2 sees the predicted kidney mask times the image
)
BEHESHTIFARD2023: Recipe = replace(
    BASE,
    name="beheshtifard2023",
    source="Beheshtifard et al. 2023",
    localize=KIDNEYS,
    segment=TUMORS,
    classify=None,
)
KIDNEY_ONLY: Recipe = replace(
    BEHESHTIFARD2023,
    name="beheshtifard2023_kidney_only",
    localize=replace(KIDNEYS, targets=(Target.KIDNEY,)),
    notes=("phase 1 ignores tumors and cysts, as printed: tumor outside the kidney mask cannot be found",),
)
