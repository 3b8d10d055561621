"""The steps of the graph: each receives, calls renalct, and passes on."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext
from renalct.cascade import Cascade
from renalct.core.errors import RenalctError
from renalct.core.report import Report
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.objects import (
    Analysis,
    ObjectSettings,
    write_activation_maps,
    write_key_images,
    write_measurements,
    write_segmentation,
)
from renalct.formats.dicom.rules import Rules
from renalct.formats.dicom.scan import scan_study
from renalct.formats.results import draw_key_images, write_report
from renalct.formats.study import Study, load_choice


@dataclass(frozen=True, eq=False)
class Shared:
    """What every step has: the cascade and the rules, the folders, how objects are written, what was refused."""

    refusals: list[RenalctError]
    cascade: Cascade
    rules: Rules
    input: Path
    output: Path
    settings: ObjectSettings


@dataclass(frozen=True, eq=False)
class Analyzed:
    """A study and its report, as the writers receive them."""

    study: Study
    report: Report
    analysis: Analysis


class Step(Operator):
    """A step of the graph. What renalct refuses is kept, nothing is passed on, and the graph comes to its end."""

    def __init__(self, fragment: Fragment, *conditions: Any, shared: Shared, name: str) -> None:
        self.shared = shared
        super().__init__(fragment, *conditions, name=name)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Do the step's work; called by the framework when every input has arrived."""
        try:
            self.work(op_input, op_output)
        except RenalctError as error:
            self.shared.refusals.append(error)

    @abstractmethod
    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """What the step does."""


class LoadStudy(Step):
    """Finds the CT series below the input folder, by their headers."""

    def setup(self, spec: OperatorSpec) -> None:
        """Out: the scan."""
        spec.output("scan")

    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """Scan the folder."""
        op_output.emit(scan_study(self.shared.input), "scan")


class ChooseSeries(Step):
    """Chooses the series to read, by rules and score, and reads it."""

    def setup(self, spec: OperatorSpec) -> None:
        """In: the scan. Out: the study."""
        spec.input("scan")
        spec.output("study")

    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """Choose and read."""
        scan = op_input.receive("scan")
        op_output.emit(load_choice(scan, choose_series(scan, rules=self.shared.rules)), "study")


class SegmentMasses(Step):
    """Finds the kidneys, and segments them and their masses."""

    def setup(self, spec: OperatorSpec) -> None:
        """In: the study. Out: the segmented label map."""
        spec.input("study")
        spec.output("segmented")

    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """Localize and segment."""
        volume = op_input.receive("study").volume
        cascade = self.shared.cascade
        op_output.emit(cascade.segment(volume, cascade.localize(volume)), "segmented")


class ClassifyMasses(Step):
    """Separates, measures, classifies and explains the masses, and reports on them."""

    def setup(self, spec: OperatorSpec) -> None:
        """In: the study and its segmented label map. Out: what the writers need."""
        spec.input("study")
        spec.input("segmented")
        spec.output("analyzed")

    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """Characterize and report."""
        study, segmented = op_input.receive("study"), op_input.receive("segmented")
        cascade = self.shared.cascade
        findings = cascade.characterize(study.volume, segmented, other_phases=study.other_phases)
        report = cascade.report(study.volume, findings, notices=study.notices)
        analysis = Analysis.of(study.loaded, report, self.shared.settings)
        op_output.emit(Analyzed(study, report, analysis), "analyzed")


class Writer(Step):
    """A step that writes results of an analysis."""

    def setup(self, spec: OperatorSpec) -> None:
        """In: the analysis."""
        spec.input("analyzed")

    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """Write."""
        self.write(op_input.receive("analyzed"))

    @abstractmethod
    def write(self, analyzed: Analyzed) -> None:
        """What the step writes."""


class WriteSegmentation(Step):
    """Writes the DICOM SEG."""

    def setup(self, spec: OperatorSpec) -> None:
        """In: the analysis. Out: the segmentation, for the structured report that refers to it."""
        spec.input("analyzed")
        spec.output("segmentation")

    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """Write it, and pass it on."""
        op_output.emit(write_segmentation(op_input.receive("analyzed").analysis, self.shared.output), "segmentation")


class WriteStructuredReport(Step):
    """Writes the DICOM SR."""

    def setup(self, spec: OperatorSpec) -> None:
        """In: the analysis, and the segmentation that the report refers to."""
        spec.input("analyzed")
        spec.input("segmentation")

    def work(self, op_input: InputContext, op_output: OutputContext) -> None:
        """Write it."""
        segmentation, _ = op_input.receive("segmentation")
        write_measurements(op_input.receive("analyzed").analysis, segmentation, self.shared.output)


class WriteActivationMaps(Writer):
    """Writes a class-activation map for each mass."""

    def write(self, analyzed: Analyzed) -> None:
        """Write them."""
        write_activation_maps(analyzed.analysis, self.shared.output)


class WriteKeyImages(Writer):
    """Writes a key image for each mass, and the selection that points at them."""

    def write(self, analyzed: Analyzed) -> None:
        """Draw and write them."""
        pictures = draw_key_images(analyzed.study, analyzed.report)
        write_key_images(analyzed.analysis, pictures, self.shared.output)


class WriteReport(Writer):
    """Writes the report for people and for programs."""

    def write(self, analyzed: Analyzed) -> None:
        """Write them."""
        write_report(analyzed.study, analyzed.report, self.shared.output)
