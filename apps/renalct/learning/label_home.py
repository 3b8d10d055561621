"""Labels that were there before: those of MONAI Label's own store become versions of ours, once."""

from __future__ import annotations

from pathlib import Path

from renalct.formats.monai_label import find_monai_label
from renalct.learning.store import LabelStore
from renalct.learning.store.monai_import import import_monai_label

_ACTION, _BY = "taken over", "server"


def take_over(folder: Path, store: LabelStore) -> tuple[str, ...]:
    """Take over the labels of a MONAI Label folder the first time that it is served; what a reader should know of it.

    The folder's own labels stay where they are, and are not read again.
    """
    if find_monai_label(folder) is None or store.audit(action=_ACTION):
        return ()
    imported = import_monai_label(folder, store, by=_BY)
    store.record(_ACTION, by=_BY, detail=f"{len(imported.versions)} labels of MONAI Label")
    left_out = tuple(f"the label {name} was left out: {reason}" for name, reason in imported.left_out)
    return (*imported.notices, *left_out, f"{len(imported.versions)} labels of MONAI Label were taken over")
