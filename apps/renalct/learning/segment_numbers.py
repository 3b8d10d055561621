"""Numbers of segments that may mean two things, found before a label is read wrongly.

3D Slicer's module numbers all segments, leaves out scribbles and background, and writes the rest with the values 1, 2,
3, ... in their order. Where something was left out in the middle, the numbers that it sends are no longer the values
that it wrote; other programs send the values themselves, gaps and all. Values that both readings allow are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from renalct.core.errors import LabelError
from renalct.formats import nifti, nrrd_labels
from renalct.formats.monai_label import names_of
from renalct.formats.segment_names import structure_of_segment


def refuse_ambiguous_numbers(info: Mapping[str, Any], file: Path) -> None:
    """Raise `LabelError` when the values of a label file may be the numbers in `label_info`, or the places of its
    names, with another meaning. What cannot be read is left to whoever reads it."""
    names = names_of(dict(info))
    numbers = [number for _, number in names]
    places = range(1, len(names) + 1)
    if numbers == list(places) or numbers != sorted(set(numbers)) or min(numbers, default=0) < 1:
        return
    values = _values(file)
    if not values <= set(numbers) or not values <= set(places):
        return
    by_number = {number: name for name, number in names}
    for value in sorted(values):
        one, other = by_number[value], names[value - 1][0]
        if structure_of_segment(one) is not structure_of_segment(other):
            raise LabelError(
                f"the numbers of the segments have gaps, so that the value {value} may be {one!r} or {other!r}; move "
                "scribble and background segments to the end of the list, or delete them, and submit again"
            )


def _values(file: Path) -> set[int]:
    """The values in a file without names of its own; none where they say themselves what they are."""
    if nifti.is_nifti(file):
        arrays = [nifti.read_stored(file)[0]]
    elif file.name.lower().endswith(nrrd_labels.SUFFIX):
        layers = nrrd_labels.read_layers(file)
        arrays = [] if any(layer.names for layer in layers) else [layer.values for layer in layers]
    else:
        return set()
    return {int(value) for array in arrays for value in np.unique(array) if value}
