"""The graph of the application: load, choose, segment, classify, and one writer for each kind of result."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application
from operators import (
    ChooseSeries,
    ClassifyMasses,
    LoadStudy,
    SegmentMasses,
    Shared,
    WriteActivationMaps,
    WriteKeyImages,
    WriteReport,
    WriteSegmentation,
    WriteStructuredReport,
)
from renalct.cascade import Cascade
from renalct.formats.dicom.objects import ObjectSettings
from renalct.formats.dicom.rules import Rules
from renalct.models.release import holds_release, load_release

SERIES_RULES = Path(__file__).with_name("series_rules.json")


def prepare(context: AppContext, output: Path) -> Shared:
    """What the steps of one run share. Raises a `ReleaseError` where the release in the models folder is no good."""
    return Shared(
        refusals=[],
        cascade=Cascade(load_release(release_folder(Path(context.model_path)))),
        rules=Rules.read(SERIES_RULES),
        input=Path(context.input_path),
        output=output,
        settings=ObjectSettings(now=datetime.now()),
    )


class RenalctApplication(Application):
    """Reads the input folder and writes into the output folder; what renalct refused is in `shared.refusals`."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        super().__init__()

    def compose(self) -> None:
        """Connect the operators; called by the framework when the graph is run."""
        shared = self.shared
        once = CountCondition(self, 1)
        load = LoadStudy(self, once, shared=shared, name="load")
        choose = ChooseSeries(self, shared=shared, name="choose")
        segment = SegmentMasses(self, shared=shared, name="segment")
        classify = ClassifyMasses(self, shared=shared, name="classify")
        write_seg = WriteSegmentation(self, shared=shared, name="write_seg")
        write_sr = WriteStructuredReport(self, shared=shared, name="write_sr")
        self.add_flow(load, choose, {("scan", "scan")})
        self.add_flow(choose, segment, {("study", "study")})
        self.add_flow(choose, classify, {("study", "study")})
        self.add_flow(segment, classify, {("segmented", "segmented")})
        self.add_flow(classify, write_seg, {("analyzed", "analyzed")})
        self.add_flow(classify, write_sr, {("analyzed", "analyzed")})
        self.add_flow(write_seg, write_sr, {("segmentation", "segmentation")})
        for writer in (
            WriteActivationMaps(self, shared=shared, name="write_activation_maps"),
            WriteKeyImages(self, shared=shared, name="write_key_images"),
            WriteReport(self, shared=shared, name="write_report"),
        ):
            self.add_flow(classify, writer, {("analyzed", "analyzed")})


def release_folder(models: Path) -> Path | None:
    """The folder of the release to use: `models` itself, or the one folder in it that holds a release or a registry.

    None, which means the starter release in the package, where there is no release at all. The packager puts each
    model into a folder of its own.
    """
    if not models.is_dir() or holds_release(models):
        return models if models.exists() else None
    return next((folder for folder in sorted(models.iterdir()) if holds_release(folder)), None)
