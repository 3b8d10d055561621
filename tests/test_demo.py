"""The demonstration from end to end, with the release that ships in the package."""

import json

import numpy as np
import pydicom
import pytest
from renalct.__main__ import main
from renalct.core.labels import Region
from renalct.formats.nifti import read_label_map
from renalct.synthetic.phantom import demo_settings, make_phantom


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    assert main(["demo", "-o", str(folder / "demo"), "--quiet"]) == 0
    return folder / "demo"


@pytest.fixture(scope="module")
def report(demo):
    return json.loads((demo / "result" / "report.json").read_text())


def test_every_kind_of_result_is_there(demo):
    names = {path.name for path in (demo / "result").iterdir()}
    assert {"report.html", "report.json", "label_map.nii.gz", "series.json"} <= names
    assert {"seg.dcm", "sr.dcm", "key_objects.dcm", "class_activation_1.dcm", "key_image_1.dcm"} <= names
    modalities = {pydicom.dcmread(demo / "result" / name).Modality for name in names if name.endswith(".dcm")}
    assert {"SEG", "SR", "KO"} <= modalities


def test_both_kidneys_and_a_mass_where_each_was_made_are_found(demo, report):
    assert [kidney["side"] for kidney in report["kidneys"]] == ["right", "left"]
    found = read_label_map(demo / "result" / "label_map.nii.gz").region(Region.MASS)
    for made in make_phantom(demo_settings(), seed=1).masses:
        covered = np.count_nonzero(found[made.mask.box.slices] & made.mask.voxels)
        assert covered > 0.1 * made.mask.count, f"the {made.mass_class.title} was not found"
    large = [mass for mass in report["masses"] if mass["volume_ml"] > 1]
    assert sorted(mass["side"] for mass in large) == ["left", "right", "right"]


def test_the_solid_mass_and_the_cyst_get_their_class(report):
    large = [mass for mass in report["masses"] if mass["volume_ml"] > 1]
    (solid,) = (mass for mass in large if mass["side"] == "left")
    cyst = min((mass for mass in large if mass["side"] == "right"), key=lambda mass: mass["hu"]["mean"])
    assert (solid["class"], cyst["class"]) == ("solid", "cystic")


def test_the_label_map_covers_what_was_made(demo):
    truth = make_phantom(demo_settings(), seed=1).label_map
    found = read_label_map(demo / "result" / "label_map.nii.gz")
    assert found.grid.shape == truth.grid.shape
    np.testing.assert_allclose(found.grid.affine, truth.grid.affine, atol=1e-4)
    for region, least in ((Region.KIDNEY_AND_MASS, 0.9), (Region.MASS, 0.4)):
        a, b = truth.region(region), found.region(region)
        assert 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)) > least


def test_the_report_says_first_what_the_weights_were_trained_on(report):
    assert list(report)[:3] == ["schema_version", "warning", "trained_on"]
    assert "KiTS" in report["trained_on"] or "phantom" in report["trained_on"]


def test_the_closing_words_say_what_was_found_and_what_to_open(demo, capsys):
    assert main(["demo", "-o", str(demo), "--quiet"]) == 0
    last = capsys.readouterr().out.strip().splitlines()
    assert any(line.startswith("Found 2 kidneys") for line in last)
    assert last[-1].startswith("Open ") and "report.html" in last[-1]


def test_a_folder_that_no_demo_wrote_is_left_alone(tmp_path, capsys):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.txt").write_text("years of work")
    assert main(["demo", "-o", str(tmp_path), "--quiet"]) == 2
    assert "thesis" not in capsys.readouterr().out and (tmp_path / "study" / "thesis.txt").is_file()
