"""The steps of the graph: each receives, calls renalct once, and passes on.

A step of one's own takes the place of one of these when it has the same ports (`takes`, `gives`) and emits values of
the same type: derive it from `Step`, give it a `work`, and name it in app.py.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highdicom.seg import Segmentation
from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext
from renalct.cascade import Cascade, Regions
from renalct.core.findings import Findings
from renalct.core.report import Report
from renalct.core.volume import LabelMap
from renalct.formats.dicom.choose import Choice, choose_series
from renalct.formats.dicom.objects import (
    Analysis,
    write_activation_maps,
    write_key_images,
    write_measurements,
    write_segmentation,
)
from renalct.formats.dicom.scan import StudyScan
from renalct.formats.results import draw_key_images, write_report
from renalct.formats.study import Study, load_choice
from renalct.runs.analysis import AnalysisSettings
from renalct.runs.finishing import Send, send_results
from renalct.runs.study_run import StudyRun

Paths = tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class Shared:
    """What every step has: the study's run (its log, times and outcome) and headers, the cascade, settings, folder.

    `send` hands files on, where a destination is named.
    """

    run: StudyRun
    scan: StudyScan
    cascade: Cascade
    settings: AnalysisSettings
    output: Path
    send: Send | None = None


@dataclass(frozen=True, eq=False)
class Analyzed:
    """A study and its report, as the writers receive them."""

    study: Study
    report: Report
    analysis: Analysis


class Step(Operator):
    """A step of the graph, with the names of the ports that it takes values from and gives one to.

    Its start, end and seconds are told to the log. What renalct refuses is kept as the study's outcome: nothing is
    passed on, and the graph comes to its end.
    """

    takes: tuple[str, ...] = ()
    gives = ""

    def __init__(self, fragment: Fragment, *conditions: Any, shared: Shared, name: str) -> None:
        self.shared = shared
        super().__init__(fragment, *conditions, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports; called by the framework."""
        for port in self.takes:
            spec.input(port)
        if self.gives:
            spec.output(self.gives)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Do the step's work; called by the framework when every input has arrived."""
        received = [op_input.receive(port) for port in self.takes]
        with self.shared.run.kept(), self.shared.run.step(self.name):
            result = self.work(*received)
            if self.gives:
                op_output.emit(result, self.gives)

    @abstractmethod
    def work(self, *received: Any) -> Any:
        """What the step makes of what it takes."""


class LoadStudy(Step):
    """Gives the headers of the study that this run of the graph is about; those of the input were read before."""

    gives = "scan"

    def work(self) -> StudyScan:
        """The study's series."""
        return self.shared.scan


class ChooseSeries(Step):
    """Chooses the series to analyse, by rules and score."""

    takes, gives = ("scan",), "choice"

    def work(self, scan: StudyScan) -> Choice:
        """The best series, and why none of the others."""
        return choose_series(scan, rules=self.shared.settings.rules)


class ReadSeries(Step):
    """Reads the pixels of the chosen series, as Hounsfield units on a checked grid."""

    takes, gives = ("scan", "choice"), "study"

    def work(self, scan: StudyScan, choice: Choice) -> Study:
        """The volume, and a phase before contrast."""
        return load_choice(scan, choice)


class SegmentKidneys(Step):
    """Finds the kidneys on coarse voxels: the regions in which masses are looked for."""

    takes, gives = ("study",), "regions"

    def work(self, study: Study) -> Regions:
        """The region of each kidney."""
        return self.shared.cascade.localize(study.volume)


class SegmentMasses(Step):
    """Segments kidneys and masses on fine voxels in each region."""

    takes, gives = ("study", "regions"), "segmented"

    def work(self, study: Study, regions: Regions) -> LabelMap:
        """The label map."""
        return self.shared.cascade.segment(study.volume, regions)


class ClassifyMasses(Step):
    """Separates, measures and classifies the kidneys and masses."""

    takes, gives = ("study", "segmented"), "findings"

    def work(self, study: Study, segmented: LabelMap) -> Findings:
        """The findings."""
        return self.shared.cascade.classify(study.volume, segmented, other_phases=study.other_phases)


class ExplainClasses(Step):
    """Makes the activation map of each mass, and the report."""

    takes, gives = ("study", "findings"), "analyzed"

    def work(self, study: Study, findings: Findings) -> Analyzed:
        """What the writers need."""
        cascade = self.shared.cascade
        report = cascade.report(study.volume, cascade.explain(study.volume, findings), notices=study.notices)
        self.shared.run.report = report
        return Analyzed(study, report, Analysis.of(study.loaded, report, self.shared.settings.objects()))


class WriteSegmentation(Step):
    """Writes the DICOM SEG, and passes it on to the structured report that refers to it."""

    takes, gives = ("analyzed",), "segmentation"

    def work(self, analyzed: Analyzed) -> tuple[Segmentation | None, Paths]:
        """The segmentation, and where it is."""
        return write_segmentation(analyzed.analysis, self.shared.output)


class WriteStructuredReport(Step):
    """Writes the DICOM SR."""

    takes, gives = ("analyzed", "segmentation"), "reports"

    def work(self, analyzed: Analyzed, segmentation: tuple[Segmentation | None, Paths]) -> Paths:
        """Where it is."""
        return write_measurements(analyzed.analysis, segmentation[0], self.shared.output)


class WriteActivationMaps(Step):
    """Writes a class-activation map for each mass."""

    takes, gives = ("analyzed",), "activation_maps"

    def work(self, analyzed: Analyzed) -> Paths:
        """Where they are."""
        return write_activation_maps(analyzed.analysis, self.shared.output)


class WriteKeyImages(Step):
    """Writes a key image for each mass, and the selection that points at them."""

    takes, gives = ("analyzed",), "key_images"

    def work(self, analyzed: Analyzed) -> Paths:
        """Where they are."""
        pictures = draw_key_images(analyzed.study, analyzed.report)
        return write_key_images(analyzed.analysis, pictures, self.shared.output)


class WriteReport(Step):
    """Writes the report for people and for programs."""

    takes, gives = ("analyzed",), "pages"

    def work(self, analyzed: Analyzed) -> Paths:
        """Where it is."""
        return write_report(analyzed.study, analyzed.report, self.shared.output)


class SendResults(Step):
    """Sends the DICOM results to the destinations, after every writer; without a destination it does nothing."""

    takes = ("segmentation", "reports", "activation_maps", "key_images", "pages")

    def work(self, *written: object) -> None:
        """Send what lies in the folder."""
        send_results(self.shared.output, self.shared.send, run=self.shared.run)
