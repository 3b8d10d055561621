import json
import math

import numpy as np
import pytest
from renalct.__main__ import main
from renalct.core.labels import Region, Structure
from renalct.core.volume import LabelMap
from renalct.formats import nifti
from renalct.learning.readers import agreements, disagreement_queue, independent_readings, summarize
from renalct.learning.store import REPEAT, LabelStore, StoredImage, VersionNote
from shapes import grid_of

GRID = grid_of((30, 20, 20), (2.0, 2.0, 3.0))


def labels(tumor=range(10, 16), cyst=None):
    """A kidney of 20 x 10 x 10 voxels with a tumor in some of its columns, and perhaps a cyst."""
    values = np.zeros(GRID.shape, np.uint8)
    values[5:25, 5:15, 5:15] = Structure.KIDNEY
    values[list(tumor), 5:15, 5:15] = Structure.TUMOR
    if cyst is not None:
        values[cyst, 5:15, 5:15] = Structure.CYST
    return LabelMap(values, GRID)


@pytest.fixture
def store(tmp_path):
    with_cases = LabelStore(tmp_path / "store")
    with_cases.register([StoredImage(name, f"{name}.nii.gz") for name in ("a", "b", "c")])
    yield with_cases
    with_cases.close()


def commit(store, tmp_path, image, author, label_map, **more):
    path = tmp_path / "label.nii.gz"
    nifti.write_label_map(label_map, path)
    info_json = more.pop("info_json", "")
    return store.commit(image, path, suffix=".nii.gz", note=VersionNote(author=author, info_json=info_json), **more)


def test_readings_of_two_authors_are_compared_by_structure_and_region(store, tmp_path):
    commit(store, tmp_path, "a", "ann", labels())
    commit(store, tmp_path, "a", "bob", labels(tumor=range(12, 18)))  # 4 of 6 columns in both: 2 * 4 / 12
    (pair,) = agreements(store)
    assert (pair.image_id, pair.first, pair.second, pair.is_repeat) == ("a", "ann", "bob", False)
    assert [each.structure for each in pair.structures] == [Structure.KIDNEY, Structure.TUMOR]
    assert pair.structures[0].dice == pytest.approx(2 * 12 / 28)
    assert pair.lowest == pytest.approx(2 / 3) and pair.lowest_structure is Structure.TUMOR
    regions = {each.region: each for each in pair.regions}
    assert regions[Region.KIDNEY_AND_MASS].dice == regions[Region.KIDNEY_AND_MASS].surface_dice == 1.0
    assert regions[Region.TUMOR].dice == pytest.approx(2 / 3)
    assert regions[Region.TUMOR].surface_dice < 1


def test_what_neither_reader_has_is_no_agreement(store, tmp_path):
    for author in ("ann", "bob"):
        commit(store, tmp_path, "a", author, labels(tumor=()))
    (pair,) = agreements(store)
    assert [each.structure for each in pair.structures] == [Structure.KIDNEY]
    assert [each.region for each in pair.regions] == [Region.KIDNEY_AND_MASS]


def test_a_structure_that_one_reader_alone_has_disagrees_altogether(store, tmp_path):
    commit(store, tmp_path, "a", "ann", labels())
    commit(store, tmp_path, "a", "bob", labels(cyst=20))
    (pair,) = agreements(store)
    assert (pair.lowest, pair.lowest_structure) == (0.0, Structure.CYST)


def test_a_correction_of_another_authors_label_is_no_reading(store, tmp_path):
    first = commit(store, tmp_path, "a", "ann", labels())
    commit(store, tmp_path, "a", "bob", labels(tumor=range(12, 18)), parent=first.number)
    assert [version.note.author for version in independent_readings(store, "a")] == ["ann"]
    assert tuple(agreements(store)) == ()


def test_the_newest_own_reading_of_each_author_counts(store, tmp_path):
    first = commit(store, tmp_path, "a", "ann", labels(tumor=()))
    commit(store, tmp_path, "a", "bob", labels())
    commit(store, tmp_path, "a", "ann", labels(), parent=first.number)
    (pair,) = agreements(store)
    assert pair.lowest == 1.0


def test_a_blind_repeat_is_compared_with_its_authors_own_reading(store, tmp_path):
    commit(store, tmp_path, "a", "ann", labels())
    commit(store, tmp_path, "a", "ann", labels(tumor=range(13, 16)), tag=REPEAT)
    (pair,) = agreements(store)
    assert pair.is_repeat and pair.lowest == pytest.approx(2 * 3 / 9)
    assert disagreement_queue([pair]) == ()


def test_only_what_both_have_done_is_compared(store, tmp_path):
    done = json.dumps({"assessed_region": {"boxes": [[0, 30, 0, 20, 0, 10]]}})
    half = labels().values.copy()
    half[:, :, 10:] = 0
    commit(store, tmp_path, "a", "ann", labels())
    commit(store, tmp_path, "a", "bob", LabelMap(half, GRID), info_json=done)
    (pair,) = agreements(store)
    assert pair.lowest == 1.0


@pytest.fixture
def read_store(store, tmp_path):
    """Three pairs: case a with a tumor Dice of 2/3, b with 1, c with 1/3."""
    for image, columns in (("a", range(12, 18)), ("b", range(10, 16)), ("c", range(14, 20))):
        commit(store, tmp_path, image, "ann", labels())
        commit(store, tmp_path, image, "bob", labels(tumor=columns))
    return store


def test_the_queue_begins_with_the_lowest_agreement(read_store):
    pairs = tuple(agreements(read_store))
    assert [pair.image_id for pair in disagreement_queue(pairs)] == ["c", "a", "b"]
    assert [pair.image_id for pair in disagreement_queue(pairs, below=0.5)] == ["c"]


def test_the_summary_stands_beside_what_readers_of_kits19_reach(read_store):
    rows = {row.region: row for row in summarize(tuple(agreements(read_store)))}
    tumor = rows[Region.TUMOR]
    assert (tumor.dice, tumor.lowest_dice) == pytest.approx((2 / 3, 1 / 3))
    assert (tumor.pairs, tumor.cases, tumor.kits19_dice) == (3, 3, 0.923)
    assert rows[Region.KIDNEY_AND_MASS].kits19_dice == 0.983 and math.isnan(rows[Region.MASS].kits19_dice)
    assert summarize(()) == ()


def test_the_command_prints_both(read_store, capsys):
    assert main(["readers", str(read_store.folder), "--below", "0.7"]) == 0
    printed = capsys.readouterr().out
    assert "different readers: 3 pairs of readings of 3 cases" in printed
    assert "(KiTS19 0.923)" in printed
    assert printed.index("0.333 tumor          c  ann, bob") < printed.index("0.667 tumor          a  ann, bob")
    assert main(["readers", str(read_store.folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in data["queue"]] == ["c", "a"] and len(data["pairs"]) == 3


@pytest.mark.parametrize(
    ("words", "sentence"), [(("nowhere",), "there is no folder"), ((".", "--below", "3"), "--below is 3")]
)
def test_the_command_says_what_it_needs(words, sentence, capsys):
    assert main(["readers", *words]) == 2
    assert sentence in capsys.readouterr().err
