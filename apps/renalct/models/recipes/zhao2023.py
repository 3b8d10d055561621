"""Zhao et al. 2023: kidneys by a 3D U-Net, masses by a second one in each kidney, classes by ResNet-10."""

from __future__ import annotations

from dataclasses import replace

from renalct.core.labels import KNOWN_CLASSES
from renalct.models.network_spec import NetworkSpec
from renalct.models.recipe import Field, Geometry, Masking, Recipe, Resize, Stage, Target
from renalct.models.recipes.base import BASE, RESNET_10, UNET_16, WINDOW_ZHAO, WINDOW_ZHAO_LITERAL
from renalct.models.training_settings import (
    Augmentation,
    Balance,
    DiceOver,
    Loss,
    Optimizer,
    Sampling,
    Schedule,
    Select,
    Training,
)

SHAPE = (128, 128, 128)  # Methods, image preprocessing: every input is resized to 128 x 128 x 128

AUGMENTATION = Augmentation(
    probability=0.5,  # not stated
    rotation_deg=10.0,  # Methods: -10 to 10 degrees
    translation=0.1,  # Methods: horizontal and vertical, -0.1 to 0.1 of the width
    noise_hu=10.0,  # Methods: random noise; its size is not stated
)
TRAINING = Training(
    loss=Loss.DICE_AND_CROSS_ENTROPY,  # not stated
    dice_over=DiceOver.SAMPLE,  # not stated
    optimizer=Optimizer.ADAM,  # not stated
    learning_rate=1e-4,  # Methods
    schedule=Schedule.CONSTANT,  # none is stated
    warm_up_steps=0,  # none is stated
    batch=4,  # Methods
    epochs=400,  # Methods; with its 487 training series an epoch is 122 batches
    sampling=Sampling.IN_TURN,  # what an epoch means
    select=Select.BEST_SCORE,  # the rule for choosing a checkpoint is not stated
    augmentation=AUGMENTATION,
)
UNET = replace(UNET_16, channels=(16, 32, 64, 128, 256))  # Methods: filters = 16; the depth is not stated

KIDNEYS = Stage(
    field=Field.WHOLE_VOLUME,
    geometry=Geometry(shape=SHAPE, resize=Resize.STRETCH),
    intensity=WINDOW_ZHAO,
    network=UNET,
    targets=(Target.KIDNEY_AND_MASS,),  # kidneys with what grows from them, so that stage 2 sees the whole mass
    training=TRAINING,
)
MASSES = replace(
    KIDNEYS,
    field=Field.EACH_KIDNEY,  # Methods: the segmented kidney is cropped
    targets=(Target.MASS,),
    margin_mm=10.0,  # not stated
)
CLASSIFIER: NetworkSpec = replace(RESNET_10, hidden=128, dropout=0.1)  # Methods: hidden layer of 128, dropout 0.1
CLASSES = Stage(
    field=Field.EACH_MASS,
    geometry=Geometry(shape=SHAPE, resize=Resize.PAD),  # the paper stretches, which hides the shape of the mass
    intensity=WINDOW_ZHAO,
    network=CLASSIFIER,
    classes=KNOWN_CLASSES,
    masking=Masking.MASS,  # Methods: areas that the mask does not cover are removed
    training=replace(
        TRAINING,
        loss=Loss.CROSS_ENTROPY,
        balance=Balance.WEIGHTS,  # not stated; the paper has 198 AML, 1296 cystic and 397 solid masses
    ),
)

ZHAO2023: Recipe = replace(
    BASE,
    name="zhao2023",
    source="Zhao et al. 2023",
    localize=KIDNEYS,
    segment=MASSES,
    classify=CLASSES,
    split_shares=(8, 1, 1),  # Methods: by patient; 487, 58 and 65 series
    smallest_classified_mm=5.0,  # Results: end to end only for masses over 5 mm
)
LITERAL: Recipe = replace(
    ZHAO2023,
    name="zhao2023_literal",
    localize=replace(KIDNEYS, intensity=WINDOW_ZHAO_LITERAL),
    segment=replace(MASSES, intensity=WINDOW_ZHAO_LITERAL),
    classify=replace(CLASSES, intensity=WINDOW_ZHAO_LITERAL, geometry=Geometry(shape=SHAPE, resize=Resize.STRETCH)),
    notes=("the window is the printed one (width 30 HU, level 300 HU), which keeps only what lies near 300 HU",),
)
MEDICALNET: Recipe = replace(
    ZHAO2023,
    name="zhao2023_medicalnet",
    classify=replace(CLASSES, network=replace(CLASSIFIER, dilated=True)),
    notes=("the last two levels of ResNet-10 are dilated as in the network that MedicalNet's weights were learned in",),
)
SIZED: Recipe = replace(
    ZHAO2023,
    name="zhao2023_size",
    classify=replace(CLASSES, size_mm=20.0),  # between the paper's smallest masses and its largest
    notes=("the classifier sees how large a mass is, which every input of one shape hides",),
)
UNWEIGHTED: Recipe = replace(
    ZHAO2023,
    name="zhao2023_unweighted",
    classify=replace(CLASSES, training=replace(CLASSES.training, balance=Balance.NONE)),
    notes=("nothing is done about the unequal number of masses per class, of which the paper says nothing",),
)
ONE_STAGE: Recipe = replace(
    ZHAO2023,
    name="zhao2023_one_stage",  # Supplementary table 3: kidney and mass by one 3D U-Net of the same kind
    localize=None,
    segment=replace(KIDNEYS, targets=(Target.KIDNEY, Target.MASS)),
)
ENSEMBLE: Recipe = replace(
    ZHAO2023,
    name="zhao2023_ensemble",  # named in the abstract alone; we average networks of five seeds
    localize=replace(KIDNEYS, members=5),
    segment=replace(MASSES, members=5),
    classify=replace(CLASSES, members=5),
    notes=("how the ensemble is made is not in the paper",),
)
