"""Zang 2021 (KiTS21): one 3D U-Net in the manner of nnU-Net, sliding over the whole volume."""

from __future__ import annotations

from dataclasses import replace

from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Field, Geometry, Recipe, Stage, Target
from renalct.models.recipes.base import BASE, WINDOW_ZANG
from renalct.models.training_settings import Augmentation, DiceOver, Loss, Optimizer, Schedule, Select, Training

NETWORK = NetworkSpec(
    Architecture.DYN_UNET,
    channels=(32, 64, 128, 256, 512, 1024),  # section 2.3: 32 channels, doubled down to 4 x 4 x 4 from 128 x 128 x 128
    strides=((2, 2, 2),) * 5,
    kernels=((3, 3, 3),) * 6,
    max_channels=320,  # as nnU-Net; the paper names no cap
    deep_supervision_heads=2,  # section 2.3: heads "at the shallowest layers"; the number is not stated
)
SEGMENT = Stage(
    field=Field.WHOLE_VOLUME,
    geometry=Geometry(
        spacing_mm=(1.99, 1.99, 1.99),  # section 2.2
        cubic=True,  # section 2.2: splines of order 3 for images, the nearest voxel for labels
        patch=(128, 128, 128),
        overlap=0.5,  # section 2.4: stride of half a patch
        nearest_back=True,  # section 2.4
    ),
    intensity=WINDOW_ZANG,
    network=NETWORK,
    targets=(Target.KIDNEY, Target.TUMOR, Target.CYST),
    training=Training(
        loss=Loss.DICE_AND_CROSS_ENTROPY,  # section 2.3, at each head, weights halved per level
        dice_over=DiceOver.SAMPLE,  # as nnU-Net in 3D
        optimizer=Optimizer.SGD_NESTEROV,
        learning_rate=0.06,  # table 1
        schedule=Schedule.POLYNOMIAL,  # not stated; as nnU-Net
        warm_up_steps=250,  # not in the paper: one epoch, because the rate is six times that of nnU-Net
        momentum=0.99,
        batch=4,
        epochs=1000,
        batches_per_epoch=250,
        select=Select.BEST_LOSS,  # section 3: the best validation loss was at epoch 892
        foreground_share=0.33,  # "one third of each patch" is impossible (5.5 litres); the share of samples instead
        clip_gradient=12.0,  # not in the paper: a learning rate of 0.06 without it may diverge
        augmentation=Augmentation(
            probability=0.4,  # section 2.2, each change on its own; the ranges are not stated
            separately=True,
            rotation_deg=15.0,
            tilt_deg=15.0,  # about all axes
            scale=0.2,
            mirror=True,
            mirror_axes=(0, 1, 2),
            mirror_probability=0.4,
            brightness_hu=20.0,
            contrast=0.25,
            gamma=0.3,
        ),
    ),
)
ZANG2021: Recipe = replace(
    BASE,
    name="zang2021",
    source="Zang 2021, KiTS21",
    localize=None,
    segment=SEGMENT,
    classify=None,
    split_shares=(240, 60),
)
ZANG2021_LITERAL: Recipe = replace(
    ZANG2021,
    name="zang2021_literal",
    segment=replace(SEGMENT, network=replace(NETWORK, max_channels=None)),
    notes=("channels double to 1024 without a cap, as printed",),
)
FOREGROUND_THIRD: Recipe = replace(
    ZANG2021,
    name="zang2021_foreground_third",
    segment=replace(SEGMENT, training=replace(SEGMENT.training, least_foreground=1 / 3, foreground_share=1.0)),
    notes=(
        "at least one third of each patch is foreground, as printed: no patient has the 5.5 litres that this needs",
    ),
)
