"""The release candidate at the end of a run: weights, what they measure on patients held out, and their lineage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalct import __version__
from renalct.core.errors import OutputError
from renalct.learning.validation import measure_release
from renalct.models.cases import CaseFile, phantom_files
from renalct.models.release import Metric, Release, load_release, save_release
from renalct.models.run_folder import CANDIDATE, RunRecord, read_run
from renalct.models.splits import Split
from renalct.models.trained import lineage_of, trained_on, trained_release
from renalct.models.training_settings import Select

FIRST_UNSEEN_PHANTOM = 900_000


@dataclass(frozen=True)
class CandidateSettings:
    """What a candidate is measured on beside patients (phantoms that nobody has seen), and how it was computed."""

    version: str = __version__
    phantoms: int = 4
    device: str = "cpu"
    processes: int = 1
    spacing_mm: tuple[float, float, float] | None = None


_USUAL = CandidateSettings()


def export_candidate(
    run: Path,
    patients: Sequence[CaseFile],
    *,
    settings: CandidateSettings = _USUAL,
    tell: Callable[[int, int], None] | None = None,
) -> Release:
    """Write the release candidate of a run into its folder `release`, measured and with its lineage, and return it.

    It is measured on the test part of the split, or where there is none on its validation part; and on phantoms.
    Raises `RecipeError` when a network has no checkpoint, and `OutputError`.
    """
    record, split = read_run(run)
    folder = run / CANDIDATE
    try:
        save_release(trained_release(run, version=settings.version), folder)
        release = load_release(folder)
        metrics = _measured(release, record, split, patients, settings, tell)
        lineage = lineage_of(run, device=settings.device, processes=settings.processes)
        card = replace(release.card, metrics=metrics, trained_on=trained_on(record, metrics), lineage=lineage)
        save_release(replace(release, card=card), folder)
    except OSError as error:
        raise OutputError(f"the release cannot be written to {folder} ({error.strerror})") from error
    return load_release(folder)


def _measured(
    release: Release,
    record: RunRecord,
    split: Split,
    patients: Sequence[CaseFile],
    settings: CandidateSettings,
    tell: Callable[[int, int], None] | None,
) -> tuple[Metric, ...]:
    metrics: tuple[Metric, ...] = ()
    chosen = any(stage.training.select is not Select.LAST for _, stage in record.recipe.stages)
    held, told = split.test, "patients held out for the test"
    if not held:
        held = split.validation
        told = "patients held out for validation" + (", which also chose the weights" if chosen else "")
    files = [f for f in patients if f.patient in set(held)]
    if files:
        metrics += measure_release(release, files, data=told, tell=tell)
    if settings.phantoms:
        seeds = range(FIRST_UNSEEN_PHANTOM, FIRST_UNSEEN_PHANTOM + settings.phantoms)
        made = phantom_files(seeds, spacing_mm=settings.spacing_mm)
        metrics += measure_release(release, made, data="synthetic phantoms not trained on", tell=tell)
    return metrics
