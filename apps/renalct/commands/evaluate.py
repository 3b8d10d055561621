"""Score predictions against references, and write the tables and figures of the published systems with your numbers.

Give label maps that any system wrote (--predictions), or a release that is run on the images first (--release).
References are found by the name of the case, in any of these layouts:

  a KiTS folder (case_00000/segmentation.nii.gz), an nnU-Net data set, NIfTI pairs, DICOM series with segmentations,
  a MONAI Label store, slice stacks, or a folder of label files CASE.nii.gz, CASE.nrrd, CASE.dcm

Predictions lie in one folder as CASE/label_map.nii.gz (as renalct predict writes them, with their report.json, from
which the classes are taken), CASE/seg.dcm, or CASE.nii.gz. The folder OUT will hold:

  evaluation.html           the page to read first; it needs no other file
  tables/                   every table as .md, .csv, .tex and .json, with the papers' own numbers
  figures/                  every figure as .png and .svg
  scores.json               everything for programs
  cases.csv masses.csv decisions.csv      one line per case, per mass, per class that was given
  predictions/              what the release predicted (with --release); a stopped evaluation goes on from it
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from renalct import __version__
from renalct.commands.progress import stage_bars
from renalct.core.errors import InputError

if TYPE_CHECKING:
    from renalct.learning.evaluation import Pairing
    from renalct.learning.evaluation_files import LabelFile
    from renalct.learning.evaluation_references import ReferenceFile
    from renalct.metrics.evaluated import Evaluated
    from renalct.metrics.scores import ScoreSettings

EPILOG = """examples:
  renalct evaluate --predictions nnunet_out --reference kits23/dataset -o scores
  renalct evaluate --release starter --reference stacks --split run/split.json -o scores
  renalct evaluate --predictions two_stage --compare one_stage --reference kits23/dataset -o scores

