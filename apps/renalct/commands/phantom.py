"""Write a made CT study of an abdomen with kidneys and renal masses whose truth is known.

Use it to try renalct without patient data, to test a PACS, or to practise. The folder will hold:

  dicom   one folder per series (a scout, then one series for each contrast phase), and MADE_DATA.txt
  nifti   ct_<phase>.nii.gz, label_map.nii.gz (kidney 1, tumor 2, cyst 3, angiomyolipoma 4), and MADE_DATA.txt

MADE_DATA.txt says in plain words which masses were made. The images show no patient.

With `--like kits` the folder will hold training cases instead, laid out as KiTS does (case_XXXXX/imaging.nii.gz and
segmentation.nii.gz): kidneys of label maps, or procedural ones, in made bodies; with `--stacks`, half of them real
slabs with transplanted kidneys and masses. What is made of KiTS data keeps its licence, CC BY-NC-SA 4.0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from renalct.core.errors import InputError
from renalct.formats.nifti import write_label_map, write_volume
from renalct.formats.output_folder import output_folder
from renalct.models.made_cases import kits_like_files
from renalct.synthetic.phantom import Phantom, PhantomSettings, demo_settings, make_phantom, random_settings
from renalct.synthetic.study import MARKER, describe, write_phantom_study

EPILOG = """examples:
  renalct phantom -o study                                the study of the demonstration, as DICOM
  renalct phantom -o made --kind random --seed 7          another patient, phase, slice thickness and masses
  renalct phantom -o made --format nifti                  with the true label map
  renalct phantom --like kits --cases 20 -o made          training cases with procedural kidneys
  renalct phantom --like kits --label-maps MAPS --stacks STACKS --cases 20 -o made
Not for clinical use."""

_LIKE_SHAPE = (320, 320, 60)


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
    parser.add_argument("--like", choices=("kits",), help="make training cases like those of KiTS")
    like = parser.add_argument_group("with --like kits")
    like.add_argument("--cases", metavar="N", type=int, default=1, help="how many, with seeds from --seed up (1)")
    like.add_argument("--label-maps", metavar="FOLDER", type=Path, help="case_XXXXX.npz; without, procedural kidneys")
    like.add_argument("--stacks", metavar="FOLDER", type=Path, help="slice stacks to transplant from and into")


def run(arguments: argparse.Namespace) -> int:
    """Make the study and write it; returns the exit code."""
    if arguments.seed < 0:
        raise InputError(f"the seed is {arguments.seed}; give a whole number from 0 up")
    if arguments.like:
        return _write_like_kits(arguments)
    if arguments.label_maps or arguments.stacks or arguments.cases != 1:
        raise InputError("--cases, --label-maps and --stacks need --like kits; add it, or leave them out")
    phantom = make_phantom(_settings(arguments.kind, arguments.seed), seed=arguments.seed)
    with output_folder(arguments.output) as folder:
        files = write_phantom_study(phantom, folder) if arguments.format == "dicom" else _write_nifti(phantom, folder)
    print(describe(phantom), end="")
    print(f"Wrote {len(files)} files to {arguments.output}.")
    study = arguments.output if arguments.format == "dicom" else arguments.output / files[0].name
    print(f"Next: renalct predict {study} -o result")
    return 0


def _write_like_kits(arguments: argparse.Namespace) -> int:
    if arguments.cases < 1:
        raise InputError(f"--cases is {arguments.cases}; give a whole number from 1 up")
    seeds = range(arguments.seed, arguments.seed + arguments.cases)
    files = kits_like_files(arguments.label_maps, seeds, stacks=arguments.stacks, shape=_LIKE_SHAPE)
    maps, stacks = ("given" if path else "none" for path in (arguments.label_maps, arguments.stacks))
    lines = [f"Synthetic data made by renalct; label maps: {maps}, slices of patients: {stacks}."]
    with output_folder(arguments.output) as folder:
        for number, file in enumerate(files, start=1):
            (case,) = file.load()
            target = folder / f"case_{number:05d}"
            target.mkdir()
            write_volume(case.volume, target / "imaging.nii.gz")
            write_label_map(case.label_map, target / "segmentation.nii.gz")
            shape, spacing = case.volume.grid.shape, case.volume.grid.spacing_mm
            kinds = ", ".join(mass.mass_class.title for mass in case.masses) or "none listed"
            size = "x".join(map(str, shape)) + " voxels of " + " x ".join(f"{s:.2f}" for s in spacing) + " mm"
            lines.append(f"case_{number:05d}: seed {seeds[number - 1]}, {size}, masses: {kinds}")
            print(lines[-1])
        (folder / MARKER).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"Wrote {len(files)} cases to {arguments.output}.")
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
