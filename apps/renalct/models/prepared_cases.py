"""Prepared cases on disk: what the networks of each stage see of a case, written once and read many times."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from renalct.core.errors import InputError, OutputError
from renalct.core.grid import Box
from renalct.core.labels import KNOWN_CLASSES, Structure
from renalct.core.volume import LabelMap, Mask
from renalct.imaging.resample import Interpolation, resample
from renalct.models.array_cache import ArrayCache
from renalct.models.cases import Case, CaseFile, Origin
from renalct.models.inference import mass_input
from renalct.models.prepare import field_grid, grown_mm, measure_scale, prepare
from renalct.models.recipe import Field, Masking, Stage

_SPOTS = 400
_REGION_MM = 45.0
EVERYTHING = frozenset(Structure)


class PreparedCase(Protocol):
    """One prepared input (float16) with its label values, or with its class for a classifier.

    `assessed` are the structures that its labels would show; others may be there unlabelled.
    """

    @property
    def origin(self) -> Origin: ...

    @property
    def patient(self) -> str: ...

    @property
    def image(self) -> NDArray[np.float16]: ...

    @property
    def labels(self) -> NDArray[np.uint8]: ...

    @property
    def spots(self) -> tuple[NDArray[np.int16], ...]: ...

    @property
    def class_index(self) -> int: ...

    @property
    def fill(self) -> float: ...

    @property
    def assessed(self) -> frozenset[Structure]: ...


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared case in memory."""

    origin: Origin
    image: NDArray[np.float16] = field(repr=False)
    labels: NDArray[np.uint8] = field(repr=False)
    spots: tuple[NDArray[np.int16], ...] = field(repr=False)
    class_index: int = -1
    fill: float = 0.0
    assessed: frozenset[Structure] = EVERYTHING
    patient: str = ""


@dataclass(frozen=True, eq=False)
class _Stored:
    """A prepared case whose arrays are read when they are needed."""

    origin: Origin
    patient: str
    stem: Path
    cache: ArrayCache = field(repr=False)
    spots: tuple[NDArray[np.int16], ...] = field(repr=False)
    class_index: int
    fill: float
    assessed: frozenset[Structure]

    @property
    def image(self) -> NDArray[np.float16]:
        return self.cache.read(_image_path(self.stem))

    @property
    def labels(self) -> NDArray[np.uint8]:
        return self.cache.read(_labels_path(self.stem))


