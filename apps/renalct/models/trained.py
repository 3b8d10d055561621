"""The release that comes out of a run: the kept weights of each network, and a card that says where they come from."""

from __future__ import annotations

from pathlib import Path

from renalct.core.errors import RecipeError
from renalct.models.checkpoint import CHECKPOINT, averaged_weights, progress_of
from renalct.models.lineage import Lineage, TrainedNetwork, code_version, environment, recipe_sha256
from renalct.models.prepared_cases import data_sha256
from renalct.models.recipe import Stage
from renalct.models.release import Card, Metric, Release, Weights
from renalct.models.run_folder import RunRecord, network_folder, read_run
from renalct.models.training_settings import Select

KITS_LICENCE = "CC BY-NC-SA 4.0 (derived from the KiTS19 and KiTS23 challenge data, Heller et al.)"
PHANTOM_LICENCE = "Apache-2.0 (trained on made images alone)"
MEMBER_SEED = 1000


def kept_weights(run: Path, name: str, stage: Stage, member: int) -> tuple[Weights, int]:
    """The averaged weights of a network that its recipe keeps (the last, or the best in validation), and their step.

    Raises `RecipeError` when it has no checkpoint yet.
    """
    folder = network_folder(run, name, member)
    if not (folder / CHECKPOINT).exists():
        raise RecipeError(f"{folder} has no checkpoint yet; train the stage {name} first")
    return averaged_weights(folder, best=stage.training.select is not Select.LAST)


def is_trained(run: Path, name: str) -> bool:
    """Whether a run has begun to train a stage."""
    return (network_folder(run, name, 0) / CHECKPOINT).exists()


def trained_release(
    run: Path, *, version: str, metrics: tuple[Metric, ...] = (), others: Release | None = None
) -> Release:
    """The release candidate of a run; its digest comes with saving.

    Stages that the run has not trained at all are those of `others`, where that is given. Raises `RecipeError` when a
    network has no checkpoint yet.
    """
    record, split = read_run(run)
    weights = tuple(
        (name, dict(others.weights)[name])
        if others is not None and not is_trained(run, name)
        else (name, tuple(kept_weights(run, name, stage, member)[0] for member in range(stage.members)))
        for name, stage in record.recipe.stages
    )
    card = Card(
        name=record.recipe.name,
        version=version,
        trained_on=trained_on(record, metrics),
        licence=_licence(record),
        cases_sha256=split.sha256,
        metrics=metrics,
        limits=_limits(record),
    )
    return Release(record.recipe, card, "", weights)


def lineage_of(run: Path, *, device: str = "cpu", processes: int = 1, stages: tuple[str, ...] | None = None) -> Lineage:
    """Where a run's networks come from; those of `stages`, or of all."""
    record, split = read_run(run)
    networks = []
    for name, stage in record.recipe.stages:
        if stages is not None and name not in stages:
            continue
        for member in range(stage.members):
            steps, planned = progress_of(network_folder(run, name, member))
            kept = kept_weights(run, name, stage, member)[1]
            seed = record.settings.seed + MEMBER_SEED * member
            networks.append(TrainedNetwork(name, member, seed, steps, planned, kept))
    return Lineage(
        data_sha256=data_sha256(run / "cases"),
        split_sha256=split.sha256,
        recipe_sha256=recipe_sha256(record.recipe),
        code_version=code_version(),
        settings=record.settings,
        networks=tuple(networks),
        environment=environment(device, processes),
    )


def trained_on(record: RunRecord, metrics: tuple[Metric, ...]) -> str:
    """The first line of every report: what the networks learned from, what was measured, and the licence."""
    licence = _licence(record).split(" (")[0]
    made = _made_words(record)
    if not record.training_patients:
        return f"Trained on zero patient images, on {made}; no accuracy on patients is known. Licence {licence}."
    made = f" and on {made}" if made else ""
    images = f"{record.data or 'images'} of {record.training_patients} patients"
    return f"Trained on {images}{made}; {_measured_words(metrics)}; licence {licence}."


def measured_again(told: str, metrics: tuple[Metric, ...]) -> str:
    """What a release was trained on, as told by `trained_on`, with other measurements; without patients it stays."""
    parts = told.split("; ")
    return told if len(parts) != 3 else "; ".join((parts[0], _measured_words(metrics), parts[2]))


def _measured_words(metrics: tuple[Metric, ...]) -> str:
    patients = [m for m in metrics if m.data.startswith("patients")]
    told = [m for m in patients if not m.name.endswith("surface Dice") and "reference masses" not in m.name]
    if not told:
        return "accuracy on other patients was not measured"
    each = ", ".join(f"{m.name} {m.value:.2f} [{m.low:.2f} to {m.high:.2f}]" for m in told)
    return f"measured on {told[0].n} other patients: {each}"


def _made_words(record: RunRecord) -> str:
    settings = record.settings
    counted = ((settings.phantoms, "synthetic phantoms"), (settings.made, "synthetic volumes like those of KiTS"))
    return " and ".join(f"{count} {what}" for count, what in counted if count)


def _licence(record: RunRecord) -> str:
    if not record.training_patients and not record.licence:
        return PHANTOM_LICENCE
    return record.licence or "that of the training data, which was not stated"


def _limits(record: RunRecord) -> tuple[str, ...]:
    """What nobody should expect; of patients only what is known of KiTS, for of others nothing is known here."""
    outside = "transplanted, horseshoe and single kidneys, children, and CT without contrast"
    if record.training_patients and not all(part.startswith("KiTS") for part in record.data.split(" and ")):
        return (f"Who the patients were is not written down: {outside} may be outside of what was learned.",)
    told = [f"Trained and measured on adults with native kidneys on contrast-enhanced CT; {outside} are outside."]
    if record.recipe.classify is not None:
        told.append("Classes come from few patients: angiomyolipomas almost only from phantoms.")
    if record.training_patients and "slices" in record.data:
        told.append("The patients' images are thin slabs at the level of a tumor; other levels come from phantoms.")
    return tuple(told)
