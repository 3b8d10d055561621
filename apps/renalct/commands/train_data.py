"""The cases that a training is given: found, checked, the bad ones listed, and what is known of them for the split."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from renalct.core.errors import InputError
from renalct.formats.labelled import find_labelled
from renalct.formats.labelled_pair import LabelledKind
from renalct.imaging.sinus import SinusSettings
from renalct.learning.cascade_masks import with_cascade_masks
from renalct.models.case_checks import BadCase, Survey, patients_of, survey_cases, without_bad
from renalct.models.cases import CaseFile, files_of, single_slice_files, stack_files
from renalct.models.release import load_release
from renalct.models.run_plan import RunPlan
from renalct.models.trained import KITS_LICENCE

_LISTED = 20
_OF_KITS = (LabelledKind.KITS, LabelledKind.STACKS, LabelledKind.SINGLE_SLICES)


@dataclass(frozen=True)
class GivenData:
    """The cases that can be used, and the plan with what they say: strata, what the images are, and their licence.

    `trained_on` are the same cases with the masses that a release finds, where one was given.
    """

    files: tuple[CaseFile, ...]
    plan: RunPlan
    trained_on: tuple[CaseFile, ...] = ()


def given_data(arguments: argparse.Namespace, plan: RunPlan, *, speak: bool = True) -> GivenData:
    """The cases of `--data`, `--stacks` and `--single-slices`, checked before anything starts.

    Every bad case of `--data` is printed with its reasons; without `--skip-bad` they end the program as an
    `InputError`.
    """
    files, kinds = _found(arguments.data, plan, speak=speak)
    survey = Survey((), ())
    if files:
        survey = survey_cases(files, workers=plan.workers, tell=_tell if speak else None)
        if survey.bad:
            _list_bad(survey.bad, len(files), skip=arguments.skip_bad, speak=speak)
            files = without_bad(files, survey.bad)
        plan = replace(plan, patients=patients_of(files, by=plan.settings.stratify, contents=survey.contents))
    if arguments.stacks:
        files += stack_files(arguments.stacks)
        kinds += (LabelledKind.STACKS,)
    if arguments.single_slices:
        files += single_slice_files(arguments.single_slices)
        kinds += (LabelledKind.SINGLE_SLICES,)
    if arguments.stacks or arguments.single_slices:
        plan = replace(plan, patients=())
    sources = (*kinds, LabelledKind.KITS) if arguments.label_maps else kinds
    all_kits = bool(sources) and set(sources) <= set(_OF_KITS)
    licence = plan.licence or (KITS_LICENCE if all_kits else "")
    plan = replace(plan, data=_words(kinds), licence=licence)
    if not arguments.masks_from:
        return GivenData(files, plan, files)
    settings = replace(plan.settings, masks_from=load_release(arguments.masks_from).digest)
    return GivenData(files, replace(plan, settings=settings), with_cascade_masks(files, arguments.masks_from))


def _found(
    folders: Sequence[Path], plan: RunPlan, *, speak: bool
) -> tuple[tuple[CaseFile, ...], tuple[LabelledKind, ...]]:
    sinus = SinusSettings() if plan.settings.fill_sinus else None
    files: tuple[CaseFile, ...] = ()
    kinds: tuple[LabelledKind, ...] = ()
    for folder in folders:
        found = find_labelled(folder)
        files += files_of(found, sinus=sinus)
        kinds += (found.kind,)
        if speak:
            for line in (f"{folder}: {found.describe()}", *found.notices):
                print(line, flush=True)
    return files, kinds


def _list_bad(bad: Sequence[BadCase], count: int, *, skip: bool, speak: bool) -> None:
    if speak:
        for case in bad[:_LISTED]:
            print(f"bad case {case}", flush=True)
        if len(bad) > _LISTED:
            print(f"... and {len(bad) - _LISTED} more", flush=True)
    if not skip:
        raise InputError(
            f"{len(bad)} of {count} cases cannot be used (listed above; the first: {bad[0]}); correct them, or go on "
            "without them by --skip-bad"
        )


def _words(kinds: Sequence[LabelledKind]) -> str:
    """What the images are, for the release's card."""
    words = {
        LabelledKind.STACKS: "KiTS19 slices",
        LabelledKind.SINGLE_SLICES: "KiTS19 slices",
        LabelledKind.KITS: "KiTS volumes",
    }
    return " and ".join(dict.fromkeys(words.get(kind, "CT volumes") for kind in kinds))


def _tell(done: int, of: int) -> None:
    if done % 20 == 0 or done == of:
        print(f"checked {done} of {of} cases", flush=True)
