"""Unique identifiers that are computed, not drawn: the same study, release and software give the same ones again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from pydicom.uid import UID

SOFTWARE_FACT = "renalct"


def derived_uid(*facts: str) -> UID:
    """The UID that belongs to these facts, in their order: 2.25 and a version 8 UUID (RFC 9562) from their sha256.

    Equal facts always give the same UID; any other fact, or another division into facts, gives another one.
    """
    digest = bytearray(hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UID(f"2.25.{int.from_bytes(digest, 'big')}")


@dataclass(frozen=True)
class UIDSource:
    """Gives the UID of each object of one analysis, named by its role.

    The analysis is known by its study, series and instances, the release (by the digest of its weights), the
    software, and the configuration: whatever else changes the content of the objects.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    release_digest: str
    software_version: str
    configuration: str = ""

    def uid(self, *role: str) -> UID:
        """The UID for a role, for example ``uid("SEG", "series")``."""
        return derived_uid(
            SOFTWARE_FACT,
            self.software_version,
            self.release_digest,
            self.configuration,
            self.study_instance_uid,
            self.series_instance_uid,
            *self.sop_instance_uids,
            *role,
        )

    def device_uid(self) -> UID:
        """The UID of the device: it changes with every retraining and every version, not with the patient."""
        return derived_uid(SOFTWARE_FACT, "device", self.software_version, self.release_digest)