Without --split every case is scored, those that the release was trained on as well.
Not for clinical use."""
_STARTER = "starter"
_DIAMETERS = {"sphere": "EQUIVALENT_SPHERE", "box": "BOX_MEAN", "axial": "AXIAL_MEAN"}
_INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct evaluate`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--predictions", type=Path, metavar="P", help="folder of predicted label maps")
    source.add_argument("--release", metavar="R", help="folder of a release to predict with, or the word starter")
    parser.add_argument(
        "--reference", "--data", type=Path, required=True, metavar="R", help="folder of the readers' label maps"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to write")
    which = parser.add_argument_group("which cases")
    which.add_argument("--split", type=Path, metavar="FILE", help="only patients that this split held out of training")
    which.add_argument("--case", action="append", default=[], metavar="NAME", help="only this case (repeatable)")
    which.add_argument("--skip-bad", action="store_true", help="leave out cases that cannot be scored, and say so")
    words = parser.add_argument_group("what it is called and compared with")
    words.add_argument("--name", metavar="TEXT", help="name of the data set in the tables (the name of its folder)")
    words.add_argument("--system", metavar="TEXT", help="name of what is evaluated (the release, or the folder)")
    words.add_argument("--compare", type=Path, metavar="P", help="predictions of another system on the same cases")
    words.add_argument("--run", type=Path, metavar="RUN", help="training run whose loss curves are shown")
    rules = parser.add_argument_group("rules")
    rules.add_argument(
        "--min-mass", type=float, default=0.0, metavar="MM", help="do not count masses of the reference under this (0)"
    )
    rules.add_argument(
        "--min-predicted", type=float, default=0.0, metavar="MM", help="remove predicted masses under this first (0)"
    )
    rules.add_argument(
        "--diameter",
        choices=tuple(_DIAMETERS),
        default="sphere",
        help="average diameter: of the sphere of equal volume, mean of the box, mean of the two axial axes (sphere)",
    )
    rules.add_argument(
        "--fill-sinus",
        action="store_true",
        help="label the renal sinus of references as kidney, as Zhao 2023's readers",
    )
    rules.add_argument("--no-readers", action="store_true", help="do not score single readers' annotations")
    how = parser.add_argument_group("how it runs")
    how.add_argument("--processes", type=int, default=1, metavar="N", help="cases scored at the same time (1)")
    how.add_argument("--device", default="cpu", metavar="NAME", help="for --release: cpu (default), cuda, or auto")
    how.add_argument("--no-maps", action="store_true", help="for --release: no activation maps, which is faster")
    how.add_argument("--force", action="store_true", help="replace a finished evaluation in OUT")
    how.add_argument("--quiet", action="store_true", help="no progress bars")


def run(arguments: argparse.Namespace) -> int:
    """Score, write, and print the numbers to read first; returns the exit code."""
    from renalct.learning.evaluation_output import PAGE, PREDICTIONS, check_output
    from renalct.learning.evaluation_words import called

    settings = _settings(arguments)
    check_output(arguments.output, replace_existing=arguments.force)
    references = _references(arguments)
    with stage_bars(visible=sys.stderr.isatty() and not arguments.quiet) as progress:
        predictions, system = arguments.predictions, arguments.system
        unread: tuple[str, ...] = ()
        if arguments.release is not None:
            predictions = arguments.output / PREDICTIONS
            try:
                release, unread = _predict(arguments, references, predictions, progress)
            except KeyboardInterrupt:
                print("renalct: interrupted; the same command goes on with what is predicted", file=sys.stderr)
                return _INTERRUPTED
            system = system or release
        system = system or called(predictions)
        job = _Job(arguments, references, predictions, system, settings, unread)
        _evaluate(job, progress)
    print(f"Open {arguments.output / PAGE} to read it.")
    return 0


def _settings(arguments: argparse.Namespace) -> ScoreSettings:
    from renalct.metrics.scores import DiameterKind, ScoreSettings

    for name, value, least in (
        ("--min-mass", arguments.min_mass, 0),
        ("--min-predicted", arguments.min_predicted, 0),
        ("--processes", arguments.processes, 1),
    ):
        if not value >= least:
            raise InputError(f"{name} is {value}; {least} or more is needed")
    return ScoreSettings(
        min_reference_diameter_mm=arguments.min_mass,
        min_prediction_diameter_mm=arguments.min_predicted,
        diameter_kind=DiameterKind[_DIAMETERS[arguments.diameter]],
    )


def _references(arguments: argparse.Namespace) -> tuple[ReferenceFile, ...]:
    """The references that are asked for. Raises `InputError` for a name or patient that is not there."""
    from renalct.imaging.sinus import SinusSettings
    from renalct.learning.evaluation_references import find_references
    from renalct.models.splits import Split

    found = find_references(arguments.reference)
    if arguments.split is not None:
        split = Split.read(arguments.split)
        held_out = set(split.test or split.validation)
        found = tuple(reference for reference in found if reference.patient in held_out)
        if not found:
            raise InputError(
                f"{arguments.reference} holds none of the {len(held_out)} patients that {arguments.split} held out; "
                "give the data that the split was made for"
            )
    absent = sorted(set(arguments.case) - {reference.name for reference in found})
    if absent:
        raise InputError(f"there is no reference of the case {absent[0]}; check its name, and the split")
    found = tuple(reference for reference in found if not arguments.case or reference.name in arguments.case)
    return tuple(replace(each, sinus=SinusSettings()) for each in found) if arguments.fill_sinus else found


def _predict(
    arguments: argparse.Namespace,
    references: Sequence[ReferenceFile],
    folder: Path,
    progress: Callable[[str, float], None],
) -> tuple[str, tuple[str, ...]]:
    """Predict every reference that has an image; returns the name of the release, and what could not be read."""
    from renalct.cascade import Cascade
    from renalct.learning.evaluation_predict import predict_cases
    from renalct.models.cases import CaseFile
    from renalct.models.release import load_release

    files = [r.source for r in references if r.has_image and isinstance(r.source, CaseFile)]
    if not files:
        raise InputError(
            f"{arguments.reference} holds label maps without images, on which a release cannot be run; "
            "give the folder with the images, or predictions with --predictions"
        )
    release = load_release(None if arguments.release == _STARTER else Path(arguments.release))
    cascade = Cascade(release, device=arguments.device, explained=not arguments.no_maps)
    folder.mkdir(parents=True, exist_ok=True)
    faults = predict_cases(
        cascade,
        files,
        folder,
        skip_bad=arguments.skip_bad,
        tell=lambda name, done, of: progress("predict", done / of),
    )
    return f"{release.card.name} {release.card.version}", faults


@dataclass(frozen=True)
class _Job:
    """What is scored: predictions of a system, references, by which rules; `unread` cases had no usable image."""

    arguments: argparse.Namespace
    references: tuple[ReferenceFile, ...]
    predictions: Path
    system: str
    settings: ScoreSettings
    unread: tuple[str, ...] = ()


def _evaluate(job: _Job, progress: Callable[[str, float], None]) -> None:
    from renalct.learning.evaluation import pair_by_name, score_all
    from renalct.learning.evaluation_files import find_label_files
    from renalct.learning.evaluation_output import Told, write_evaluation
    from renalct.learning.evaluation_pictures import gallery, loss_figures
    from renalct.learning.evaluation_words import called, left_out, trained_on
    from renalct.metrics.evaluated import Evaluated

    arguments, settings = job.arguments, job.settings
    losses = loss_figures(arguments.run) if arguments.run else ()
    data = arguments.name or arguments.reference.resolve().name

    def evaluated(files: dict[str, LabelFile], name: str, stage: str) -> tuple[Evaluated, Pairing, tuple[str, ...]]:
        paired = pair_by_name(job.references, files, settings=settings, with_readers=not arguments.no_readers)
        records, faults = score_all(
            paired.tasks,
            processes=arguments.processes,
            skip_bad=arguments.skip_bad,
            tell=lambda case, done, of: progress(stage, done / of),
        )
        return Evaluated(data, name, records), paired, faults

    first, pairing, faults = evaluated(find_label_files(job.predictions), job.system, "score")
    other = None
    if arguments.compare:
        other, _, _ = evaluated(find_label_files(arguments.compare), called(arguments.compare), "compare")
    progress("write", 0.0)
    pictures = (*gallery(pairing.tasks, first.records), *losses)
    told = Told(
        settings,
        " ".join((f"{first.system}, scored on {first.data} ({first.n}).", *trained_on(job.predictions))),
        (*left_out(pairing, (*job.unread, *faults)), *_seen_before(arguments)),
        (
            ("Software", f"renalct {__version__}"),
            ("System", first.system),
            ("Data set", f"{first.data}, {first.n}"),
            *(("Trained on", text) for text in trained_on(job.predictions)),
            ("Smallest mass", f"reference {arguments.min_mass:g} mm, prediction {arguments.min_predicted:g} mm"),
            ("Average diameter", settings.diameter_kind.value),
            ("Renal sinus", "part of the kidney in references" if arguments.fill_sinus else "as the readers drew it"),
            ("Made", date.today().isoformat()),
        ),
    )
    numbers = write_evaluation(first, arguments.output, told=told, other=other, pictures=pictures)
    progress("write", 1.0)
    print(f"\n{first.system} on {first.data}: {first.n}")
    for headline in numbers:
        print(f"  {headline.title:<32} {headline.number.text:<22} {headline.of}")
    for sentence in told.notices:
        print(f"Note: {sentence}")


def _seen_before(arguments: argparse.Namespace) -> tuple[str, ...]:
    """A sentence where nothing says that the cases were held out of training."""
    if arguments.split is not None or arguments.release is None:
        return ()
    return ("No split was given: nothing here says that the release was not trained on these patients.",)
