from dataclasses import replace

import numpy as np
import pytest
from renalct.core.grid import Grid
from renalct.core.labels import Region, Structure
from renalct.core.volume import LabelMap
from renalct.learning.rehearsal.marks import mark, overlap
from renalct.learning.rehearsal.outcome import lost_labels
from renalct.learning.rehearsal.people import points, reviewed_as
from renalct.learning.rehearsal.report import Handed, Planted, Rehearsal, Served, Trained, write_report
from renalct.learning.store import LabelStore, StoredImage, VersionNote

GRID = Grid((4, 4, 2), np.eye(4))
MARKS = (mark(Region.KIDNEY_AND_MASS, [0.5, 0.7]), mark(Region.MASS, [0.1, 0.3]))
BETTER = (mark(Region.KIDNEY_AND_MASS, [0.8, 0.9]), mark(Region.MASS, [0.2, 0.5]))


def a_rehearsal(**changes) -> Rehearsal:
    handed = (
        Handed(1, "anna", "a", 1, "0" * 64, dice=0.9),
        Handed(1, "carla", "b", 1, "1" * 64, ("Warning: a hole <here>",), dice=0.8),
        Handed(1, "carla", "b", 2, "2" * 64, dice=1.0),
    )
    served = (Served(1, "anna", "a"), Served(1, "carla", "b"))
    trained = (Trained(1, 2, "published", "kidney: 0.24 -> 0.62: better", "v0002", 10.0, 40.0, BETTER),)
    whole = Rehearsal(
        2, (("anna", "careful"), ("carla", "forgetful")), MARKS, served, handed, (), 3, trained,
        Planted(False, False, "refused"), 0.0, 60.0,
    )  # fmt: skip
    return replace(whole, **changes)


def test_a_case_that_is_given_to_two_is_a_duplicate():
    assert a_rehearsal().duplicates == 0
    twice = (Served(1, "anna", "a"), Served(1, "ben", "b"), Served(2, "carla", "a"), Served(2, "carla", "b"))
    assert a_rehearsal(served=twice).duplicates == 2


def test_the_same_label_twice_is_one_version():
    handed = (Handed(1, "ben", "a", 1, "0" * 64), Handed(1, "ben", "a", 1, "0" * 64))
    assert a_rehearsal(handed=handed).versions == 1


def test_an_annotator_is_told_by_first_and_last_labels():
    carla = a_rehearsal().annotators[1]
    assert (carla["cases"], carla["submissions"], carla["pointed"], carla["open"]) == (1, 2, 1, 0)
    assert carla["dice"] == 1.0


def test_each_loop_is_compared_with_what_was_published_before_it():
    second = replace(a_rehearsal().trained[0], loop=2, marks=MARKS)
    rows = a_rehearsal(trained=(a_rehearsal().trained[0], second)).rounds
    assert [[(before.mean, after.mean) for before, after in row["pairs"]] for row in rows] == [
        [(pytest.approx(0.6), pytest.approx(0.85)), (pytest.approx(0.2), pytest.approx(0.35))],
        [(pytest.approx(0.85), pytest.approx(0.6)), (pytest.approx(0.35), pytest.approx(0.2))],
    ]


def test_the_report_is_escaped_on_the_page_only(tmp_path):
    lost = ("version 1 of <b> by anna: gone",)
    text, page, _ = write_report(a_rehearsal(lost=lost), tmp_path)
    assert "version 1 of <b> by anna" in text.read_text()
    assert "version 1 of &lt;b&gt; by anna" in page.read_text()
    assert "0.600 (0.500 to 0.700)" in text.read_text() and "0.600 (0.500 to 0.700)" in page.read_text()


def test_a_label_that_is_missing_or_another_one_is_lost(tmp_path):
    store = LabelStore(tmp_path)
    store.register([StoredImage("a", "a")])
    version = store.commit("a", b"label", suffix=".nii.gz", note=VersionNote("anna"))
    kept = Handed(1, "anna", "a", 1, version.sha256)
    assert lost_labels(store, [kept]) == ()
    (missing,) = lost_labels(store, [replace(kept, version=2)])
    assert "no version 2" in missing
    (another,) = lost_labels(store, [replace(kept, sha256="0" * 64)])
    assert "another label" in another
    (whose,) = lost_labels(store, [replace(kept, annotator="ben")])
    assert "another label" in whose
    store.blob_path(version.sha256).unlink()
    (gone,) = lost_labels(store, [kept])
    assert "version 1 of a by anna" in gone
    store.close()


def test_dice_of_half_an_organ_is_two_thirds():
    whole, half, none = (np.zeros(GRID.shape, np.uint8) for _ in range(3))
    whole[:, :, 0], half[:2, :, 0] = Structure.KIDNEY, Structure.TUMOR
    maps = [LabelMap(values, GRID) for values in (whole, half, none)]
    assert overlap(maps[0], maps[1], Region.KIDNEY_AND_MASS) == pytest.approx(2 / 3)
    assert overlap(maps[0], maps[1], Region.MASS) == 0.0
    assert overlap(maps[2], maps[2], Region.MASS) == 1.0


def test_errors_are_disputed_and_notes_are_passed_over():
    checks = ("Error: two of it", "Warning: a hole", "Note: small", "No finding: the labels passed all checks.")
    assert points(checks) == checks[:2]
    assert reviewed_as(checks) == "flagged"
    assert reviewed_as(checks[1:]) == "approved"
