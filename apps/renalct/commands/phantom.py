"""Write a made CT study of an abdomen with kidneys and renal masses whose truth is known.

Use it to try renalct without patient data, to test a PACS, or to practise. The folder will hold:

  dicom   one folder per series (a scout, then one series for each contrast phase), and MADE_DATA.txt
  nifti   ct_<phase>.nii.gz, label_map.nii.gz (kidney 1, tumor 2, cyst 3, angiomyolipoma 4), and MADE_DATA.txt

MADE_DATA.txt says in plain words which masses were made. The images show no patient.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError
from renalct.formats.nifti import write_label_map, write_volume
from renalct.formats.output_folder import output_folder
from renalct.synthetic.phantom import Phantom, PhantomSettings, demo_settings, make_phantom, random_settings
from renalct.synthetic.study import MARKER, describe, write_phantom_study

EPILOG = """examples:
  renalct phantom -o study                                the study of the demonstration, as DICOM
  renalct phantom -o made --kind random --seed 7          another patient, phase, slice thickness and masses
  renalct phantom -o made --format nifti                  with the true label map
Not for clinical use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct phantom`."""
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", type=Path, required=True, help="new or empty folder to write"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=1, help="whole number; another one is another patient (1)"
    )
    parser.add_argument("--format", choices=("dicom", "nifti"), default="dicom", help="what to write (dicom)")
    parser.add_argument(
        "--kind",
        choices=("demo", "random"),
        default="demo",
        help="demo: a solid mass, a cyst and an angiomyolipoma, two phases; random: drawn from the seed (demo)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the study and write it; returns the exit code."""
    if arguments.seed < 0:
        raise InputError(f"the seed is {arguments.seed}; give a whole number from 0 up")
    phantom = make_phantom(_settings(arguments.kind, arguments.seed), seed=arguments.seed)
    with output_folder(arguments.output) as folder:
        files = write_phantom_study(phantom, folder) if arguments.format == "dicom" else _write_nifti(phantom, folder)
    print(describe(phantom), end="")
    print(f"Wrote {len(files)} files to {arguments.output}.")
    study = arguments.output if arguments.format == "dicom" else arguments.output / files[0].name
    print(f"Next: renalct predict {study} -o result")
    return 0


def _settings(kind: str, seed: int) -> PhantomSettings:
    return demo_settings() if kind == "demo" else random_settings(np.random.default_rng(seed))


def _write_nifti(phantom: Phantom, folder: Path) -> tuple[Path, ...]:
    paths = []
    for volume in phantom.volumes:
        paths.append(folder / f"ct_{volume.phase.phase.value}.nii.gz")
        write_volume(volume, paths[-1])
    paths.append(folder / "label_map.nii.gz")
    write_label_map(phantom.label_map, paths[-1])
    paths.append(folder / MARKER)
    paths[-1].write_text(describe(phantom), encoding="utf-8")
    return tuple(paths)
