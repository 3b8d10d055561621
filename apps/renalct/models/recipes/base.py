"""The base that every recipe differs from, and the named windows."""

from __future__ import annotations

from renalct.core.labels import KNOWN_CLASSES
from renalct.models.network_spec import Architecture, NetworkSpec
from renalct.models.recipe import (
    Field,
    Geometry,
    Intensity,
    Masking,
    Normalization,
    Recipe,
    Stage,
    Target,
)

# Named windows: five ways of the literature to clip CT numbers.
WINDOW_RENAL = Intensity(low_hu=-79.0, high_hu=304.0)  # 0.5 and 99.5 percentile of KiTS foreground
WINDOW_FAT = Intensity(low_hu=-160.0, high_hu=304.0)  # the same, with fat (about -100 HU) told from its clip
WINDOW_ZHAO = Intensity(low_hu=-120.0, high_hu=180.0)  # width 300, level 30: Zhao 2023 with the two numbers swapped
WINDOW_ZHAO_LITERAL = Intensity(low_hu=285.0, high_hu=315.0)  # width 30, level 300 as printed: keeps almost nothing
WINDOW_ZANG = Intensity(percentiles=(0.5, 99.5), normalization=Normalization.Z_SCORE_OF_VOLUME)  # section 2.2
WINDOW_BEHESHTIFARD = Intensity(
    low_hu=0.0, high_hu=200.0, normalization=Normalization.Z_SCORE_OF_TRAINING_SET, mean_hu=40.0, sd_hu=60.0
)  # the paper clips to 0 to 200 HU; its mean and deviation are not printed

LEVELS_5 = (16, 32, 64, 128, 256)
HALVE_4 = ((2, 2, 2),) * 4

UNET_16 = NetworkSpec(Architecture.UNET, channels=LEVELS_5, strides=HALVE_4, residual_units=0)
RESNET_10 = NetworkSpec(Architecture.RESNET, channels=(64, 128, 256, 512))

BASE = Recipe(
    name="base",
    source="renalct",
    localize=Stage(
        field=Field.WHOLE_VOLUME,
        geometry=Geometry(shape=(128, 128, 128)),
        intensity=WINDOW_RENAL,
        network=UNET_16,
        targets=(Target.KIDNEY_AND_MASS,),
    ),
    segment=Stage(
        field=Field.EACH_KIDNEY,
        geometry=Geometry(shape=(128, 128, 128)),
        intensity=WINDOW_RENAL,
        network=UNET_16,
        targets=(Target.KIDNEY, Target.TUMOR, Target.CYST),
        margin_mm=20.0,
    ),
    classify=Stage(
        field=Field.EACH_MASS,
        geometry=Geometry(shape=(128, 128, 128)),
        intensity=WINDOW_RENAL,
        network=RESNET_10,
        classes=KNOWN_CLASSES,
        masking=Masking.MASS,
    ),
)
"""Two-stage U-Net and ResNet-10 with sensible defaults; papers are `replace(BASE, ...)`."""