def prepare_cases(
    files: Sequence[CaseFile],
    stages: Sequence[tuple[str, Stage]],
    folder: Path,
    *,
    workers: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> None:
    """Write each case, prepared for each stage, into `folder/<stage>`; cases that are there already are kept.

    `tell` hears how many of how many are done. Raises `OutputError` when the disk is full, and `InputError` when a
    process is lost.
    """
    todo = [file for file in files if not _done(folder, file).exists()]
    for name, _ in stages:
        (folder / name).mkdir(parents=True, exist_ok=True)
    work = partial(_prepare_file, stages=tuple(stages), folder=folder)
    try:
        with ExitStack() as stack:
            run: Callable[..., Iterable[None]] = map
            if workers > 1:
                context = multiprocessing.get_context("spawn")
                run = stack.enter_context(ProcessPoolExecutor(workers, mp_context=context)).map
            for number, _ in enumerate(run(work, todo), start=1):
                if tell:
                    tell(number, len(todo))
    except BrokenProcessPool as error:
        raise InputError(
            "a process that prepares cases was lost, most often for lack of memory; what it had finished is kept: "
            f"start again with fewer workers ({workers} now)"
        ) from error


def _done(folder: Path, file: CaseFile) -> Path:
    return folder / f"{file.name}.done"


def data_sha256(folder: Path) -> str:
    """The hash of all cases that were prepared in a folder: their names, voxels, labels, grids and classes.

    It depends neither on their order nor on the stages.
    """
    lines = sorted(f"{path.stem} {path.read_text(encoding='utf-8').strip()}\n" for path in folder.glob("*.done"))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _prepare_file(file: CaseFile, *, stages: tuple[tuple[str, Stage], ...], folder: Path) -> None:
    digest = hashlib.sha256()
    try:
        for case in file.load():
            _add(digest, case)
            for name, stage in stages:
                _write_case(case, stage, folder / name)
        _done(folder, file).write_text(digest.hexdigest() + "\n", encoding="utf-8")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OutputError(
            f"no space is left for the prepared cases in {folder}; free some and resume, or give another folder with -o"
        ) from error


def _add(digest: hashlib._Hash, case: Case) -> None:
    digest.update(f"{case.name} {case.volume.grid.shape} {sorted(case.assessed)}".encode())
    digest.update(np.round(case.volume.grid.affine, 3).tobytes())
    digest.update(np.ascontiguousarray(case.volume.hu).tobytes())
    digest.update(np.ascontiguousarray(case.label_map.values).tobytes())
    for mass in case.masses:
        digest.update(f"{mass.mass_class.value} {mass.mask.box} {mass.mask.count}".encode())


def _write_case(case: Case, stage: Stage, folder: Path) -> None:
    if stage.classes:
        for number, mass in enumerate(case.masses):
            image = mass_input(case.volume, mass.mask, stage)[0]
            nothing = np.zeros((1, 1, 1), np.uint8)
            _write(folder / f"{case.name}_{number}", image, nothing, _about(case, mass.mass_class.value))
        return
    if stage.field is not Field.WHOLE_VOLUME:
        if case.label_map.values.any():
            case = _cropped(case)
        elif case.origin is not Origin.SINGLE_SLICE or stage.masking is not Masking.NONE:
            return  # a slice of another level shows what lies where the locator is wrong
    whole = Box.whole(case.volume.grid.shape)
    grid = field_grid(case.volume.grid, whole, stage)
    mask = Mask(whole, case.label_map.values > 0) if stage.masking is Masking.KIDNEY else None
    image = prepare(case.volume, grid, stage, mask=mask, scale=measure_scale(case.volume, stage.intensity))
    labels = resample(case.label_map.values, case.volume.grid, grid, order=Interpolation.NEAREST)
    _write(folder / case.name, image, labels, _about(case, ""))


def _cropped(case: Case) -> Case:
    """The case around its kidneys and masses."""
    box = Box.around(case.label_map.values > 0)
    box = grown_mm(box, case.volume.grid, _REGION_MM) if min(box.shape) else Box.whole(case.volume.grid.shape)
    part = LabelMap(case.label_map.values[box.slices], case.label_map.grid.cropped(box))
    return replace(case, volume=case.volume.cropped(box), label_map=part, masses=())


def _about(case: Case, mass_class: str) -> str:
    return json.dumps(
        {
            "patient": case.patient,
            "origin": case.origin.value,
            "class": mass_class,
            "assessed": sorted(int(s) for s in case.assessed),
        }
    )


def _image_path(stem: Path) -> Path:
    return stem.with_name(stem.name + ".image.npy")


def _labels_path(stem: Path) -> Path:
    return stem.with_name(stem.name + ".labels.npy")


def _write(stem: Path, image: NDArray[np.float32], labels: NDArray[np.uint8], about: str) -> None:
    np.save(_image_path(stem), image.astype(np.float16))
    np.save(_labels_path(stem), np.ascontiguousarray(labels))
    stem.with_name(stem.name + ".json").write_text(about)


def read_prepared(
    folder: Path, patients: frozenset[str] | None = None, *, cache: ArrayCache | None = None
) -> tuple[PreparedCase, ...]:
    """The prepared inputs in a stage's folder, by name; of the given patients (and all phantoms) only.

    Their arrays are mapped through `cache` when they are needed.
    """
    found: list[PreparedCase] = []
    cache = cache or ArrayCache()
    for path in sorted(folder.glob("*.json")):
        about = json.loads(path.read_text())
        origin = Origin(about["origin"])
        if patients is not None and origin is not Origin.PHANTOM and about["patient"] not in patients:
            continue
        stem = path.with_suffix("")
        image, labels = cache.read(_image_path(stem)), cache.read(_labels_path(stem))
        index = [c.value for c in KNOWN_CLASSES].index(about["class"]) if about["class"] else -1
        assessed = frozenset(Structure(n) for n in about["assessed"])
        spots = _spots(np.asarray(labels))
        found.append(_Stored(origin, about["patient"], stem, cache, spots, index, float(image[0].min()), assessed))
    return tuple(found)


def _spots(labels: NDArray[np.uint8]) -> tuple[NDArray[np.int16], ...]:
    """Up to 400 voxels of the kidney and of the masses, the same at every reading."""
    rng = np.random.default_rng(labels.size)
    spots = []
    for wanted in (labels == Structure.KIDNEY, labels > Structure.KIDNEY):
        where = np.argwhere(wanted)
        spots.append(where[rng.permutation(len(where))[:_SPOTS]].astype(np.int16))
    return tuple(spots)
