"""What a scorer says of an image, and why: values that travel as JSON to the store and to the annotator's viewer."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from renalct.core.errors import InputError, RecipeError
from renalct.core.grid import Box, Grid
from renalct.core.labels import Structure
from renalct.models.values import from_json, to_json

SCHEMA_VERSION = 1
FOREGROUND: tuple[Structure, ...] = (Structure.KIDNEY, Structure.TUMOR, Structure.CYST)
"""What segmenting networks find, in the order of every tuple "by class" (an angiomyolipoma is a tumor to them)."""
PRESENT_ML = 0.1
"""A class of which less is seen counts as absent: a sphere of 6 mm."""


@dataclass(frozen=True)
class Place:
    """A box of an image: voxels from `start` to before `stop`, and in the patient its centre (RAS+) and size."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]
    center_mm: tuple[float, float, float]
    size_mm: tuple[float, float, float]

    @classmethod
    def of(cls, box: Box, grid: Grid) -> Place:
        """The place of a box of voxels of a grid."""
        low, high = box.start, [n - 1 for n in box.stop]
        center = (grid.to_patient(low) + grid.to_patient(high)) / 2
        size = [n * mm for n, mm in zip(box.shape, grid.spacing_mm, strict=True)]
        return cls(box.start, box.stop, _tenths(center), _tenths(size))

    @property
    def box(self) -> Box:
        """The voxels."""
        return Box(self.start, self.stop)


@dataclass(frozen=True)
class Why:
    """Why an image is worth labelling: the score, the class it is about ("" for none), the place to look at (None for
    the whole image), and a sentence for the annotator."""

    score: float
    structure: str = ""
    place: Place | None = None
    sentence: str = ""

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise InputError(f"the score of an image is {self.score}; a finite number is needed")

    def to_text(self) -> str:
        """The JSON text."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **to_json(self)})

    @classmethod
    def from_text(cls, text: str) -> Why:
        """What `to_text` made. Raises `InputError` for any other text."""
        found: Why = _read(cls, text)
        return found


@dataclass(frozen=True)
class ImageScore:
    """What one scorer found in an image; 0 is sure and 1 as unsure as can be, and more where a small mass is lifted.

    `value` is of the image as a whole, `by_class` of each of `FOREGROUND`, `ml_by_class` how much of each the release
    sees, `whys` the reason for the value and then those of the classes. `features` say what the image is like;
    `label_sha256` is the label that was scored with it, "" for none.
    """

    value: float
    by_class: tuple[float, ...] = ()
    ml_by_class: tuple[float, ...] = ()
    whys: tuple[Why, ...] = ()
    features: tuple[float, ...] = ()
    label_sha256: str = ""

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, *self.by_class, *self.ml_by_class, *self.features))):
            raise InputError("a score of an image is not a finite number")
        if any(len(each) not in (0, len(FOREGROUND)) for each in (self.by_class, self.ml_by_class)):
            raise InputError(
                f"the scores by class are {len(self.by_class)}; one for each of {len(FOREGROUND)} is needed"
            )

    @property
    def why(self) -> Why:
        """The reason for the value as a whole."""
        return self.whys[0] if self.whys else Why(self.value)

    def to_text(self) -> str:
        """The JSON text that the store keeps."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **to_json(self)})

    @classmethod
    def from_text(cls, text: str) -> ImageScore:
        """What `to_text` made. Raises `InputError` for any other text."""
        found: ImageScore = _read(cls, text)
        return found


def _read(kind: Any, text: str) -> Any:
    try:
        data = json.loads(text)
        version = data.pop("schema_version", None) if isinstance(data, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(f"a score has the schema version {version}; {SCHEMA_VERSION} is needed: score anew")
        return from_json(kind, data, where="score")
    except (ValueError, RecipeError) as error:
        raise InputError(f"a score cannot be read ({error}); score the image anew") from error


def _tenths(values: Any) -> tuple[float, float, float]:
    a, b, c = (round(float(v), 1) for v in values)
    return a, b, c
