import json

import numpy as np
import pytest
from PIL import Image
from renalct.__main__ import main
from renalct.commands import phantom as command
from renalct.core.errors import InputError
from renalct.core.labels import Structure
from renalct.formats.labelled import find_labelled, read_labelled
from renalct.models import training
from renalct.models.cases import Origin
from renalct.models.lineage import RunSettings
from renalct.models.made_cases import kits_like_files, kits_like_sources, transplanted_case
from renalct.models.recipes import recipe_named
from renalct.models.run_folder import RunRecord
from renalct.models.run_plan import RunPlan
from renalct.models.splits import Split
from renalct.models.trained import KITS_LICENCE, PHANTOM_LICENCE, trained_on
from renalct.models.training import training_files

SMALL = (72, 60, 10)


def label_maps(folder, count=2):
    """Two ellipsoid kidneys, one with a tumor, at 4 mm, as npz."""
    folder.mkdir()
    for n in range(count):
        z, y, x = np.indices((34, 22, 56)).astype(float)
        label = np.zeros(z.shape, np.uint8)
        for middle in (12, 43):
            label[((x - middle) / 7) ** 2 + ((y - 11) / 6) ** 2 + ((z - 17) / 13) ** 2 < 1] = 1
        label[((x - 8) ** 2 + (y - 11) ** 2 + (z - 17) ** 2) < 12 + n] = 2
        np.savez(
            folder / f"case_{n:05d}.npz", label=label, spacing_zyx_mm=np.float32([4, 4, 4]),
            offset_zyx=np.int16([10, 30, 30]), volume_shape_zyx=np.int16([60, 100, 116]),
            native_spacing_zyx_mm=np.float32([5, 2.4, 2.4]),
        )  # fmt: skip
    return folder


def stacks(folder, count=2):
    """Slabs of 4 slices: fat with a kidney on each side; the one on the right has a tumor."""
    for n in range(count):
        case = folder / f"case_{n:05d}"
        case.mkdir(parents=True)
        hu, label = np.full((96, 96), -100.0), np.zeros((96, 96), np.uint8)
        for left in (12, 62):
            hu[36:62, left : left + 24], label[36:62, left : left + 24] = 150 - 20 * n, 1
        hu[44:52, 16:24], label[44:52, 16:24] = 60, 2
        for z in range(4):
            Image.fromarray(np.uint8((hu + 1024) / 10)).save(case / f"image_{z:04d}.webp", lossless=True)
            Image.fromarray(label).save(case / f"label_{z:04d}.png")
        slices = [{"z": z, "hu_slope": 10.0, "hu_intercept": -1024.0} for z in range(4)]
        record = {"case": case.name, "spacing_zyx_mm": [3, 1, 1], "crop_y0_y1_x0_x1": [0, 96, 0, 96], "slices": slices}
        (case / "case.json").write_text(json.dumps({**record, "histology": "papillary_rcc"}))
    return folder


def test_a_made_case_is_a_phantom_of_its_own_patient_and_follows_from_its_seed(tmp_path):
    maps = label_maps(tmp_path / "maps")
    one, two = kits_like_files(maps, range(3, 5), shape=SMALL)
    assert (one.name, one.patient, one.origin) == ("made_000003", "made_000003", Origin.PHANTOM)
    (case,), (again,), (other,) = one.load(), kits_like_files(maps, range(3, 4), shape=SMALL)[0].load(), two.load()
    assert case.volume.grid.shape == SMALL and case.volume.grid.spacing_mm == pytest.approx((2.4, 2.4, 5))
    assert (case.label_map.values > 0).any()
    np.testing.assert_array_equal(case.volume.hu, again.volume.hu)
    assert not np.array_equal(case.volume.hu, other.volume.hu)


def test_without_label_maps_the_kidneys_are_procedural():
    (case,) = kits_like_files(None, range(1), shape=SMALL)[0].load()
    assert (case.label_map.values == Structure.KIDNEY).any()


