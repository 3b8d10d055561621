"""Stores with made cases, and a clock that tests move."""

from renalct.learning.store import LabelStore, StoredImage, VersionNote

SUFFIX = ".nii.gz"


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


def made_store(folder, cases=3, *, clock=None):
    """A store with images named "case 0", "case 1", ..."""
    store = LabelStore(folder, clock=clock or Clock())
    store.register([StoredImage(f"case {n}", f"images/{n}.nii.gz", sha256=f"{n:064x}") for n in range(cases)])
    return store


def commit(store, image_id="case 0", content=b"label", *, by="ann", **others):
    """A label that somebody submits."""
    return store.commit(image_id, content, suffix=SUFFIX, note=VersionNote(by), **others)
