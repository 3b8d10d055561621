"""Make a synthetic contrast-enhanced CT study, analyse it with the release in the package, and leave the result.

The study has two kidneys, a solid mass, a cyst, an angiomyolipoma with fat, other organs, and two phases. Nothing is
downloaded and no patient data are used. The folder OUT will hold the study (study/) and the result (result/).
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from renalct.commands.predict import PredictOptions, closing_words, predict
from renalct.commands.progress import stage_bars
from renalct.core.errors import OutputError
from renalct.formats.output_folder import output_folder
from renalct.synthetic.phantom import demo_settings, make_phantom

EPILOG = """example: renalct demo -o demo
Not for clinical use."""
_SEED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct demo`."""
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, default=Path("demo"), help="folder to write (demo)")
    parser.add_argument("--seed", type=int, default=_SEED, help="another number makes another patient")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda, cuda:1, or auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(arguments: argparse.Namespace) -> int:
    """Make and analyse the study; returns the exit code."""
    from renalct.synthetic.study import write_phantom_study

    study, result = arguments.output / "study", arguments.output / "result"
    with stage_bars(visible=sys.stderr.isatty() and not arguments.quiet) as progress:
        progress("phantom", 0.0)
        phantom = make_phantom(demo_settings(), seed=arguments.seed)
        _remove_earlier(study)
        with output_folder(study) as folder:
            files = write_phantom_study(phantom, folder)
        progress("phantom", 1.0)
        options = PredictOptions(device=arguments.device, replace_existing=True)
        report = predict(study, result, options=options, progress=progress)
    truth = "; ".join(f"{mass.mass_class.title} {mass.diameter_mm:.0f} mm {mass.side.value}" for mass in phantom.masses)
    print(f"\nThe synthetic study in {study} ({len(files)} files) holds: {truth}.")
    print(closing_words(report))
    print(f"Open {result / 'report.html'} to read it; the DICOM objects lie beside it.")
    return 0


def _remove_earlier(study: Path) -> None:
    """Remove the study of an earlier demo, and nothing that is not one."""
    marker = study / "MADE_DATA.txt"
    if marker.is_file():
        shutil.rmtree(study)
    elif study.exists() and any(study.iterdir()):
        raise OutputError(f"the folder {study} holds files that no earlier demo wrote; choose another output folder")
