"""A recipe: what a release does at each stage (localize, segment, classify), as values. Numbers stand in `recipes/`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from renalct.core.errors import RecipeError
from renalct.core.labels import KNOWN_CLASSES, MassClass, Region, Structure
from renalct.models.class_calibration import ClassCalibration
from renalct.models.network_spec import NetworkSpec
from renalct.models.training_settings import Training
from renalct.pictures.planes import View


class Field(Enum):
    """What one pass of a network looks at."""

    WHOLE_VOLUME = "whole volume"
    KIDNEY_REGION = "kidney region"
    EACH_KIDNEY = "each kidney"
    EACH_MASS = "each mass"


class Resize(Enum):
    """How a field of any size becomes a fixed shape: each axis on its own, or one scale and padding."""

    STRETCH = "stretch"
    PAD = "pad"


class Masking(Enum):
    """What a network does not see: nothing, all but the kidneys or the mass; or the mask is a second channel."""

    NONE = "none"
    KIDNEY = "kidney"
    MASS = "mass"
    MASS_CHANNEL = "mass channel"


class Target(Enum):
    """What an output channel of a segmenting network means."""

    KIDNEY_AND_MASS = "kidney and mass"
    KIDNEY = "kidney"
    MASS = "mass"
    TUMOR = "tumor"
    CYST = "cyst"

    @property
    def structures(self) -> frozenset[Structure]:
        """The label values that belong to the target; an angiomyolipoma counts as a tumor."""
        regions = {
            Target.KIDNEY_AND_MASS: Region.KIDNEY_AND_MASS,
            Target.MASS: Region.MASS,
            Target.TUMOR: Region.TUMOR,
        }
        single = {Target.KIDNEY: frozenset({Structure.KIDNEY}), Target.CYST: frozenset({Structure.CYST})}
        return single[self] if self in single else regions[self].value

    @property
    def painted_as(self) -> Structure:
        """The label value written where the target is found; an undivided mass is a tumor until classified."""
        return {
            Target.KIDNEY_AND_MASS: Structure.KIDNEY,
            Target.KIDNEY: Structure.KIDNEY,
            Target.CYST: Structure.CYST,
        }.get(self, Structure.TUMOR)


class Activation(Enum):
    """How logits become probabilities: exclusive with a background channel first, or each channel on its own."""

    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


class Normalization(Enum):
    """What follows the window: -1 to 1; z-score by the volume's own, or by the training set's, mean and deviation."""

    MINUS_ONE_TO_ONE = "minus one to one"
    Z_SCORE_OF_VOLUME = "z-score of volume"
    Z_SCORE_OF_TRAINING_SET = "z-score of training set"


@dataclass(frozen=True)
class Intensity:
    """CT numbers to network input: clip to a window in HU, or to percentiles of each volume, then normalize."""

    low_hu: float | None = None
    high_hu: float | None = None
    percentiles: tuple[float, float] | None = None
    normalization: Normalization = Normalization.MINUS_ONE_TO_ONE
    mean_hu: float = 0.0
    sd_hu: float = 1.0

    def __post_init__(self) -> None:
        if (self.percentiles is None) == (self.low_hu is None or self.high_hu is None):
            raise RecipeError("the intensity needs either low_hu and high_hu, or percentiles, and not both")
        if self.low_hu is not None and self.high_hu is not None and self.low_hu >= self.high_hu:
            raise RecipeError(f"the window runs from {self.low_hu} to {self.high_hu} HU; the first must be lower")
        if self.sd_hu <= 0:
            raise RecipeError("sd_hu must be above 0")


@dataclass(frozen=True)
class Geometry:
    """The grid a network sees: a spacing, a fixed shape, or (both None) the volume's own voxels.

    A spacing with a shape is a window of fixed size in mm around the centre of the field, coarser when the field is
    larger. A `patch` makes the network slide over the field with that overlap (a share of the patch).
    `slice_wise` passes axial slices one by one to a 2D network, each with `neighbors` slices below and above it as
    further channels. With several `planes`, members take one each in turn: they see slices of the same grid in that
    plane, and their answers are averaged voxel by voxel. `whole_slices` rounds the third spacing to a whole number of
    the volume's own slices (at least one), so that no slice is interpolated. Images come onto the grid
    linearly, averaged where it is coarser, or by `cubic` splines. Axes run to the patient's right, front and head.
    """

    spacing_mm: tuple[float, float, float] | None = None
    shape: tuple[int, int, int] | None = None
    resize: Resize = Resize.PAD
    patch: tuple[int, int, int] | None = None
    overlap: float = 0.5
    slice_wise: bool = False
    neighbors: int = 0
    planes: tuple[View, ...] = (View.AXIAL,)
    whole_slices: bool = False
    nearest_back: bool = False
    cubic: bool = False

    def __post_init__(self) -> None:
        if self.spacing_mm is not None and min(self.spacing_mm) <= 0:
            raise RecipeError(f"spacing_mm is {self.spacing_mm}; every value must be above 0")
        for name, shape in (("shape", self.shape), ("patch", self.patch)):
            if shape is not None and min(shape) < 1:
                raise RecipeError(f"{name} is {shape}; every value must be at least 1")
        if self.neighbors < 0 or (self.neighbors and not self.slice_wise):
            raise RecipeError(f"neighbors is {self.neighbors}; only a slice-wise stage has neighbors, 0 or more")
        if not self.planes or len(set(self.planes)) < len(self.planes):
            raise RecipeError("planes names each of axial, coronal and sagittal at most once, and at least one of them")
        if not self.in_slabs and (not self.slice_wise or self.spacing_mm is None or self.shape is not None):
            raise RecipeError(
                "coronal and sagittal planes need a slice-wise stage with a spacing_mm and no shape: the images' own "
                "voxels are as long across the slices as those are thick"
            )
        if self.whole_slices and (self.spacing_mm is None or self.shape is not None):
            raise RecipeError("whole_slices needs a spacing_mm, and no shape")
        if not 0 <= self.overlap < 1:
            raise RecipeError(f"overlap is {self.overlap}; a share from 0 to below 1 is needed")

    @property
    def in_slabs(self) -> bool:
        """Whether a few axial slices (or the whole field) are all that the networks need at a time."""
        return self.planes == (View.AXIAL,)


@dataclass(frozen=True)
class Stage:
    """One network's work: where it looks, what it sees, what it answers. `members` networks are averaged, and with
    `mirror_averaged` the answers to an image and to its mirror image (left and right exchanged).

    A fixed shape hides how large a mass is: with a `size_mm`, a classifier sees a further channel that is everywhere
    log2(diameter of the sphere of equal volume / size_mm).
    A segmenting stage keeps nothing farther than `near_located_mm` from what the localize stage saw (None: everything),
    and masses of a softmax count `mass_weight` times when it is decided which structure a voxel is.
    """

    field: Field
    geometry: Geometry
    intensity: Intensity
    network: NetworkSpec
    targets: tuple[Target, ...] = ()
    classes: tuple[MassClass, ...] = ()
    activation: Activation = Activation.SOFTMAX
    margin_mm: float = 0.0
    masking: Masking = Masking.NONE
    context_mm: float = 0.0
    size_mm: float | None = None
    near_located_mm: float | None = None
    mass_weight: float = 1.0
    members: int = 1
    mirror_averaged: bool = False
    calibration: ClassCalibration = dataclasses.field(default_factory=ClassCalibration)
    training: Training = dataclasses.field(default_factory=Training)

    def __post_init__(self) -> None:
        if bool(self.targets) == bool(self.classes):
            raise RecipeError("a stage has either targets (it segments) or classes (it classifies)")
        if self.classes and (self.classes != KNOWN_CLASSES or self.field is not Field.EACH_MASS):
            raise RecipeError("a classifier looks at each mass and answers aml, cystic, solid, in this order")
        if self.members < 1:
            raise RecipeError(f"members is {self.members}; at least 1 is needed")
        if self.size_mm is not None and not (self.classes and self.size_mm > 0):
            raise RecipeError(
                f"size_mm is {self.size_mm}; a diameter above 0 is needed, and only a classifier sees sizes"
            )
        if self.members % len(self.geometry.planes):
            planes = len(self.geometry.planes)
            raise RecipeError(f"members is {self.members}; a stage of {planes} planes needs a multiple of {planes}")
        if min(self.margin_mm, self.context_mm, self.near_located_mm or 0.0) < 0 or self.mass_weight <= 0:
            raise RecipeError("margin_mm, context_mm and near_located_mm cannot be negative, nor mass_weight 0")

    @property
    def output_channels(self) -> int:
        """Channels of the network's answer, the background of a softmax included."""
        if self.classes:
            return len(self.classes)
        return len(self.targets) + (1 if self.activation is Activation.SOFTMAX else 0)

    @property
    def input_channels(self) -> int:
        """Channels that the network sees."""
        images = (2 if self.masking is Masking.MASS_CHANNEL else 1) * (1 + 2 * self.geometry.neighbors)
        return images + (self.size_mm is not None)

    def seen_by(self, member: int) -> Stage:
        """The stage as that member alone sees it: in the slices of its own plane."""
        planes = self.geometry.planes
        plane = planes[member % len(planes)]
        return dataclasses.replace(self, geometry=dataclasses.replace(self.geometry, planes=(plane,)))

    @property
    def finds_kidneys(self) -> bool:
        """Whether a target paints kidney voxels."""
        return any(target.painted_as is Structure.KIDNEY for target in self.targets)


