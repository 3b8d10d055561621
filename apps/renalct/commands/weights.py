"""Export the networks of a training run as a release, measured on patients that it never saw; or show a release's card.

Give --stacks (the folder that the run was trained from) to measure on its held-out patients; phantoms that the run
has not seen are always measured. A release, given with the --split file of its training, is measured again: its weights
and what was measured of its classifier alone stay, all other numbers of the new card are new.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from renalct import __version__
from renalct.core.errors import InputError, OutputError
from renalct.models.cases import CaseFile, phantom_files, stack_files
from renalct.models.release import Metric, Release, describe, holds_release, load_release, save_release
from renalct.models.run_folder import read_run
from renalct.models.splits import Split
from renalct.models.trained import is_trained, lineage_of, measured_again, trained_on, trained_release

_PATIENTS = "patients held out (slabs of KiTS19)"
EPILOG = """examples:
  renalct weights run -o release --stacks stacks      export, and measure on the held-out patients
  renalct weights release -o new --split run/split.json --stacks stacks      measure a release again
  renalct weights --show                              the card of the starter release
  renalct weights release --show --json               the card of another, as JSON"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct weights`."""
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="a run to export, or a release to show")
    parser.add_argument("-o", "--output", type=Path, metavar="RELEASE", help="the folder of the new release")
    parser.add_argument("--show", action="store_true", help="show the card of a release (of the starter by default)")
    parser.add_argument("--json", action="store_true", help="show the card as JSON")
    parser.add_argument("--version", default=__version__, help=f"version of the new release ({__version__})")
    parser.add_argument("--stacks", type=Path, metavar="FOLDER", help="slice stacks with the held-out patients")
    parser.add_argument(
        "--phantoms", type=int, default=10, metavar="N", help="how many new phantoms to measure on (10)"
    )
    parser.add_argument(
        "--others", type=Path, metavar="RELEASE", help="take the stages that the run has not trained from this release"
    )
    parser.add_argument("--split", type=Path, metavar="FILE", help="to measure a release again: its training's split")
    parser.add_argument(
        "--least-mass-confidence",
        type=float,
        metavar="P",
        help="what the segmenting networks see as mass with a mean probability under P is none (the recipe's)",
    )
    parser.add_argument(
        "--calibrate", action="store_true", help="calibrate the classes' probabilities on the masses measured on"
    )


def run(arguments: argparse.Namespace) -> int:
    """Show or export."""
    if arguments.show:
        release = load_release(arguments.folder)
        print(json.dumps(describe(release), indent=1) if arguments.json else _card(release))
        return 0
    if arguments.folder is None or arguments.output is None:
        raise InputError("give the folder of a run and, with -o, that of the new release; or --show to see a card")
    try:
        if holds_release(arguments.folder):
            _measure_again(arguments)
        else:
            _export(arguments)
    except OSError as error:
        raise OutputError(f"the release cannot be written to {arguments.output} ({error.strerror})") from error
    print(_card(load_release(arguments.output)))
    return 0


def _export(arguments: argparse.Namespace) -> None:
    record, split = read_run(arguments.folder)
    others = load_release(arguments.others) if arguments.others else None
    release = trained_release(arguments.folder, version=arguments.version, others=others)
    own = tuple(name for name, _ in record.recipe.stages if others is None or is_trained(arguments.folder, name))
    release, metrics = _measured(release, arguments, split)
    card = replace(
        release.card,
        metrics=metrics,
        trained_on=trained_on(record, metrics),
        parent=others.digest if others else "",
        lineage=lineage_of(arguments.folder, stages=own),
    )
    save_release(replace(release, card=card), arguments.output)


def _measure_again(arguments: argparse.Namespace) -> None:
    if arguments.split is None or arguments.others is not None or arguments.calibrate:
        raise InputError(
            f"{arguments.folder} is a release; to measure it again give the split of its training with --split, "
            "without --others and --calibrate, or give the folder of a run to export"
        )
    release, split = load_release(arguments.folder), Split.read(arguments.split)
    if split.sha256 != release.card.cases_sha256:
        raise InputError(
            f"{arguments.split} is not the split that this release was trained with (sha256 {split.sha256[:12]}, not "
            f"{release.card.cases_sha256[:12]}); it may hold out patients that the networks have seen"
        )
    kept = tuple(metric for metric in release.card.metrics if "reference masses" in metric.name)  # of the classifier
    release, metrics = _measured(release, arguments, split)
    metrics += kept
    told = measured_again(release.card.trained_on, metrics)
    card = replace(release.card, version=arguments.version, metrics=metrics, trained_on=told)
    save_release(replace(release, card=card), arguments.output)


def _measured(release: Release, arguments: argparse.Namespace, split: Split) -> tuple[Release, tuple[Metric, ...]]:
    """The release with the rules that were asked for, as it stands in the output folder, and what it is worth."""
    patients, phantoms = _unseen(arguments, frozenset(split.validation))
    if arguments.least_mass_confidence is not None:
        recipe = replace(release.recipe, least_mass_confidence=arguments.least_mass_confidence)
        release = replace(release, recipe=recipe)
    metrics: tuple[Metric, ...] = ()
    if arguments.calibrate:
        release = save_release(release, arguments.output)
        release, metrics = _calibrated(release, patients, phantoms)
    release = save_release(release, arguments.output)
    return release, _measure(load_release(arguments.output), patients, phantoms) + metrics


def _unseen(
    arguments: argparse.Namespace, held_out: frozenset[str]
) -> tuple[tuple[CaseFile, ...], tuple[CaseFile, ...]]:
    """The patients held out and the phantoms that no training has seen."""
    from renalct.learning.candidate import FIRST_UNSEEN_PHANTOM

    stacks = stack_files(arguments.stacks) if arguments.stacks else ()
    seeds = range(FIRST_UNSEEN_PHANTOM, FIRST_UNSEEN_PHANTOM + arguments.phantoms)
    return tuple(f for f in stacks if f.patient in held_out), phantom_files(seeds)


def _calibrated(
    release: Release, patients: tuple[CaseFile, ...], phantoms: tuple[CaseFile, ...]
) -> tuple[Release, tuple[Metric, ...]]:
    """The release with calibrated probabilities, and what that is worth on patients left out in turn."""
    from renalct.learning.class_calibration import answers_of, calibrated_release, calibration_metrics

    known, made = answers_of(release, patients), answers_of(release, phantoms)
    metrics = calibration_metrics(known, data=_PATIENTS, others=made) if known else ()
    return calibrated_release(release, known + made), metrics


def _measure(release: Release, patients: tuple[CaseFile, ...], phantoms: tuple[CaseFile, ...]) -> tuple[Metric, ...]:
    from renalct.learning.validation import measure_release

    metrics: tuple[Metric, ...] = ()
    for files, data in ((patients, _PATIENTS), (phantoms, "synthetic phantoms not trained on")):
        if files:
            metrics += measure_release(release, files, data=data, tell=_tell)
    return metrics


def _tell(done: int, of: int) -> None:
    if done % 5 == 0 or done == of:
        print(f"measured {done} of {of} cases", flush=True)


def _card(release: Release) -> str:
    card = release.card
    lines = [
        f"{card.name} {card.version} (recipe {release.recipe.name}, sha256 {release.digest[:12]})",
        card.trained_on,
        card.intended_use,
        f"Licence: {card.licence}",
    ]
    lines += [f"{m.name}: {m.value:.3f} [{m.low:.3f} to {m.high:.3f}], n = {m.n}, {m.data}" for m in card.metrics]
    return "\n".join([*lines, *card.limits])
