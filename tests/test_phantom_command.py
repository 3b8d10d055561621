import nibabel as nib
import numpy as np
import pytest
from renalct.__main__ import main
from renalct.commands import phantom as command
from renalct.core.phase import Phase
from renalct.formats.nifti import read_label_map, read_volume
from renalct.synthetic.phantom import PhantomSettings, make_phantom

SMALL = PhantomSettings(spacing_mm=(6.0, 6.0, 6.0), phases=(Phase.EXCRETORY, Phase.NON_CONTRAST))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(command, "demo_settings", lambda: SMALL)


def test_dicom_is_written_and_the_next_command_is_named(tmp_path, capsys):
    assert main(["phantom", "-o", str(tmp_path / "study")]) == 0
    said = capsys.readouterr().out
    assert f"renalct predict {tmp_path / 'study'} -o result" in said
    assert sorted(p.name for p in (tmp_path / "study").iterdir()) == [
        "1_scout", "2_excretory", "3_non-contrast", "MADE_DATA.txt",
    ]  # fmt: skip


def test_nifti_holds_the_volumes_and_the_true_label_map(tmp_path):
    assert main(["phantom", "-o", str(tmp_path / "made"), "--format", "nifti", "--seed", "5"]) == 0
    made = make_phantom(SMALL, seed=5)
    volume = read_volume(tmp_path / "made" / "ct_excretory.nii.gz")
    np.testing.assert_array_equal(volume.hu, made.volumes[0].hu)
    np.testing.assert_allclose(volume.grid.affine, made.label_map.grid.affine, atol=1e-4)
    label_map = read_label_map(tmp_path / "made" / "label_map.nii.gz")
    np.testing.assert_array_equal(label_map.values, made.label_map.values)
    assert nib.load(tmp_path / "made" / "ct_non-contrast.nii.gz").get_data_dtype() == np.int16


def test_a_random_study_follows_from_the_seed():
    assert command._settings("random", 3) == command._settings("random", 3) != command._settings("random", 4)


def test_a_folder_with_files_is_refused_and_kept(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert main(["phantom", "-o", str(tmp_path)]) == 2
    assert "not empty" in capsys.readouterr().err and (tmp_path / "mine.txt").read_text() == "keep"


def test_a_negative_seed_is_one_sentence_and_exit_code_2(tmp_path, capsys):
    assert main(["phantom", "-o", str(tmp_path / "x"), "--seed", "-1"]) == 2
    assert "from 0 up" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_the_help_says_what_will_be_written(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["phantom", "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "label_map.nii.gz" in said and "Not for clinical use" in said
