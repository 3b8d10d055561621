"""The graph of the application: one operator for each step from the study's headers to the archive."""

from __future__ import annotations

from pathlib import Path

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application
from operators import (
    ChooseSeries,
    ClassifyMasses,
    ExplainClasses,
    LoadStudy,
    ReadSeries,
    SegmentKidneys,
    SegmentMasses,
    SendResults,
    Shared,
    Step,
    WriteActivationMaps,
    WriteKeyImages,
    WriteReport,
    WriteSegmentation,
    WriteStructuredReport,
)

SERIES_RULES = Path(__file__).with_name("series_rules.json")

STEPS: dict[str, type[Step]] = {
    "load": LoadStudy,
    "choose_series": ChooseSeries,
    "read_series": ReadSeries,
    "segment_kidneys": SegmentKidneys,
    "segment_masses": SegmentMasses,
    "classify": ClassifyMasses,
    "explain": ExplainClasses,
    "write_seg": WriteSegmentation,
    "write_sr": WriteStructuredReport,
    "write_activation_maps": WriteActivationMaps,
    "write_key_images": WriteKeyImages,
    "write_report": WriteReport,
    "send": SendResults,
}
"""The operators by their names in the log. Each port has one giver; every step that takes it receives its value."""


class RenalctApplication(Application):
    """Analyses one study into the output folder; what became of it is in `shared.run`."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        super().__init__()

    def compose(self) -> None:
        """Connect the operators port by port; called by the framework when the graph is run."""
        once = CountCondition(self, 1)
        conditions = {"load": (once,)}
        made = [kind(self, *conditions.get(name, ()), shared=self.shared, name=name) for name, kind in STEPS.items()]
        givers = {step.gives: step for step in made if step.gives}
        for step in made:
            for port in step.takes:
                self.add_flow(givers[port], step, {(port, port)})
