"""Write the CT images of a study without the identity of the patient, for research.

The images are treated by the basic application level confidentiality profile of DICOM (PS3.15, Table E.1-1): what
identifies is removed, emptied or replaced, in sequences too, and private attributes are removed. Other objects than CT
images, pictures of a screen, and images that say that text was burned into them are left out.

What stands for IDs, UIDs and dates follows from the secret in the key file: with the same key, studies of one patient
stay together, and results refer to the right images. Keep it away from the images; without it nobody can go back.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from renalct.core.errors import InputError
from renalct.formats.dicom.deidentify_study import deidentify_study
from renalct.formats.dicom.deidentify_values import Deidentification, read_or_make_key
from renalct.formats.output_folder import output_folder

EPILOG = "example: renalct deidentify /media/cdrom -o study1 --key ../cohort.key --shift-dates --clean-descriptors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `renalct deidentify`."""
    parser.add_argument("study", metavar="STUDY", type=Path, help="folder, DICOMDIR, zip, DICOM or NIfTI file")
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, required=True, help="folder to write; made if missing"
    )
    parser.add_argument(
        "--key", metavar="FILE", type=Path, required=True, help="file of the secret key; made if missing"
    )
    parser.add_argument("--shift-dates", action="store_true", help=SHIFT_DATES_HELP)
    parser.add_argument("--clean-descriptors", action="store_true", help=CLEAN_DESCRIPTORS_HELP)


SHIFT_DATES_HELP = "keep dates, all of a patient earlier by the same one to ten years (else they are removed)"
CLEAN_DESCRIPTORS_HELP = "keep the words of descriptions that say what an image is (else descriptions are removed)"


def run(arguments: argparse.Namespace) -> int:
    """De-identify one study; returns the exit code."""
    how = deidentification(
        arguments.key, arguments.output, shift=arguments.shift_dates, clean=arguments.clean_descriptors
    )
    with output_folder(arguments.output) as folder:
        done = deidentify_study(arguments.study, folder, how)
    print(f"{done.images} image{'s' if done.images != 1 else ''} written to {arguments.output}")
    for reason, count in done.left_out:
        print(f"{count} left out: {reason}")
    return 0


def deidentification(key: Path, output: Path, *, shift: bool, clean: bool) -> Deidentification:
    """How to de-identify, with the key in a file, which must not lie where the results go.

    Raises `InputError` when it does, or holds no key.
    """
    if key.resolve().is_relative_to(output.resolve()):
        raise InputError(
            f"the key file {key} would lie among the results, whose readers must not have it; choose another"
        )
    return Deidentification(read_or_make_key(key), modified_dates=shift, clean_descriptors=clean)
