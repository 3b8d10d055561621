"""What tests of the hosts share: the environment of a user, and a made study small enough to analyse in seconds."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class MadeStudy:
    """A phantom on disk: a DICOM folder of two phases, and the enhanced phase as NIfTI."""

    dicom: Path
    nifti: Path


@pytest.fixture(scope="session")
def activated() -> dict[str, str]:
    """The variables of a shell in which the environment was activated, and one thread for arithmetic."""
    folder = str(Path(sys.executable).parent)
    return os.environ | {"PATH": os.pathsep.join((folder, os.environ["PATH"])), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def made_study(tmp_path_factory) -> MadeStudy:
    """The study of the demonstration on coarse voxels, with a kidney mass of each class."""
    from dataclasses import replace

    from renalct.formats.nifti import write_volume
    from renalct.synthetic.phantom import demo_settings, make_phantom
    from renalct.synthetic.study import write_phantom_study

    folder = tmp_path_factory.mktemp("made")
    phantom = make_phantom(replace(demo_settings(), spacing_mm=(3.0, 3.0, 5.0)), seed=1)
    study = MadeStudy(folder / "dicom", folder / "nifti" / "case.nii.gz")
    for place in (study.dicom, study.nifti.parent):
        place.mkdir()
    write_phantom_study(phantom, study.dicom)
    write_volume(phantom.volumes[0], study.nifti)
    return study
