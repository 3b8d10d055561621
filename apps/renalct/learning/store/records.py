"""What the store keeps and gives: images, versions of labels, reviews, leases, scores, the audit log."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.learning.store.names import checked_id, checked_sha256, checked_suffix, checked_tag, safe_file_name, shown
from renalct.learning.store.words import CaseState, Level, Presence, Purpose


@dataclass(frozen=True)
class StoredImage:
    """An image that can be labelled: its id, where it is (a path or an address), and the sha256 of its content.

    `patient` is a name that the images of one patient share, never a real identifier. Without a sha256 the
    SeriesInstanceUID says what the image is, for the cache of scores.
    """

    image_id: str
    location: str
    sha256: str = ""
    patient: str = ""
    series_instance_uid: str = ""
    study_instance_uid: str = ""

    def __post_init__(self) -> None:
        checked_id(self.image_id)
        checked_sha256(self.sha256, "an image")

    @property
    def content_key(self) -> str:
        """What changes when the image does: its sha256, else its SeriesInstanceUID; "" when neither is known."""
        return self.sha256 or self.series_instance_uid


@dataclass(frozen=True)
class VersionNote:
    """What is known of how a label was made; "" and None where nothing is.

    `model` is the digest of the release whose pre-label was shown, `seconds` the time spent on it, `info_json` what
    else the viewer sent, `uploaded` the sha256 of the blob that holds the upload as it came.
    """

    author: str
    tool: str = ""
    model: str = ""
    comment: str = ""
    seconds: float | None = None
    info_json: str = ""
    uploaded: str = ""

    def __post_init__(self) -> None:
        if not self.author.strip():
            raise InputError("a label has no author; say who made it")
        if self.seconds is not None and not (math.isfinite(self.seconds) and self.seconds >= 0):
            raise InputError(f"the time spent on a label is {self.seconds} s; it is 0 or more, or left out")
        checked_sha256(self.uploaded, "an upload")
        try:
            json.loads(self.info_json or "null")
        except ValueError as error:
            raise InputError(f"what is noted beside a label is no JSON ({error}); give JSON, or nothing") from error


@dataclass(frozen=True)
class Version:
    """A label as it was committed, for ever: the number counts from 1 for each image and tag.

    `parent` is the number, under the same tag, of the version that it was made from. `suffix` is the ending of its
    file. `presence` holds what was said of structures; one that is not named was not spoken of.
    """

    image_id: str
    tag: str
    number: int
    sha256: str
    suffix: str
    committed_at: float
    parent: int | None
    note: VersionNote
    presence: tuple[tuple[Structure, Presence], ...] = ()

    def __post_init__(self) -> None:
        checked_tag(self.tag)
        checked_suffix(self.suffix)

    @property
    def file_name(self) -> str:
        """A safe file name for an export of this version; no two versions share one."""
        return safe_file_name(self.image_id, f".{self.tag}.{self.number}{self.suffix}")


@dataclass(frozen=True)
class Review:
    """The state of a case, and who set it, when, and on which version of its label (None before there is one)."""

    state: CaseState
    comment: str = ""
    level: Level = Level.UNKNOWN
    by: str = ""
    at: float | None = None
    version: int | None = None


@dataclass(frozen=True)
class Lease:
    """A case that a client works on until a time; nobody else is given it, unless another reading is planned."""

    image_id: str
    client: str
    purpose: Purpose
    granted_at: float
    expires_at: float

    @property
    def tag(self) -> str:
        """The tag under which its label is to be committed."""
        return self.purpose.tag


class Score(NamedTuple):
    """How much an image is worth labelling, and why (JSON)."""

    value: float
    why_json: str = ""


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit log."""

    number: int
    at: float
    by: str
    action: str
    image_id: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Counts:
    """How many images there are, how many have a final label, and how many are in each state."""

    total: int
    labelled: int
    by_state: Mapping[CaseState, int] = field(default_factory=dict)
    by_tag: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum(self.by_state.values()) != self.total:
            raise InputError(f"the states of {self.total} images add up to {sum(self.by_state.values())}")


def checked_name(name: str, what: str) -> str:
    """The name of a client or an author. Raises `InputError` when it is empty or no text."""
    if not isinstance(name, str) or not name.strip() or len(name) > 256 or any(not c.isprintable() for c in name):
        raise InputError(f"{what} is {shown(name)}; give a name")
    return name
