"""What the models of a label server answer: the live release's segmentation, and corrections of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from renalct.cascade import Cascade, CascadeResult
from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.core.volume import LabelMap
from renalct.formats.study import Study
from renalct.learning.loop.registry import Registry
from renalct.learning.overlays import Overlay, suspected_errors_overlay, uncertainty_overlay
from renalct.models.release import load_release

_ANSWERS_KEPT = 4


@dataclass(frozen=True, eq=False)
class Subject:
    """An image that a model is asked about: what tells it from others, and how to read it."""

    key: str
    read: Callable[[], Study] = field(repr=False)


class ModelDesk:
    """The live release: that of the registry when one is published there, else the given one, else the starter.

    A release that is published while the server runs is taken at the next question. One question is answered at a
    time, since networks use all of the machine; the last few answers are kept. Safe for several threads.
    """

    def __init__(self, registry: Registry, *, release: Path | None = None, device: str = "cpu") -> None:
        self.registry, self.device = registry, device
        self._release = release
        self._lock = threading.RLock()
        self._live: tuple[str, Cascade] | None = None
        self._answers: OrderedDict[tuple[str, str], CascadeResult] = OrderedDict()

    @property
    def digest(self) -> str:
        """The digest of the live release; it is loaded for that where it was not yet."""
        return self.cascade().release.digest

    def folder(self) -> Path | None:
        """Where the live release is; None for the starter."""
        current = self.registry.current()
        return self._release if current is None else self.registry.release_of(current.version)

    def cascade(self) -> Cascade:
        """The live release, loaded and checked. Raises `ReleaseError` for a damaged one."""
        with self._lock:
            folder = self.folder()
            if self._live is None or self._live[0] != str(folder):
                self._live = str(folder), Cascade(load_release(folder), device=self.device)
            return self._live[1]

    def answer(self, subject: Subject) -> CascadeResult:
        """The label map and report of the live release."""
        with self._lock:
            cascade = self.cascade()
            key = cascade.release.digest, subject.key
            if key not in self._answers:
                study = subject.read()
                self._answers[key] = cascade.run(study.volume, other_phases=study.other_phases, notices=study.notices)
                _shrink(self._answers)
            self._answers.move_to_end(key)
            return self._answers[key]

    def uncertainty(self, subject: Subject) -> Overlay:
        """How unsure the live release is."""
        with self._lock:
            return uncertainty_overlay(subject.read().volume, self.cascade())

    def suspected_errors(self, subject: Subject, labels: LabelMap | None) -> Overlay:
        """Where labels, or without them the release's own answers, may be wrong."""
        with self._lock:
            return suspected_errors_overlay(subject.read().volume, self.cascade(), labels=labels)


def kept_structures(prompt: object) -> frozenset[Structure] | None:
    """The structures that a viewer asks for by their values (`label_prompt`); None for all.

    Raises `InputError` for what is no list of our values.
    """
    if prompt is None or prompt == []:
        return None
    try:
        return frozenset(Structure(int(value)) for value in prompt)  # type: ignore[attr-defined]
    except (TypeError, ValueError) as error:
        known = ", ".join(f"{int(s)} ({s.title})" for s in Structure if s)
        raise InputError(f"label_prompt is {prompt!r}; a list of {known} is needed") from error


def _shrink(kept: OrderedDict[tuple[str, str], CascadeResult]) -> None:
    while len(kept) > _ANSWERS_KEPT:
        kept.popitem(last=False)
