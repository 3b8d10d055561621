"""Train a release again from its recipe, settings and seeds, and say whether the same weights and numbers come out.

The data and the split must be those of the release: their hashes are compared before anything is trained.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from renalct.commands.loop_options import StatusLines, add_image_options, locate_of, opened
from renalct.commands.train import train_and_export
from renalct.commands.train_data import given_data
from renalct.commands.train_options import add_data_options, add_machine_options, machine_of
from renalct.core.errors import InputError, OutputError, ReleaseError
from renalct.learning.loop.again import registry_and_version, train_again
from renalct.learning.loop.retrain import Loop
from renalct.models.cases import case_files
from renalct.models.lineage import Lineage, code_version, environment
from renalct.models.release import Release, load_release
from renalct.models.run_folder import CANDIDATE, RUN, split_of
from renalct.models.run_plan import TRACKERS, RunPlan
from renalct.models.splits import Split

EPILOG = """examples:
  renalct reproduce run/release --data kits23/dataset -o again --device cuda
  renalct reproduce RELEASE --stacks STACKS -o again --split split.json
  renalct reproduce REGISTRY/versions/v0003 --store STORE --images IMAGES -o again"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `renalct reproduce`."""
    parser.add_argument("release", type=Path, metavar="RELEASE", help="the folder of the release")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="the folder of the new run")
    parser.add_argument("--resume", action="store_true", help="go on with the run that is in the folder")
    data = parser.add_argument_group("data", "as they were given to renalct train")
    add_data_options(data)
    data.add_argument("--stacks", type=Path, metavar="FOLDER", help="slice stacks of patients (case_XXXXX/case.json)")
    data.add_argument("--single-slices", type=Path, metavar="FOLDER", help="full-field single slices of patients")
    data.add_argument(
        "--weights", type=Path, action="append", default=[], metavar="FILE", help="the files that stages started from"
    )
    store = parser.add_argument_group("label store", "of a version that renalct retrain made; --data are its --replay")
    store.add_argument("--store", type=Path, metavar="STORE", help="the folder of the label store")
    add_image_options(store, required=False)
    add_machine_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train again, and compare."""
    release = load_release(arguments.release)
    lineage = release.card.lineage
    if lineage is not None and lineage.labels and not arguments.store:
        raise InputError(
            f"{arguments.release} was trained on the labels of a store; give it by --store, and its images by --images"
        )
    if lineage is None:
        raise ReleaseError(
            f"{arguments.release} does not say how it was trained: it has no lineage; only a release that "
            "renalct train made can be trained again"
        )
    if (arguments.output / RUN).exists() and not arguments.resume:
        raise OutputError(f"{arguments.output} holds a run already; go on with it by --resume, or give another folder")
    if arguments.store:
        return _from_store(arguments, release, lineage)
    given = given_data(arguments, _plan(arguments, release, lineage))
    if given.plan.settings.masks_from != lineage.settings.masks_from:
        raise InputError(
            "the release's classifier learned from the masses that another release found (sha256 "
            f"{lineage.settings.masks_from[:12] or 'none: readers drew them'}); give that release by --masks-from"
        )
    split = given.plan.split or split_of(given.files, release.recipe, lineage.settings, given.plan.patients)
    if split.sha256 != lineage.split_sha256:
        raise InputError(
            f"the split of these data has the sha256 {split.sha256[:12]}..., that of the release "
            f"{lineage.split_sha256[:12]}...; give the same data, or the split file of the first run by --split"
        )
    for line in _differences(lineage, arguments.device):
        print(line)
    given = replace(given, plan=replace(given.plan, split=split))
    code = train_and_export(release.recipe, given, arguments.output)
    return code or _compare(release, lineage, load_release(arguments.output / CANDIDATE))


def _from_store(arguments: argparse.Namespace, release: Release, lineage: Lineage) -> int:
    """Train a version of a registry again from the labels that it was trained on."""
    if not arguments.images:
        raise InputError("give the folder or the archive of the images of the label store by --images")
    registry, name = registry_and_version(arguments.release)
    loop = Loop(
        opened(arguments.store),
        registry,
        locate_of(arguments, arguments.store),
        replay=tuple(file for folder in arguments.data for file in case_files(folder)),
        machine=machine_of(arguments),
        workers=arguments.workers,
        cache_mb=arguments.cache_mb,
    )
    for line in _differences(lineage, arguments.device):
        print(line)
    lines = StatusLines()
    again = train_again(loop, name, arguments.output, tell=lines)
    return 0 if again is None else _compare(release, lineage, again)


def _plan(arguments: argparse.Namespace, release: Release, lineage: Lineage) -> RunPlan:
    """The plan of the first run: the same settings, schedules and, where a network was stopped early, the same end."""
    ended = [(n.stage, n.member, n.steps) for n in lineage.networks if n.steps != n.planned_steps]
    return RunPlan(
        settings=replace(lineage.settings, started_from=(), masks_from=""),
        machine=machine_of(arguments),
        planned_steps=tuple((n.stage, n.member, n.planned_steps) for n in lineage.networks),
        stop_after=tuple(ended),
        workers=arguments.workers,
        cache_mb=arguments.cache_mb,
        split=Split.read(arguments.split) if arguments.split else None,
        label_maps=arguments.label_maps,
        stacks=arguments.stacks,
        licence=release.card.licence,
        started_from=_started_from(arguments, lineage),
        trackers=tuple(name for name in TRACKERS if getattr(arguments, name)),
    )


def _started_from(arguments: argparse.Namespace, lineage: Lineage) -> tuple[tuple[str, Path], ...]:
    by_name = {path.name: path for path in arguments.weights}
    missing = [given.file for given in lineage.settings.started_from if given.file not in by_name]
    if missing:
        raise InputError(f"the release started from the weights {', '.join(missing)}; give them by --weights")
    return tuple((given.stage, by_name[given.file]) for given in lineage.settings.started_from)


def _differences(lineage: Lineage, device: str) -> list[str]:
    """What is not as it was in the first run; each may change the last digits."""
    lines = []
    if code_version() != lineage.code_version:
        lines.append(f"the code is {code_version()}; the release was trained with {lineage.code_version}")
    now = environment(device if device.startswith("cuda") else "cpu", 1)
    for word in lineage.environment:
        if word not in now:
            lines.append(f"the release was trained with {word}, which is not so here")
    return lines


def _compare(release: Release, lineage: Lineage, again: Release) -> int:
    """Say whether data, weights and metrics are the same."""
    assert again.card.lineage is not None
    same_data = again.card.lineage.data_sha256 == lineage.data_sha256
    print(f"data: {'the same' if same_data else 'NOT the same as those of the release'}")
    print(f"weights: {'identical' if again.digest == release.digest else 'not identical (see what differs above)'}")
    for metric in release.card.metrics:
        for new in again.card.metrics:
            if (new.name, new.data) == (metric.name, metric.data):
                print(f"  {metric.name}: {metric.value:.3f} then, {new.value:.3f} now ({metric.data})")
    if not same_data:
        raise InputError(
            f"the data have the sha256 {again.card.lineage.data_sha256[:12]}..., those of the release "
            f"{lineage.data_sha256[:12]}...: what was trained is in the run folder, but it is no reproduction"
        )
    return 0
