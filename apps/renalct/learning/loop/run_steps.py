"""What a training of a label store is asked to do, step by step, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from renalct.learning.loop.loop_status import LoopState, LoopStatus, StatusFile
from renalct.learning.loop.registry import Registry
from renalct.learning.loop.run_inputs import WARM_STEPS, RunInputs, Start, parent_folder, parent_weights
from renalct.models.cases import CaseFile
from renalct.models.lineage import RunSettings
from renalct.models.run_plan import RunPlan, Told
from renalct.models.splits import Patient, Split, split_by_shares
from renalct.models.training_settings import Select

_VALIDATED_SHARE, _FEWEST_VALIDATED = 0.1, 10
_DATA = "labelled CT volumes"


def plan_of_run(
    registry: Registry, inputs: RunInputs, files: Sequence[CaseFile], *, replay: Sequence[CaseFile] = ()
) -> RunPlan:
    """The plan of a run: a warm start's weights and steps, and patients held out where a recipe selects by them.

    They are a tenth of the patients that are not frozen: the frozen set never chooses weights.
    """
    settings, parent = inputs.settings, parent_folder(registry, inputs)
    selects = any(stage.training.select is not Select.LAST for _, stage in inputs.recipe.stages)
    strata = {case.patient: case.stratum for case in inputs.cases}
    patients = [Patient(name, strata.get(name, "")) for name in sorted({file.patient for file in files})]
    split = Split(tuple(patient.name for patient in patients), ())
    if selects and len(patients) >= _FEWEST_VALIDATED:
        split = split_by_shares(patients, (1 - _VALIDATED_SHARE, _VALIDATED_SHARE), seed=settings.seed)
    run_settings = RunSettings(
        seed=settings.seed,
        phantoms=settings.phantoms,
        validations=RunSettings().validations if split.validation else 0,
        replay_share=settings.replay_share,
    )
    own = dict(inputs.recipe.stages)
    known = tuple((stage, path) for stage, path in (parent_weights(parent) if parent else ()) if stage in own)
    return RunPlan(
        settings=run_settings,
        steps=settings.steps or (WARM_STEPS if settings.start is Start.WARM else None),
        split=split,
        replayed=(*inputs.replayed, *sorted({file.patient for file in replay})),
        data=_DATA,
        licence=settings.licence,
        started_from=known,
    )


class Progress:
    """Turns what a run tells into the status of the loop: steps of all networks together."""

    def __init__(
        self, status: StatusFile | None, tell: Callable[[LoopStatus], None], inputs: RunInputs, run: str
    ) -> None:
        self._status, self._tell = status, tell
        self._networks = sum(stage.members for _, stage in inputs.recipe.stages if inputs.has_mass or not stage.classes)
        self._steps: dict[tuple[str, int], tuple[int, int]] = {}
        if status:
            status.tell(state=LoopState.PREPARING, run=run, message="cases are prepared")

    def __call__(self, told: Told) -> None:
        if self._status is None or told.note:
            return
        step, steps = told.status.step, told.status.steps
        if told.stage == "cases":
            self._status.tell(state=LoopState.PREPARING, message=f"{step} of {steps} cases are prepared")
        else:
            self._steps[told.stage, told.member] = step, steps
            waiting = max(0, self._networks - len(self._steps)) * steps
            self._status.tell(
                state=LoopState.TRAINING,
                message=f"{told.stage} {told.member}: step {step} of {steps}, loss {told.status.loss:.3f}",
                epoch=sum(done for done, _ in self._steps.values()),
                total_epochs=sum(of for _, of in self._steps.values()) + waiting,
            )
        self._tell(self._status.status)
