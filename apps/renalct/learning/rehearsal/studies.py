"""The patients of a rehearsal: made studies as DICOM, each another patient, whose truth lies beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError
from renalct.core.labels import KNOWN_CLASSES, Side
from renalct.core.phase import Phase
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series, write_scout
from renalct.formats.dicom.loaded import LoadedSeries
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series
from renalct.imaging.resample import Interpolation, resample
from renalct.models.cases import Case, CaseFile, Origin
from renalct.synthetic.masses import MassSpec
from renalct.synthetic.phantom import Phantom, make_phantom
from renalct.synthetic.settings import PhantomSettings

SPACING_MM = (4.0, 4.0, 6.0)
"""Coarse, so that two loops of training take minutes on two cores."""
_FIELD_MM = (340.0, 280.0, 210.0)
_DIAMETERS_MM = (25.0, 50.0)
_ATTEMPTS = 5


@dataclass(frozen=True)
class MadePatient:
    """One study in a folder: its CT series (the image to label), its files, and the file of the true label map."""

    series_instance_uid: str
    study_instance_uid: str
    patient: str
    files: tuple[Path, ...]
    truth: Path

    def true_labels(self) -> LabelMap:
        """The true label map on the grid of the series."""
        return nifti.read_label_map(self.truth)


def make_patients(folder: Path, count: int, *, seed: int) -> tuple[MadePatient, ...]:
    """So many patients with two kidneys and one to three masses, with a scout and one enhanced series each."""
    return tuple(_written(folder / f"patient_{number:02d}", number, seed) for number in range(1, count + 1))


def made_cases(count: int, *, seed: int) -> Iterator[Case]:
    """So many further patients as training or test cases, without files."""
    for number in range(count):
        phantom = _phantom(seed + number)
        name = f"made {seed + number}"
        yield Case(name, name, Origin.PHANTOM, phantom.volumes[0], phantom.label_map)


def case_files(cases: Iterator[Case]) -> tuple[CaseFile, ...]:
    """Cases in memory as files that can be trained on."""
    return tuple(CaseFile(case.name.replace(" ", "_"), case.patient, case.origin, _Kept(case)) for case in cases)


@dataclass(frozen=True, eq=False)
class _Kept:
    case: Case

    def __call__(self) -> tuple[Case, ...]:
        return (self.case,)


def _phantom(seed: int) -> Phantom:
    """A phantom whose masses find room in its kidneys; now and then they do not, and others are drawn."""
    rng = np.random.default_rng((seed, 7))
    problem: InputError | None = None
    for attempt in range(_ATTEMPTS):
        count = int(rng.integers(1, 4))
        masses = tuple(
            MassSpec(KNOWN_CLASSES[int(rng.integers(3))], float(rng.uniform(*_DIAMETERS_MM)), side)
            for side in (Side.LEFT, Side.RIGHT, Side.LEFT)[:count]
        )
        settings = PhantomSettings(SPACING_MM, _FIELD_MM, phases=(Phase.NEPHROGRAPHIC,), masses=masses)
        try:
            return make_phantom(replace(settings, noise_sd_hu=12.0), seed=1000 * attempt + seed)
        except InputError as error:
            problem = error
    assert problem is not None
    raise problem


def _written(folder: Path, number: int, seed: int) -> MadePatient:
    phantom = _phantom(seed + number)
    patient = f"REHEARSAL-{number:02d}"
    settings = SeriesSettings(
        phantom.label_map.grid.frame_of_reference_uid, description="Nephrographic", patient_id=patient
    )
    volume = phantom.volumes[0]
    scout = write_scout(volume, folder / "1_scout", settings=replace(settings, series_number=1, description="Scout"))
    files = write_ct_series(volume, folder / "2_nephrographic", settings=settings)
    (series,) = scan_study(folder / "2_nephrographic").series
    truth = folder / "truth.nii.gz"
    nifti.write_label_map(_on_series(phantom, load_series(series)), truth)
    uids = series.series_instance_uid, series.study_instance_uid
    return MadePatient(*uids, patient, (scout, *files), truth)


def _on_series(phantom: Phantom, series: LoadedSeries) -> LabelMap:
    grid = series.volume.grid
    made = phantom.label_map
    values = resample(made.values, made.grid, grid, order=Interpolation.NEAREST)
    return LabelMap(np.asarray(values, dtype=np.uint8), grid)
