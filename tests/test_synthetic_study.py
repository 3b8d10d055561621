import numpy as np
import pydicom
import pytest
from renalct.core.labels import MassClass, Side
from renalct.core.phase import Phase
from renalct.formats.dicom.choose import choose_series
from renalct.formats.dicom.scan import scan_study
from renalct.formats.dicom.series import load_series
from renalct.synthetic.phantom import MassSpec, PhantomSettings, make_phantom
from renalct.synthetic.study import describe, write_phantom_study

SETTINGS = PhantomSettings(
    spacing_mm=(5.0, 5.0, 5.0),
    masses=(MassSpec(MassClass.CYSTIC, 40.0, Side.LEFT),),
    phases=(Phase.NEPHROGRAPHIC, Phase.NON_CONTRAST),
)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(SETTINGS, seed=1)


def test_a_study_has_a_scout_a_series_per_phase_and_a_note(tmp_path, phantom):
    files = write_phantom_study(phantom, tmp_path)
    assert len(files) == 1 + 2 * 70 + 1 and files[-1].name == "MADE_DATA.txt"
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in files[:-1]]
    assert len({image.StudyInstanceUID for image in images}) == 1
    assert len({image.SeriesInstanceUID for image in images}) == 3
    assert len({image.SOPInstanceUID for image in images}) == 141
    assert {image.FrameOfReferenceUID for image in images} == {phantom.label_map.grid.frame_of_reference_uid}
    assert {image.SeriesDescription for image in images} == {"Scout", "Nephrographic 5 mm", "Non-contrast 5 mm"}


def test_the_reader_chooses_a_phase_refuses_the_scout_and_reads_the_same_voxels(tmp_path, phantom):
    write_phantom_study(phantom, tmp_path)
    choice = choose_series(scan_study(tmp_path))
    volume = load_series(choice.chosen).volume
    made = phantom.volumes[0]
    assert volume.grid.same_as(made.grid)
    np.testing.assert_array_equal(volume.hu, made.hu)


def test_the_note_names_each_mass_or_says_that_there_is_none(phantom):
    assert "- cystic, left kidney, made 40 mm wide, 33." in describe(phantom)  # 33.5 ml, in voxels of 0.125 ml
    empty = make_phantom(PhantomSettings(spacing_mm=(9.0, 9.0, 9.0), masses=()), seed=1)
    assert "- none" in describe(empty)
