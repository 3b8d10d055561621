"""`renalct` as a process, on input that is wrong in every way that a user can make it wrong."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import nibabel as nib
import numpy as np
import pytest
from renalct.__main__ import COMMANDS, main
from renalct.formats.dicom.ct_writer import SeriesSettings, write_ct_series, write_scout
from renalct.formats.nifti import read_label_map
from renalct.models.recipes.starter import STARTER
from renalct.models.release import random_release, save_release
from renalct.synthetic.phantom import make_phantom
from renalct.synthetic.settings import PhantomSettings
from tiny_recipes import tiny


def process(*words):
    """One run of the command line as a process of its own."""
    command = [sys.executable, "-m", "renalct", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


def renalct(*words):
    """One run of the command line inside this process, which has PyTorch loaded already."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as leaving:
            code = leaving.code
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def refused(result, exit_code, *words):
    """Whether a run ended with that exit code and one sentence that has the words, and no traceback."""
    assert result.returncode == exit_code, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("renalct"), result.stderr
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture(scope="module")
def volume():
    return make_phantom(PhantomSettings(spacing_mm=(6.0, 6.0, 8.0), field_mm=(240.0, 192.0, 160.0)), seed=4).volumes[0]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    save_release(random_release(tiny(STARTER)), folder)
    return folder


@pytest.fixture(scope="module")
def study(volume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    write_ct_series(volume, folder / "ct", settings=SeriesSettings("command line"))
    write_scout(volume, folder / "scout", settings=SeriesSettings("command line", series_number=1))
    (folder / "readme.txt").write_text("not DICOM")
    return folder


def test_help_names_every_command_and_every_option_has_words():
    top = renalct("--help")
    assert top.returncode == 0 and all(name in top.stdout for name in COMMANDS)
    for name in COMMANDS:
        result = renalct(name, "--help")
        assert result.returncode == 0, result.stderr
        assert "example" in result.stdout, f"{name} has no example"


def test_a_mistyped_command_or_option_is_answered_with_the_nearest_one():
    refused(renalct("pedict"), 2, "did you mean predict")
    refused(renalct("predict", "x", "-o", "y", "--releese", "z"), 2, "did you mean --release")
    refused(renalct("predict", "x"), 2, "-o/--output")


def test_predict_writes_every_file_and_prints_the_same_report(study, release, tmp_path):
    result = process("predict", study, "-o", tmp_path / "out", "--release", release, "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    report = json.loads(result.stdout)
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert {"label_map.nii.gz", "report.html", "series.json", "sr.dcm"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }
    skipped = json.loads((tmp_path / "out" / "series.json").read_text())["skipped_files"]
    assert sorted(file["reason"] for file in skipped) == ["is a scout (localizer), not a slice", "is not a DICOM file"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_folder_zip_and_nifti_give_the_same_voxels(study, release, volume, tmp_path):
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in study.rglob("*.dcm"):
            archive.write(path, path.relative_to(study))
    outputs = []
    for source in (study, tmp_path / "study.zip"):
        out = tmp_path / f"out{len(outputs)}"
        assert renalct("predict", source, "-o", out, "--release", release, "--quiet").returncode == 0
        outputs.append(read_label_map(out / "label_map.nii.gz"))
    np.testing.assert_array_equal(outputs[0].values, outputs[1].values)
    nib.Nifti1Image(np.asarray(volume.hu), volume.grid.affine).to_filename(tmp_path / "ct.nii.gz")
    result = renalct("predict", tmp_path / "ct.nii.gz", "-o", tmp_path / "n", "--release", release)
    assert result.returncode == 0 and "Read from NIfTI" in result.stdout
    np.testing.assert_array_equal(read_label_map(tmp_path / "n" / "label_map.nii.gz").values, outputs[0].values)


def test_a_place_without_ct_is_refused_with_the_reason(tmp_path, volume):
    refused(process("predict", tmp_path / "nothing", "-o", tmp_path / "out"), 2, "there is no file or folder")
    (tmp_path / "empty").mkdir()
    refused(renalct("predict", tmp_path / "empty", "-o", tmp_path / "out"), 2)
    write_scout(volume, tmp_path / "scout", settings=SeriesSettings("x"))
    refused(renalct("predict", tmp_path / "scout", "-o", tmp_path / "out"), 2, "no CT", "scout")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("hello")
    refused(renalct("predict", tmp_path / "text", "-o", tmp_path / "out"), 2, "no CT")
    assert not (tmp_path / "out").exists()


def test_a_missing_slice_is_named_and_nothing_is_left(study, tmp_path):
    shutil.copytree(study / "ct", tmp_path / "ct")
    sorted((tmp_path / "ct").iterdir())[5].unlink()
    refused(renalct("predict", tmp_path / "ct", "-o", tmp_path / "out"), 2, "missing", "mm")
    assert [p.name for p in tmp_path.iterdir()] == ["ct"]


def test_a_corrupt_file_and_truncated_pixels_are_named(study, tmp_path):
    shutil.copytree(study / "ct", tmp_path / "ct")
    victim = sorted((tmp_path / "ct").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:-500])
    refused(renalct("predict", tmp_path / "ct", "-o", tmp_path / "out"), 2, victim.name)
    victim.write_bytes(b"\0" * 128 + b"DICM" + b"rubbish" * 30)
    refused(renalct("predict", tmp_path / "ct", "-o", tmp_path / "out"), 2, "missing")


def test_a_changed_weight_file_is_refused_by_its_digest(study, release, tmp_path):
    shutil.copytree(release, tmp_path / "release")
    victim = next((tmp_path / "release").glob("*.safetensors"))
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(bytes(data))
    result = renalct("predict", study, "-o", tmp_path / "out", "--release", tmp_path / "release")
    refused(result, 3, victim.name, "sha256")
    refused(renalct("predict", study, "-o", tmp_path / "out", "--release", tmp_path / "no"), 3, "release.json")
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_refused_before_the_work(study, release, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(renalct("predict", study, "-o", tmp_path / "file", "--release", release), 2, "not a folder")
    refused(renalct("predict", study, "-o", tmp_path / "file" / "x", "--release", release), 2, "cannot be written")
    refused(renalct("predict", study, "-o", "/proc/renalct", "--release", release), 2, "cannot be written")


def test_an_unknown_series_is_refused_with_those_that_there_are(study, release, tmp_path):
    refused(renalct("predict", study, "-o", tmp_path / "out", "--series", "1.2.3"), 2, "no CT series 1.2.3", "2.25.")


def test_a_bug_of_ours_is_one_sentence_and_a_traceback_only_on_request(monkeypatch, capsys):
    import renalct.commands.predict

    def broken(arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(renalct.commands.predict, "run", broken)
    assert main(["predict", "x", "-o", "y"]) == 1
    assert "a bug in renalct" in capsys.readouterr().err
    with pytest.raises(ZeroDivisionError):
        main(["predict", "x", "-o", "y", "--debug"])
