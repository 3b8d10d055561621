"""The starter: small networks that two cores can train in hours and run in seconds."""

from __future__ import annotations

from dataclasses import replace

from renalct.core.labels import KNOWN_CLASSES
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import Field, Geometry, Masking, Recipe, Stage, Target
from renalct.models.recipes.base import BASE, WINDOW_FAT, WINDOW_RENAL
from renalct.models.training_settings import Augmentation, Loss, Optimizer, Training

AUGMENTATION = Augmentation(
    probability=0.5,
    rotation_deg=12.0,
    scale=0.15,
    mirror=True,
    noise_hu=25.0,
    brightness_hu=25.0,
    contrast=0.25,
    gamma=0.2,
    blur_voxels=0.7,
)
LOCALIZE = Stage(
    field=Field.WHOLE_VOLUME,
    geometry=Geometry(spacing_mm=(3.0, 3.0, 3.0), patch=(112, 112, 1), overlap=0.25, slice_wise=True, neighbors=1),
    intensity=WINDOW_RENAL,
    network=NetworkSpec(Architecture.DYN_UNET, channels=(16, 32, 64, 128, 128), strides=((2, 2, 1),) * 4),
    targets=(Target.KIDNEY_AND_MASS,),
    training=Training(
        optimizer=Optimizer.ADAMW,
        learning_rate=1e-3,
        weight_decay=1e-4,
        batch=16,
        steps=2400,
        foreground_share=0.5,
        ema_decay=0.99,
        clip_gradient=5.0,
        augmentation=AUGMENTATION,
    ),
)
SEGMENT = Stage(
    field=Field.EACH_KIDNEY,
    geometry=Geometry(
        spacing_mm=(1.25, 1.25, 3.0),
        patch=(112, 112, 1),
        overlap=0.25,
        slice_wise=True,
        neighbors=1,
        whole_slices=True,  # interpolated slices blur what is small, and their labels are not the reader's
    ),  # in the same time a 3D network sees far fewer patients: it had not learned masses when this one had
    intensity=WINDOW_FAT,
    network=NetworkSpec(Architecture.DYN_UNET, channels=(24, 48, 96, 192, 256), strides=((2, 2, 1),) * 4),
    targets=(Target.KIDNEY, Target.TUMOR, Target.CYST),
    margin_mm=15.0,
    mass_weight=1.5,  # trained for overlap, the networks say mass too rarely, and fat in a mass is seldom sure
    near_located_mm=8.0,  # liver and spleen beside a kidney look like a mass when seen through a small window
    mirror_averaged=True,
    training=replace(
        LOCALIZE.training,
        steps=5000,
        foreground_share=0.75,
        pasted_share=0.35,  # 129 patients have few masses (TumorCP, Yang et al., MICCAI 2021)
        ema_decay=0.998,
        time_share=6.0,
        augmentation=replace(AUGMENTATION, scale=0.2, rotation_deg=20.0),
    ),
)
SEGMENT_TOO = replace(
    SEGMENT,
    geometry=replace(SEGMENT.geometry, spacing_mm=(0.8, 0.8, 3.0), patch=(160, 160, 1)),
    # begun with the weights of ImageNet, it is better after 3200 steps than the other after 9400
    network=NetworkSpec(Architecture.FLEXIBLE_UNET, encoder="efficientnet-lite0"),
    training=replace(SEGMENT.training, steps=4600, warm_up_steps=200),
)
CLASSIFY = Stage(
    field=Field.EACH_MASS,
    geometry=Geometry(shape=(32, 32, 32)),  # a small mass fills the field as a large one does
    intensity=WINDOW_FAT,
    network=NetworkSpec(
        Architecture.RESNET,
        channels=(16, 32, 64, 128),  # a quarter of ResNet-10
        dropout=0.1,
        max_pool=False,
        explained_layer="layer3",  # four cells a side; the last level has two
    ),
    classes=KNOWN_CLASSES,
    masking=Masking.MASS,  # with few masses to learn from, what surrounds one misleads
    context_mm=4.0,
    training=replace(
        LOCALIZE.training,
        loss=Loss.CROSS_ENTROPY,
        batch=12,
        steps=1500,
        label_smoothing=0.05,
        # CT numbers tell the classes apart (fat, water, enhancing tissue): they may move no more than scanners differ
        augmentation=replace(AUGMENTATION, brightness_hu=8.0, contrast=0.04, gamma=0.0, rotation_deg=25.0, scale=0.2),
    ),
)
STARTER: Recipe = replace(
    BASE,
    name="starter",
    source="renalct",
    localize=LOCALIZE,
    segment=SEGMENT,
    segment_too=SEGMENT_TOO,
    classify=CLASSIFY,
    abstain_below=0.5,
    least_mass_confidence=0.5,  # of what networks see in held-out patients, below lie more false masses than true ones
    least_parenchyma_share=0.05,  # bowel, liver and spleen taken for a mass hold no kidney
)
