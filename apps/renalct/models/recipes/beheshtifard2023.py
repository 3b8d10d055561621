"""Beheshtifard et al. 2023: two 2D U-Nets on axial slices, each with a ResNet-34 encoder."""

from __future__ import annotations

from dataclasses import replace

from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import (
    Activation,
    Field,
    Geometry,
    Masking,
    Normalization,
    Recipe,
    Stage,
    Target,
)
from renalct.models.recipes.base import BASE, WINDOW_BEHESHTIFARD, WINDOW_RENAL
from renalct.models.training_settings import Augmentation, Loss, Optimizer, Sampling, Schedule, Select, Training
from renalct.pictures.planes import View

NETWORK = NetworkSpec(Architecture.FLEXIBLE_UNET, encoder="resnet34")
FIVE_LEVELS = NetworkSpec(
    Architecture.UNET, channels=(64, 128, 256, 512, 1024), strides=((2, 2, 1),) * 4, residual_units=0
)
TRAINING = Training(
    loss=Loss.BINARY_CROSS_ENTROPY,  # section 3: BCEWithLogits
    optimizer=Optimizer.ADAM,
    learning_rate=1e-3,
    schedule=Schedule.CONSTANT,  # none is stated
    warm_up_steps=0,  # none is stated
    batch=128,
    epochs=100,  # over all slices of the training patients
    sampling=Sampling.IN_TURN,
    select=Select.BEST_LOSS,  # section 3: the best validation loss
    foreground_share=0.0,  # every slice comes once, whatever it shows
    patch=(320, 320, 1),  # not in the paper, which passes whole slices; the size of our slice stacks
    augmentation=Augmentation(  # rotation, flip, crop and Gaussian noise; ranges not stated
        rotation_deg=15.0, mirror=True, mirror_axes=(0, 1), translation=0.1, scale=0.1, noise_hu=10.0
    ),
)
KIDNEYS = Stage(
    field=Field.WHOLE_VOLUME,
    geometry=Geometry(slice_wise=True),  # whole slices on their own voxels
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
    split_shares=(80, 10, 10),  # 240, 30 and 30 patients
)
KIDNEY_ONLY: Recipe = replace(
    BEHESHTIFARD2023,
    name="beheshtifard2023_kidney_only",
    localize=replace(KIDNEYS, targets=(Target.KIDNEY,)),
    notes=("phase 1 ignores tumors and cysts, as printed: tumor outside the kidney mask cannot be found",),
)
PLAIN_UNET: Recipe = replace(
    BEHESHTIFARD2023,
    name="beheshtifard2023_unet",  # the paper's own comparator: a U-Net of five levels without a trained encoder
    localize=replace(KIDNEYS, network=FIVE_LEVELS),
    segment=replace(TUMORS, network=FIVE_LEVELS),
)
WHOLE_SLICES: Recipe = replace(
    BEHESHTIFARD2023,
    name="beheshtifard2023_whole_slices",
    localize=replace(KIDNEYS, training=replace(TRAINING, patch=(512, 512, 1))),
    segment=replace(TUMORS, training=replace(TRAINING, patch=(512, 512, 1))),
    notes=("samples are whole slices of 512 x 512, which needs the memory of a large GPU, or a batch in parts",),
)
AT_2_MM: Recipe = replace(
    BEHESHTIFARD2023,
    name="beheshtifard2023_2mm",
    localize=replace(
        KIDNEYS,
        geometry=Geometry(spacing_mm=(2.0, 2.0, 3.0), slice_wise=True, whole_slices=True),
        training=replace(TRAINING, patch=(128, 128, 1), batch=32, epochs=20),
    ),
    segment=replace(
        TUMORS,
        geometry=Geometry(spacing_mm=(2.0, 2.0, 3.0), slice_wise=True, whole_slices=True),
        training=replace(TRAINING, patch=(128, 128, 1), batch=32, epochs=20),
    ),
    notes=("slices at 2 mm, samples of 128 x 128 in batches of 32, 20 epochs: what a processor can bear",),
)
_ALL_PLANES = Geometry(
    spacing_mm=(1.5, 1.5, 1.5),  # one grid for all planes, as fine as volumes of many slices allow
    slice_wise=True,
    planes=(View.AXIAL, View.CORONAL, View.SAGITTAL),
)
THREE_PLANES: Recipe = replace(
    BEHESHTIFARD2023,
    name="beheshtifard2023_three_planes",
    localize=replace(KIDNEYS, geometry=_ALL_PLANES, members=3, training=replace(TRAINING, patch=(224, 224, 1))),
    segment=replace(TUMORS, geometry=_ALL_PLANES, members=3, training=replace(TRAINING, patch=(224, 224, 1))),
    notes=(
        "a network for each of the axial, coronal and sagittal planes, whose probabilities are averaged: the paper "
        "names the fusion of three planes as future work and says no more",
    ),
)
