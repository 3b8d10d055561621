"""Find kidneys and renal masses on a CT study, measure and classify them, and write the result.

STUDY is a folder of DICOM files (anything else in it is listed and passed over), a DICOMDIR, a zip of such a folder,
or a NIfTI file with CT numbers. The folder OUT will hold:

  report.html       the page to read first
  report.json       the same for programs
  label_map.nii.gz  kidney 1, tumor 2, cyst 3, angiomyolipoma 4, on the CT's own voxels
  series.json       why this series was read, and why no other
  status.json       what became of it, and how long each stage took, without anything of the patient
  seg.dcm sr.dcm sr_diameters.dcm class_activation_*.dcm key_image_*.dcm key_objects.dcm    (for DICOM studies)
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path

from renalct.commands.progress import Progress, stage_bars
from renalct.core.report import Report
from renalct.formats.dicom.objects import ObjectSettings, SegmentationEncoding, SliceRange
from renalct.formats.output_folder import output_folder
from renalct.formats.quiet import quietly
from renalct.formats.results import write_results
from renalct.formats.study import open_study
from renalct.runs.status import write_status
from renalct.runs.study_run import StudyRun

EPILOG = """example: renalct predict /media/cdrom -o result
Not for clinical use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct predict`."""
    parser.add_argument("study", metavar="STUDY", type=Path, help="folder, DICOMDIR, zip, or NIfTI file")
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, required=True, help="folder to write; made if missing"
    )
    parser.add_argument("--series", metavar="UID", help="read this SeriesInstanceUID instead of the best one")
    parser.add_argument("--release", metavar="FOLDER", type=Path, help="weights to use (default: the starter release)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda, cuda:1, or auto")
    parser.add_argument("--force", action="store_true", help="replace an earlier result in OUT")
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of sentences")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    parser.add_argument("--all-frames", action="store_true", help="segmentation frames for every slice, empty ones too")
    parser.add_argument("--label-map-seg", action="store_true", help="write the SEG as LABELMAP (not all PACS take it)")


def run(arguments: argparse.Namespace) -> int:
    """Analyse one study; returns the exit code."""
    options = PredictOptions(
        release=arguments.release,
        device=arguments.device,
        series_instance_uid=arguments.series,
        replace_existing=arguments.force,
        slices=SliceRange.SOURCE if arguments.all_frames else SliceRange.FINDINGS,
        encoding=SegmentationEncoding.LABELMAP if arguments.label_map_seg else SegmentationEncoding.BINARY,
    )
    with stage_bars(visible=sys.stderr.isatty() and not arguments.quiet) as progress:
        report = predict(arguments.study, arguments.output, options=options, progress=progress)
    print(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if arguments.json else closing_words(report))
    if not arguments.json:
        print(f"Open {arguments.output / 'report.html'} to read it.")
    return 0


@dataclass(frozen=True)
class PredictOptions:
    """How to analyse: the release (None for the starter), device, series (None for the best) and what to write."""

    release: Path | None = None
    device: str = "cpu"
    series_instance_uid: str | None = None
    replace_existing: bool = False
    slices: SliceRange = SliceRange.FINDINGS
    encoding: SegmentationEncoding = SegmentationEncoding.BINARY


def predict(study_path: Path, output: Path, *, options: PredictOptions, progress: Progress) -> Report:
    """The report of one study, after its folder of results has been written whole.

    Raises a `RenalctError` that says what to do; then nothing is left behind.
    """
    networks = threading.Thread(target=import_module, args=("renalct.cascade",), daemon=True)
    networks.start()  # PyTorch and MONAI take seconds to import; the files are read meanwhile
    run = StudyRun(source=study_path)
    with output_folder(output, replace_existing=options.replace_existing) as folder, quietly():
        progress("read", 0.0)
        with run.step("read"):
            study = open_study(study_path, series_instance_uid=options.series_instance_uid)
        run.study_instance_uid = study.volume.source.study_instance_uid
        progress("read", 1.0)
        networks.join()
        from renalct.cascade import Cascade
        from renalct.models.release import load_release

        cascade = Cascade(load_release(options.release), device=options.device)
        result = cascade.run(study.volume, other_phases=study.other_phases, notices=study.notices, progress=progress)
        progress("write", 0.0)
        settings = ObjectSettings(datetime.now(), options.slices, options.encoding)
        with run.step("write"):
            paths = write_results(study, result.label_map, result.report, folder, settings=settings)
        run.report = result.report
        write_status(run.status(provenance=cascade.provenance, files=[path.name for path in paths]), folder)
        progress("write", 1.0)
    return result.report


def closing_words(report: Report) -> str:
    """The plain words that end a run: what was found, what a reader must know, and what the weights were trained on."""
    lines = ["", report.summary(), *(f"Note: {notice}" for notice in report.notices)]
    lines += [report.provenance.trained_on, "Not for clinical use."]
    return "\n".join(lines)