@dataclass(frozen=True)
class Recipe:
    """A named system. Without `localize` the segmenting stage sees the whole volume; without `classify` masses keep
    the class that their structure tells. The probabilities of `segment_too` are averaged with those of `segment`.

    What is smaller than a mass of `smallest_mass_mm`, or has a mean probability of mass under `least_mass_confidence`,
    is none. A mass under `smallest_classified_mm` average diameter,
    or without a class of at least `abstain_below` probability, is `unknown`. An organ of which less than
    `least_parenchyma_share` is kidney tissue is no kidney.
    `split_shares` are the relative numbers of patients for training, validation and, where there are three, test.
    """

    name: str
    source: str
    segment: Stage
    segment_too: Stage | None = None
    localize: Stage | None = None
    classify: Stage | None = None
    smallest_mass_mm: float = 3.0
    smallest_classified_mm: float = 5.0
    abstain_below: float = 0.0
    least_parenchyma_share: float = 0.0
    least_mass_confidence: float = 0.0
    split_shares: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name:
            raise RecipeError("a recipe needs a name")
        if self.localize is None and self.segment.field is not Field.WHOLE_VOLUME:
            raise RecipeError("a recipe without a localize stage segments the whole volume")
        if self.localize is not None and not self.localize.finds_kidneys:
            raise RecipeError("the localize stage must have a kidney target")
        if self.localize is None and not self.segment.finds_kidneys:
            raise RecipeError("without a localize stage the segment stage must have a kidney target")
        if self.segment_too is not None and not _averageable(self.segment, self.segment_too):
            raise RecipeError(
                "segment_too sees other spacings or has other networks than segment, and nothing else may differ: both "
                "need a spacing_mm, no nearest_back, and the same field, margin, masking, targets and activation"
            )
        if self.classify is not None and not self.classify.classes:
            raise RecipeError("the classify stage needs classes")
        if not 0 <= self.abstain_below <= 1:
            raise RecipeError(f"abstain_below is {self.abstain_below}; a probability is needed")
        if not 0 <= self.least_mass_confidence < 1:
            raise RecipeError(f"least_mass_confidence is {self.least_mass_confidence}; a probability below 1 is needed")
        if not 0 <= self.least_parenchyma_share < 1:
            raise RecipeError(f"least_parenchyma_share is {self.least_parenchyma_share}; a share below 1 is needed")

    def with_stages(self, change: Callable[[str, Stage], Stage]) -> Recipe:
        """The recipe with every stage changed; `change` is given its name and the stage."""
        changed = {name: change(name, stage) for name, stage in self.stages}
        return dataclasses.replace(self, **changed)  # type: ignore[arg-type]  # the names are those of stages

    @property
    def stages(self) -> tuple[tuple[str, Stage], ...]:
        """The stages that exist, with their names, in order."""
        named = ((name, getattr(self, name)) for name in ("localize", "segment", "segment_too", "classify"))
        return tuple((name, stage) for name, stage in named if stage is not None)

    @property
    def segmenting(self) -> tuple[tuple[str, Stage], ...]:
        """The one or two stages that segment, with their names."""
        return tuple((name, stage) for name, stage in self.stages if name.startswith("segment"))


def _averageable(one: Stage, other: Stage) -> bool:
    """Whether the answers of two stages mean the same, and can be averaged on the reference grid."""
    same = ("field", "margin_mm", "masking", "context_mm", "targets", "activation", "near_located_mm")
    fine = all(s.geometry.spacing_mm is not None and not s.geometry.nearest_back for s in (one, other))
    return fine and all(getattr(one, name) == getattr(other, name) for name in same)
