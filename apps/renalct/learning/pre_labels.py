"""A release's answers for many images, kept as pre-labels: annotators begin from them, no training sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from renalct.core.errors import InputError, OutputError, TransferError
from renalct.learning.case_desk import CaseDesk, refuse_tag_of_labels
from renalct.learning.model_desk import ModelDesk, Subject
from renalct.learning.store import ORIGINAL

KEPT, THERE = "kept", "there already"
_IMAGES: dict[str, Callable[[CaseDesk], Sequence[str]]] = {
    "all": lambda desk: tuple(desk.images()),
    "labeled": lambda desk: desk.labelled(),
    "unlabeled": lambda desk: desk.unlabelled(),
}


@dataclass(frozen=True)
class Wanted:
    """Which images are to be answered: one of MONAI Label's words, or ids; under which tag, and at most how many (0:
    all of them)."""

    images: str | tuple[str, ...] = "all"
    tag: str = ORIGINAL
    most: int = 0

    def __post_init__(self) -> None:
        refuse_tag_of_labels(self.tag)
        if isinstance(self.images, str) and self.images not in _IMAGES:
            raise InputError(f"images is {self.images!r}; it is one of {', '.join(_IMAGES)}, or a list of ids")
        if self.most < 0:
            raise InputError(f"max_batch_size is {self.most}; it is 0 for all images, or more")

    def of(self, desk: CaseDesk) -> list[str]:
        """The ids of the images, sorted. Raises `InputError` for one that is not there."""
        named = _IMAGES[self.images](desk) if isinstance(self.images, str) else self.images
        found = sorted({desk.image(image_id).image_id for image_id in named})
        return found[: self.most or None]


@dataclass(frozen=True)
class PreLabel:
    """What became of an image: `outcome` is that its answer is kept, or was there already, or why there is none."""

    image_id: str
    outcome: str

    @property
    def there(self) -> bool:
        """Whether the image has an answer of the live release now."""
        return self.outcome in (KEPT, THERE)


def wanted_of(request: Mapping[str, Any]) -> Wanted:
    """What a request for a batch means, with the keys of MONAI Label. Raises `InputError` for what cannot be read."""
    images, tag, most = (_plain(request.get(key)) for key in ("images", "label_tag", "max_batch_size"))
    if isinstance(images, list) and all(isinstance(each, str) for each in images):
        images = tuple(images)
    elif images is not None and not isinstance(images, str):
        raise InputError(f"images is {images!r}; it is one of {', '.join(_IMAGES)}, or a list of ids")
    if isinstance(most, bool) or not isinstance(most, int | None):
        raise InputError(f"max_batch_size is {most!r}; it is a whole number, 0 for all images")
    return Wanted("all" if images is None else images, str(tag or ORIGINAL), most or 0)


def pre_label(
    desk: CaseDesk, models: ModelDesk, wanted: Wanted, *, tell: Callable[[PreLabel, int, int], None]
) -> tuple[PreLabel, ...]:
    """What became of each image, in the order of their ids; `tell` hears it with how many of how many are done.

    An image that has the live release's answer already is left as it is, so that a batch that was stopped goes on where
    it was. One that cannot be read or analysed is told, and the others go on. Raises `ReleaseError`, and `OutputError`
    when the disk is full.
    """
    images, done = wanted.of(desk), []
    for image_id in images:
        done.append(PreLabel(image_id, _outcome(desk, models, image_id, wanted.tag)))
        tell(done[-1], len(done), len(images))
    return tuple(done)


def _outcome(desk: CaseDesk, models: ModelDesk, image_id: str, tag: str) -> str:
    digest = models.digest
    before = desk.store.final(image_id, tag=tag)
    if before is not None and before.note.model == digest:
        return THERE
    try:
        answer = models.answer(Subject(image_id, lambda: desk.study(image_id)))
    except OutputError:
        raise
    except (InputError, TransferError) as error:
        return str(error)
    desk.keep_answer(image_id, answer.label_map, model=answer.report.provenance.release_digest, tag=tag)
    return KEPT


def _plain(value: Any) -> Any:
    """The value of an Enum, with which MONAI Label fills in what a request leaves out."""
    return value.value if isinstance(value, Enum) else value