def test_only_patients_that_are_named_are_used(tmp_path):
    maps, slabs = label_maps(tmp_path / "maps"), stacks(tmp_path / "stacks")
    sources = kits_like_sources(maps, stacks=slabs, patients={"case_00001"})
    assert [p.stem for p in sources.label_maps] == ["case_00001"] == [f.patient for f in sources.stacks]
    with pytest.raises(InputError, match="none of the patients"):
        kits_like_sources(maps, patients={"case_99999"})


def test_slabs_get_masses_of_other_slabs(tmp_path):
    sources = kits_like_sources(stacks=stacks(tmp_path / "stacks"))
    found = [transplanted_case(sources, np.random.default_rng(seed), seed=seed) for seed in range(8)]
    made = [case for case in found if case is not None]
    assert made
    for case in made:
        for mass in case.masses:
            inside = np.zeros(case.volume.grid.shape, bool)
            mass.mask.paint(inside, True)
            assert set(np.unique(case.label_map.values[inside])) <= {2, 3, 4}


def test_the_command_writes_a_folder_that_reads_as_kits(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "_LIKE_SHAPE", SMALL)
    out, maps = tmp_path / "made", label_maps(tmp_path / "maps")
    arguments = ["phantom", "--like", "kits", "--label-maps", str(maps), "--cases", "2", "-o", str(out)]
    assert main([*arguments, "--seed", "4"]) == 0
    assert "Wrote 2 cases" in capsys.readouterr().out
    pairs = find_labelled(out).pairs
    assert [pair.name for pair in pairs] == ["case_00001", "case_00002"]
    (image,) = read_labelled(pairs[0])
    (made,) = kits_like_files(maps, range(4, 5), shape=SMALL)[0].load()
    np.testing.assert_array_equal(image.volume.hu, made.volume.hu)
    np.testing.assert_array_equal(image.label_map.values, made.label_map.values)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cases", "2"], "need --like kits"),
        (["--like", "kits", "--cases", "0"], "from 1 up"),
        (["--like", "kits", "--label-maps", "nowhere"], "no label maps"),
    ],
)
def test_wrong_options_are_one_sentence_and_exit_code_2(tmp_path, capsys, options, words):
    assert main(["phantom", "-o", str(tmp_path / "x"), *options]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_a_training_makes_its_cases_of_no_patient_that_is_held_out(tmp_path, monkeypatch):
    maps, slabs = label_maps(tmp_path / "maps", 4), stacks(tmp_path / "stacks", 4)
    names = [f"case_{n:05d}" for n in range(4)]
    record = RunRecord(recipe_named("starter"), RunSettings(phantoms=0, made=2), 2, 1, "abc")
    split = Split(tuple(names[:2]), (names[2],), (names[3],))
    seen = []
    monkeypatch.setattr(training, "kits_like_files", lambda *a, **k: seen.append((a, k)) or kits_like_files(*a, **k))
    files = training_files(record, split, (), RunPlan(label_maps=maps, stacks=slabs))
    assert [f.name for f in files] == ["made_000000", "made_000001"]
    ((_, options),) = seen
    sources = kits_like_sources(maps, stacks=slabs, without=options["without"])
    assert [path.stem for path in sources.label_maps] == [f.patient for f in sources.stacks] == names[:2]
    with pytest.raises(InputError, match="none of the patients"):
        kits_like_sources(maps, without=names)


@pytest.mark.parametrize(
    ("patients", "licence", "line"),
    [
        (2, KITS_LICENCE, "KiTS19 slices of 2 patients and on 3 synthetic volumes like those of KiTS; accuracy"),
        (0, KITS_LICENCE, "zero patient images, on 3 synthetic volumes like those of KiTS; no accuracy on patients"),
        (0, "", "zero patient images, on 3 synthetic volumes like those of KiTS; no accuracy on patients"),
    ],
)
def test_what_is_made_of_label_maps_carries_their_licence(patients, licence, line):
    record = RunRecord(
        recipe_named("starter"), RunSettings(phantoms=0, made=3), patients, 0, "abc", 0, "KiTS19 slices", licence
    )
    told = trained_on(record, ())
    assert line in told and (licence or PHANTOM_LICENCE).split(" (")[0] in told
