import zipfile

import numpy as np
import pytest
from renalct.core.errors import InputError
from renalct.core.phase import Phase
from renalct.formats.dicom.rules import Rules
from renalct.formats.nifti import write_volume
from renalct.formats.study import open_study
from renalct.synthetic.phantom import make_phantom
from renalct.synthetic.settings import PhantomSettings
from renalct.synthetic.study import write_phantom_study

SETTINGS = PhantomSettings(
    spacing_mm=(6.0, 6.0, 8.0), field_mm=(240.0, 192.0, 160.0), phases=(Phase.NEPHROGRAPHIC, Phase.NON_CONTRAST)
)


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(SETTINGS, seed=5)


@pytest.fixture(scope="module")
def folder(phantom, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_phantom_study(phantom, folder)
    return folder


def test_the_enhanced_phase_is_read_and_the_plain_one_kept_beside_it(folder, phantom):
    study = open_study(folder)
    assert study.volume.phase.phase is Phase.NEPHROGRAPHIC
    assert [other.phase.phase for other in study.other_phases] == [Phase.NON_CONTRAST]
    assert study.volume.grid.same_as(phantom.volumes[0].grid)
    np.testing.assert_array_equal(study.other_phases[0].hu, phantom.volumes[1].hu)
    assert study.loaded is not None and len(study.loaded.headers) == 20


def test_every_decision_is_recorded(folder):
    decisions = open_study(folder).decisions
    assert decisions["schema_version"] == 2 and "nephrographic" in decisions["chosen"]["reason"]
    assert [r["phase"] for r in decisions["refused"]] == ["non-contrast"]
    assert {f["reason"] for f in decisions["skipped_files"]} == {
        "is a scout (localizer), not a slice",
        "is not a DICOM file",
    }


def test_a_series_that_is_asked_for_is_read_whatever_its_score(folder):
    plain = open_study(folder).decisions["refused"][0]["series_instance_uid"]
    study = open_study(folder, series_instance_uid=plain)
    assert study.volume.source.series_instance_uid == plain and study.other_phases == ()


def test_rules_come_before_the_score(folder):
    rules = '{"selections": [{"name": "plain", "conditions": {"SeriesDescription": "(?i)non-contrast"}}]}'
    assert open_study(folder, rules=Rules.from_json(rules)).volume.phase.phase is Phase.NON_CONTRAST


def test_a_zip_is_read_like_its_folder(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    np.testing.assert_array_equal(open_study(tmp_path / "s.zip").volume.hu, open_study(folder).volume.hu)


def test_a_nifti_file_is_a_study_without_headers(phantom, tmp_path):
    write_volume(phantom.volumes[0], tmp_path / "ct.nii.gz")
    study = open_study(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(study.volume.hu, phantom.volumes[0].hu)
    assert study.loaded is None and study.notices
    with pytest.raises(InputError, match="no series to choose"):
        open_study(tmp_path / "ct.nii.gz", series_instance_uid="1.2")


def test_a_place_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        open_study(tmp_path / "nowhere")
