"""What is wrong with a pair of image and labels, before anything is trained or measured on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from renalct.core.errors import InputError, NotCT
from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.labelled import image_grid, read_image, read_labelled, read_labels
from renalct.formats.labelled_pair import LabelledPair
from renalct.imaging.plausibility import check_ct_numbers

_LABELLED_HU = (-200.0, 1000.0)

Volumes = tuple[tuple[Structure, float], ...]


@dataclass(frozen=True)
class PairReport:
    """The faults of a pair (none: it can be used), and the volume of each structure that is labelled in it."""

    faults: tuple[str, ...]
    volumes_ml: Volumes = ()


def check_pair(pair: LabelledPair) -> PairReport:
    """The faults of one pair, each a sentence; it is read whole, image and labels one after the other.

    A half that is missing or cannot be read, another grid, values that are no labels or no HU, labels without a single
    voxel, and labels that contradict the case's notes are faults.
    """
    faults = [pair.fault] if pair.fault else []
    for half, path in (("image is", pair.image), ("labels are", pair.labels)):
        if path is None:
            faults.append(f"the {half} missing")
    if faults:
        return PairReport(tuple(faults))
    return _check_volume(pair) if pair.kind.shows_whole_kidneys else _check_slices(pair)


def _check_volume(pair: LabelledPair) -> PairReport:
    faults, label_map, volume = [], None, None
    volumes_ml: Volumes = ()
    try:
        label_map = read_labels(pair, image_grid(pair))
        volumes_ml = _volumes(label_map)
        faults += _label_faults(label_map, volumes_ml, pair)
    except InputError as error:
        faults.append(str(error))
    try:
        volume = read_image(pair)
    except InputError as error:
        if str(error) not in faults:
            faults.append(str(error))
    if volume is not None:
        faults += _image_faults(volume, label_map, whole=True)
    return PairReport(tuple(faults), volumes_ml)


def _check_slices(pair: LabelledPair) -> PairReport:
    try:
        images = read_labelled(pair)
    except InputError as error:
        return PairReport((str(error),))
    faults = [fault for image in images for fault in _image_faults(image.volume, image.label_map, whole=False)]
    volumes = dict.fromkeys(Structure, 0.0)
    for image in images:
        for structure, volume_ml in _volumes(image.label_map):
            volumes[structure] += volume_ml
    return PairReport(tuple(faults), tuple((s, v) for s, v in volumes.items() if v))


def _label_faults(label_map: LabelMap, volumes_ml: Volumes, pair: LabelledPair) -> list[str]:
    """What contradicts itself in labels that show whole kidneys. A structure confirmed as absent may be absent."""
    found = {structure for structure, _ in volumes_ml}
    notes = pair.notes
    if label_map.values.all():
        return ["the labels have no background: every voxel is labelled"]
    if not found:
        expected = {Structure.KIDNEY, Structure.TUMOR, Structure.CYST} & notes.assessed
        return [] if expected <= notes.absent else ["the labels are empty: no voxel is labelled"]
    faults = []
    if Structure.KIDNEY not in found and Structure.KIDNEY in notes.assessed - notes.absent:
        faults.append(
            "the labels hold masses and no kidney; where kidneys were not labelled, say what was by 'assessed' in a "
            "JSON file of the same name"
        )
    sides = ((found - notes.assessed, "was not assessed"), (found & notes.absent, "is absent"))
    for structures, claim in sides:
        faults += [f"the labels hold {s.title}, and the notes say that it {claim}" for s in sorted(structures)]
    missing = notes.present - found - _tumors_for(notes.present, found)
    faults += [f"the labels hold no {s.title}, and the notes say that it is present" for s in sorted(missing)]
    return faults


def _tumors_for(present: frozenset[Structure], found: set[Structure]) -> set[Structure]:
    """An angiomyolipoma is a tumor: it fulfils the note that a tumor is present."""
    return {Structure.TUMOR} if Structure.ANGIOMYOLIPOMA in found and Structure.TUMOR in present else set()


def _image_faults(volume: CTVolume, label_map: LabelMap | None, *, whole: bool) -> list[str]:
    """What shows that an image holds no HU: one value, no body (in `whole` volumes), no organ under the labels."""
    low, high = float(volume.hu.min()), float(volume.hu.max())
    if low == high:
        return [f"the image is constant: every voxel is {low:g}"]
    if whole:
        try:
            check_ct_numbers(volume)
        except NotCT as error:
            return [str(error)]
    if label_map is None or not label_map.values.any():
        return []
    box = Box.around(label_map.values > 0)
    median = float(np.median(volume.hu[box.slices][label_map.values[box.slices] > 0]))
    if not _LABELLED_HU[0] <= median <= _LABELLED_HU[1]:
        return [
            f"the labelled voxels have a median of {median:g}, which is no kidney or mass in HU: the image has another "
            "scale, or the labels lie elsewhere"
        ]
    return []


def _volumes(label_map: LabelMap) -> Volumes:
    box = Box.around(label_map.values > 0)
    values = label_map.values[box.slices]
    counts = [(s, int(np.count_nonzero(values == s))) for s in Structure if s]
    return tuple((s, count * label_map.grid.voxel_ml) for s, count in counts if count)
