"""The label store: immutable versions, states, leases, scores and an audit log, on one folder.

>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> store = LabelStore(folder.name)
>>> store.register([StoredImage("case 1", "images/case_1.nii.gz")])
>>> lease = store.lease("ann", ["case 1"], seconds=3600)
>>> version = store.commit("case 1", b"a label", suffix=".nii.gz", note=VersionNote(author="ann"))
>>> version.number, store.state("case 1"), store.label_path(version).read_bytes()
(1, <CaseState.SUBMITTED: 'submitted'>, b'a label')
>>> store.close(); folder.cleanup()
"""

from renalct.learning.store.label_store import LabelStore
from renalct.learning.store.records import (
    AuditEntry,
    Counts,
    Lease,
    Review,
    Score,
    StoredImage,
    Version,
    VersionNote,
)
from renalct.learning.store.reviews import SegmentationMeta, reviewed_state, reviewer_meta
from renalct.learning.store.words import FINAL, ORIGINAL, REPEAT, CaseState, Level, Presence, Purpose

__all__ = [
    "FINAL",
    "ORIGINAL",
    "REPEAT",
    "AuditEntry",
    "CaseState",
    "Counts",
    "LabelStore",
    "Lease",
    "Level",
    "Presence",
    "Purpose",
    "Review",
    "Score",
    "SegmentationMeta",
    "StoredImage",
    "Version",
    "VersionNote",
    "reviewed_state",
    "reviewer_meta",
]
