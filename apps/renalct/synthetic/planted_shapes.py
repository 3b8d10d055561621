"""How errors of annotators look in voxels: each function harms good labels in one way, or gives None without room."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from renalct.core.grid import Box
from renalct.core.labels import Structure
from renalct.core.volume import Mask
from renalct.synthetic.planted_subject import Booleans, Harm, Subject, objects

_AIR_HU, _FAT_HU, _BONE_HU = -650, (-130, -60), 400
_TRIES = 200


def mass_beside(subject: Subject, rng: np.random.Generator, gap_mm: float) -> Harm | None:
    """A cyst or tumor of 8 to 20 mm in soft tissue at a distance from every label."""
    diameter = float(rng.uniform(8, 20))
    far = subject.away_mm - gap_mm - diameter / 2
    center = subject.any_voxel(subject.soft() & (far > 0) & (far < 4.0), rng)
    if center is None:
        return None
    ball = subject.ball(center, diameter)
    touching = ndimage.binary_dilation(ball, np.ones((3, 3, 3))) & (subject.label_map.values > 0)
    if touching.any():  # between thick slices there is no room for a narrow seam
        return None
    return _painted(subject, ball, Structure.CYST if rng.random() < 0.5 else Structure.TUMOR)


def hole(subject: Subject, rng: np.random.Generator, structure: Structure, diameter_mm: float) -> Harm | None:
    """A ball without a label inside a kidney or mass."""
    inner = subject.within(subject.label_map.values == structure, diameter_mm / 2 + float(subject.spacing_mm.max()))
    center = subject.any_voxel(inner, rng)
    return None if center is None else _painted(subject, subject.ball(center, diameter_mm), Structure.BACKGROUND)


def stray(subject: Subject, rng: np.random.Generator, structure: Structure, diameter_mm: float) -> Harm | None:
    """A stray click: a mass of one voxel in the kidney, or a crumb of kidney outside of it."""
    away = subject.away_mm
    kidney = subject.label_map.values == Structure.KIDNEY
    where = (away > diameter_mm + 5) & (away < diameter_mm + 40) if structure is Structure.KIDNEY else kidney
    center = subject.any_voxel(where, rng)
    return None if center is None else _painted(subject, subject.ball(center, diameter_mm), structure)


def mirrored(subject: Subject, rng: np.random.Generator, axes: tuple[int, ...]) -> Harm | None:
    """The array turned round along patient axes (0: left and right, 1: front and back, 2: head and feet)."""
    turned = [subject.label_map.grid.canonical_axes[axis][0] for axis in axes]
    return Harm(np.asfortranarray(np.flip(subject.label_map.values, turned)))


def without_kidney(subject: Subject, rng: np.random.Generator, count: int) -> Harm | None:
    """One or both kidneys not labelled, with their masses."""
    organs = objects(subject.label_map.values > 0, least_voxels=5.0 / subject.label_map.grid.voxel_ml)
    if len(organs) < 2:
        return None
    values = subject.values
    for mask in organs if count > 1 else [organs[int(rng.integers(2))]]:
        mask.paint(values, 0)
    return Harm(values)


def third_kidney(subject: Subject, rng: np.random.Generator, volume_ml: float) -> Harm | None:
    """A ball of kidney in other soft tissue."""
    diameter = (volume_ml * 6000 / np.pi) ** (1 / 3)
    center = subject.any_voxel(subject.soft() & (subject.away_mm > diameter / 2 + 5), rng)
    return None if center is None else _painted(subject, subject.ball(center, diameter), Structure.KIDNEY)


def unfinished(subject: Subject, rng: np.random.Generator, share: float) -> Harm | None:
    """A kidney (with its masses) of which only the first slices are labelled: a share of its voxels."""
    organ = _organ(subject, rng)
    if organ is None:
        return None
    others = tuple(a for a in range(3) if a != subject.axial)
    done = np.cumsum(organ.sum(axis=others)) <= share * np.count_nonzero(organ)
    lost = organ & ~np.expand_dims(done, others)
    return Harm(np.where(lost, np.uint8(0), subject.label_map.values))


def _organ(subject: Subject, rng: np.random.Generator) -> Booleans | None:
    organs = objects(subject.label_map.values > 0, least_voxels=60.0 / subject.label_map.grid.voxel_ml)
    return _whole(subject, organs[int(rng.integers(len(organs)))]) if organs else None


def swollen(subject: Subject, rng: np.random.Generator, volume_ml: float) -> Harm | None:
    """A kidney grown over what lies about it until it has that volume."""
    organ = _organ(subject, rng)
    if organ is None:
        return None
    voxels = round(volume_ml / subject.label_map.grid.voxel_ml)
    away = ndimage.distance_transform_edt(~organ, subject.spacing_mm)
    away[(subject.label_map.values > 0) & ~organ] = np.inf
    limit = np.partition(away.ravel(), voxels)[voxels]
    grown = (away <= limit) & (subject.label_map.values == 0)
    return _painted(subject, grown, Structure.KIDNEY)


def renamed(subject: Subject, rng: np.random.Generator, structure: Structure, name: Structure) -> Harm | None:
    """A mass of at least 1 ml under another name."""
    mass = _object(subject, structure, rng, least_ml=1.0)
    return None if mass is None else _painted(subject, _whole(subject, mass), name)


def in_fat(subject: Subject, rng: np.random.Generator, diameter_mm: float) -> Harm | None:
    """A tumor in the fat beside a kidney, touching it."""
    hu = ndimage.uniform_filter(subject.volume.hu.astype(np.float32), 3)
    fat = (hu > _FAT_HU[0]) & (hu < _FAT_HU[1]) & (subject.label_map.values == 0)
    for _ in range(_TRIES):
        center = subject.any_voxel(fat & (subject.away_mm < diameter_mm / 2) & (subject.away_mm > diameter_mm / 3), rng)
        if center is None:
            return None
        ball = subject.ball(center, diameter_mm) & (subject.label_map.values == 0)
        if np.mean(fat[ball]) > 0.75:
            return _painted(subject, ball, Structure.TUMOR)
    return None


def gap(subject: Subject, rng: np.random.Generator, structure: Structure, count: int) -> Harm | None:
    """Slices in the middle of a kidney (with its masses) without a label, or of a mass labelled as kidney."""
    mass = structure is not Structure.KIDNEY
    chosen = _object(subject, structure, rng, least_ml=1.0) if mass else None
    mask = _organ(subject, rng) if not mass else None if chosen is None else _whole(subject, chosen)
    if mask is None:
        return None
    filled = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != subject.axial)))
    if len(filled) < count + 4:
        return None
    first = int(filled[len(filled) // 2 - count // 2])
    lost = np.zeros_like(mask)
    index = tuple(slice(first, first + count) if a == subject.axial else slice(None) for a in range(3))
    lost[index] = mask[index]
    return _painted(subject, lost, Structure.KIDNEY if mass else Structure.BACKGROUND)


def in_air(subject: Subject, rng: np.random.Generator, diameter_mm: float) -> Harm | None:
    """A ball of kidney in the air beside the body."""
    air = subject.volume.hu < _AIR_HU
    center = subject.any_voxel(subject.within(air, diameter_mm / 2), rng)
    return None if center is None else _painted(subject, subject.ball(center, diameter_mm), Structure.KIDNEY)


def in_bone(subject: Subject, rng: np.random.Generator, diameter_mm: float) -> Harm | None:
    """Kidney painted over the dense bone about a place in it, within 8 cm of the labels."""
    bone = (subject.volume.hu > _BONE_HU) & (subject.label_map.values == 0)
    large = objects(bone, least_voxels=15.0 / subject.label_map.grid.voxel_ml)
    for mask in large:
        whole = _whole(subject, mask)
        center = subject.any_voxel(whole & (subject.away_mm < 80), rng)
        if center is not None:
            ball = subject.ball(center, diameter_mm) & (subject.label_map.values == 0)
            if np.count_nonzero(ball & whole) > 0.4 * np.count_nonzero(ball):
                return _painted(subject, ball, Structure.KIDNEY)
    return None


def copied(subject: Subject, rng: np.random.Generator, structure: Structure) -> Harm | None:
    """An object a second time at another place, where nothing is labelled."""
    chosen = _object(subject, structure, rng, least_ml=0.5)
    if chosen is None:
        return None
    shape = np.asarray(subject.label_map.grid.shape)
    free = subject.label_map.values == 0
    for _ in range(_TRIES):
        start = [int(rng.integers(0, n - s + 1)) for n, s in zip(shape, chosen.box.shape, strict=True)]
        i, j, k = start
        box = Box((i, j, k), tuple(a + s for a, s in zip(start, chosen.box.shape, strict=True)))  # type: ignore[arg-type]
        around = box.grown(2, within=subject.label_map.grid.shape)
        if free[around.slices].all():
            copy = _whole(subject, Mask(box, chosen.voxels))
            return Harm(_painted(subject, copy, structure).values, copy | _whole(subject, chosen))
    return None


def disc(subject: Subject, rng: np.random.Generator, diameter_mm: float) -> Harm | None:
    """A tumor that is labelled on one slice, in the kidney's own tissue and beside it."""
    kidney = subject.within(subject.label_map.values == Structure.KIDNEY, 3.0)
    center = subject.any_voxel(kidney, rng)
    if center is None:
        return None
    ball = subject.ball(center, diameter_mm)
    plane = np.zeros_like(ball)
    index = tuple(int(center[a]) if a == subject.axial else slice(None) for a in range(3))
    plane[index] = ball[index]
    return _painted(subject, plane, Structure.TUMOR)


def _painted(subject: Subject, mask: Booleans, value: Structure) -> Harm:
    values = subject.values
    values[mask] = value
    return Harm(values, mask)


def _whole(subject: Subject, mask: Mask) -> Booleans:
    """A mask as an array of the whole grid."""
    full = np.zeros(subject.label_map.grid.shape, bool)
    mask.paint(full, True)
    return full


def _object(subject: Subject, structure: Structure, rng: np.random.Generator, *, least_ml: float) -> Mask | None:
    least = least_ml / subject.label_map.grid.voxel_ml
    found = objects(subject.label_map.values == structure, least_voxels=least)
    return found[int(rng.integers(len(found)))] if found else None
