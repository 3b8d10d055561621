"""Programs of others that check what we write. A test that misses one is skipped with the command that installs it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

_PIXELMED_OPTIONS = (
    "-Djdk.xml.xpathTotalOpLimit=0 -Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathExprGrpLimit=0 "
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
)


def program(name: str, install: str) -> str:
    """Its path, or the test is skipped."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is missing: {install}")
    return found


def output_of(*command, **environment) -> str:
    """What a program says, on both channels."""
    run = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
        check=False,
    )
    return run.stdout


_LATERALITY = "Error - </Laterality(0020,0060)> - Missing attribute for Type 2C Conditional - Module=<GeneralSeries>"
"""Required for paired body parts only (PS3.3 C.7.3.1); dciodvfy misses it wherever the body part is not stated."""


def dciodvfy_errors(path: Path) -> list[str]:
    """The errors that dciodvfy finds in an object, but for a missing laterality of an unknown body part."""
    said = output_of(program("dciodvfy", "apt-get install dicom3tools"), "-new", path)
    assert path.stat().st_size and said.strip(), f"dciodvfy said nothing about {path.name}"
    return [line for line in said.splitlines() if line.startswith("Error") and line != _LATERALITY]


def dcmtk_errors(path: Path) -> list[str]:
    """Errors of dcmdump, and for documents of dsrdump."""
    said = [output_of(program("dcmdump", "apt-get install dcmtk"), "-q", "+P", "0008,0018", path)]
    problems = [] if "(0008,0018)" in said[0] else said
    if path.name in ("sr.dcm", "sr_diameters.dcm", "key_objects.dcm"):
        said = output_of(program("dsrdump", "apt-get install dcmtk"), path)
        problems += [line for line in said.splitlines() if line.startswith(("E:", "F:"))]
    return problems


def pixelmed_errors(path: Path) -> list[str]:
    """The errors that PixelMed's DicomSRValidator finds in the templates of a report."""
    validator = program("DicomSRValidator", "apt-get install pixelmed-apps")
    said = output_of(validator, path, JAVA_TOOL_OPTIONS=_PIXELMED_OPTIONS)
    assert "IOD validation complete" in said, said
    return [line for line in said.splitlines() if line.startswith("Error")]


def dcmqi_segments(path: Path, folder: Path) -> dict[int, np.ndarray]:
    """The patient coordinates (RAS+, mm) of the voxels of each segment as dcmqi reads them, by segment number."""
    return {
        int(file.name.split(".")[0]): _places(image, np.asarray(image.dataobj) > 0)
        for file, image in _dcmqi_images(path, folder).items()
    }


def dcmqi_labels(path: Path, folder: Path) -> dict[int, np.ndarray]:
    """The same of a LABELMAP segmentation, which dcmqi reads as one image of segment numbers."""
    (image,) = _dcmqi_images(path, folder).values()
    numbers = np.asarray(image.dataobj)
    return {int(number): _places(image, numbers == number) for number in np.unique(numbers) if number}


def dcmqi_map(path: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The values of a parametric map as dcmqi reads them, indexed (i, j, k), and the affine to patient mm (RAS+)."""
    (image,) = _dcmqi_images(path, folder, "paramap2itkimage").values()
    return np.asarray(image.dataobj), image.affine


def _dcmqi_images(path: Path, folder: Path, reader: str = "segimage2itkimage") -> dict[Path, nibabel.Nifti1Image]:
    folder.mkdir(exist_ok=True)
    reader = program(reader, "pip install dcmqi")
    output_of(reader, "--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nii")
    return {file: nibabel.load(file) for file in folder.glob("*.nii.gz")}


def _places(image: nibabel.Nifti1Image, voxels: np.ndarray) -> np.ndarray:
    return np.argwhere(voxels) @ image.affine[:3, :3].T + image.affine[:3, 3]
