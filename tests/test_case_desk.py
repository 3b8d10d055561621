"""Cases handed out and labels handed in, on a folder of tiny images, without a server."""

import nibabel as nib
import numpy as np
import pytest
from renalct.core.errors import InputError, LabelError
from renalct.core.grid import Grid
from renalct.core.labels import Structure
from renalct.core.volume import CTVolume, LabelMap
from renalct.formats.nifti import read_label_map, write_label_map, write_volume
from renalct.learning.acquisition.choice import RoundOrders
from renalct.learning.acquisition.scoring import Scorer, model_key
from renalct.learning.acquisition.strategies import Strategy
from renalct.learning.acquisition.why import ImageScore, Place, Why
from renalct.learning.case_desk import CaseDesk
from renalct.learning.case_order import order_by
from renalct.learning.case_records import counted, overview
from renalct.learning.case_words import Back, DeskSettings, Ranked
from renalct.learning.image_source import ImageFolder
from renalct.learning.store import CaseState, LabelStore, Purpose, SegmentationMeta

GRID = Grid((4, 4, 4), np.eye(4))
INFO = {"label_info": [{"name": "kidney", "idx": 1}, {"name": "tumor", "idx": 2}]}


@pytest.fixture
def clock():
    return [1000.0]


@pytest.fixture
def desk(tmp_path, clock):
    return make_desk(tmp_path, clock)


def make_desk(tmp_path, clock, count=4, **settings):
    folder = tmp_path / "studies"
    folder.mkdir()
    for number in range(count):
        hu = np.full(GRID.shape, -50 + number, np.int16)
        write_volume(CTVolume(hu, GRID), folder / f"case {number}.nii.gz")
    store = LabelStore(tmp_path / "labels", clock=lambda: clock[0])
    return CaseDesk(store, ImageFolder(folder, cache=tmp_path / "images"), settings=DeskSettings(**settings))


def in_order(images, client):
    return [Ranked(image.image_id, {"sentence": f"because of {image.image_id}"}) for image in images]


def label(tmp_path, value=1):
    values = np.zeros(GRID.shape, np.uint8, order="F")
    values[1:3, 1:3, 1:3] = value
    path = tmp_path / f"label{value}.nii.gz"
    write_label_map(LabelMap(values, GRID), path)
    return path


def hand_in(desk, tmp_path, image_id, author, value=1, tag="final", **info):
    return desk.hand_in(image_id, label(tmp_path, value), tag=tag, author=author, info={**INFO, **info}).version


def test_every_client_gets_another_case_with_its_why_until_none_is_left(desk):
    given = [desk.next_fresh(client, in_order) for client in "abcd"]
    assert [each.image.image_id for each in given] == ["case 0", "case 1", "case 2", "case 3"]
    assert given[1].why == {"sentence": "because of case 1"}
    assert desk.next_fresh("e", in_order) is None


def test_a_client_that_asks_again_gets_another_case_and_its_own_only_at_the_end(desk):
    first = [desk.next_fresh("a", in_order).image.image_id for _ in range(4)]
    assert sorted(first) == ["case 0", "case 1", "case 2", "case 3"]
    assert desk.next_fresh("a", in_order).image.image_id == "case 0"


def test_a_case_returns_to_the_pool_when_its_lease_ends(tmp_path, clock):
    desk = make_desk(tmp_path, clock, count=1, lease_minutes=10)
    assert desk.next_fresh("a", in_order).lease.expires_at == 1000 + 600
    assert desk.next_fresh("b", in_order) is None
    clock[0] += 601
    assert desk.next_fresh("b", in_order).image.image_id == "case 0"


def test_a_labelled_case_is_not_handed_out_again_unless_two_readings_are_planned(tmp_path, clock):
    desk = make_desk(tmp_path, clock, count=1, readings=2)
    desk.next_fresh("a", in_order)
    hand_in(desk, tmp_path, "case 0", "a")
    assert desk.next_fresh("a", in_order) is None
    assert desk.next_fresh("b", in_order).image.image_id == "case 0"
    hand_in(desk, tmp_path, "case 0", "b")
    assert desk.next_fresh("c", in_order) is None


def test_one_goes_back_to_ones_own_newest_label_first(desk, tmp_path, clock):
    for image_id, author in (("case 0", "a"), ("case 1", "b"), ("case 2", "a")):
        hand_in(desk, tmp_path, image_id, author)
        clock[0] += 1
    given = desk.next_back("a", Back.MINE)
    assert (given.image.image_id, given.lease.purpose) == ("case 2", Purpose.CORRECT)
    assert desk.reopened("a", "case 2").note.author == "a"
    assert desk.reopened("b", "case 2") is None
    corrected = hand_in(desk, tmp_path, "case 2", "a", value=2)
    assert (corrected.number, corrected.parent) == (2, 1)
    assert desk.reopened("a", "case 2") is None, "the correction ended with the save"


def test_a_reviewer_gets_flagged_and_submitted_cases(desk, tmp_path):
    hand_in(desk, tmp_path, "case 0", "a")
    hand_in(desk, tmp_path, "case 1", "a")
    desk.store.set_state("case 1", CaseState.FLAGGED, by="rev")
    assert desk.next_back("rev", Back.FLAGGED).image.image_id == "case 1"
    assert desk.next_back("rev", Back.REVIEW).image.image_id == "case 0"
    assert desk.next_back("other", Back.FLAGGED) is None


def test_a_case_by_its_id_that_another_client_has_is_refused_in_a_sentence(desk):
    desk.next_back("a", Back.CASE, image_id="case 3")
    with pytest.raises(InputError, match="with another annotator"):
        desk.next_back("b", Back.CASE, image_id="case 3")
    with pytest.raises(InputError, match="there is no image"):
        desk.next_back("b", Back.CASE, image_id="../case 3")


def test_a_blind_repeat_looks_like_any_case_and_does_not_replace_the_label(desk, tmp_path):
    hand_in(desk, tmp_path, "case 0", "a")
    desk.store.plan_repeats(["case 0"], after=1, by="lead")
    hand_in(desk, tmp_path, "case 1", "a")
    given = desk.next_fresh("a", in_order)
    assert (given.image.image_id, dict(given.why)) == ("case 0", {})
    repeat = hand_in(desk, tmp_path, "case 0", "a", value=2)
    assert repeat.tag == "repeat"
    assert desk.store.final("case 0").number == 1


def test_the_release_that_was_shown_is_noted_on_the_label(desk, tmp_path):
    desk.show("a", "case 0", "f" * 64)
    assert hand_in(desk, tmp_path, "case 0", "a").note.model == "f" * 64
    assert hand_in(desk, tmp_path, "case 1", "a").note.model == ""


def test_the_reviewers_versions_are_those_of_the_final_label(desk, tmp_path):
    hand_in(desk, tmp_path, "case 0", "a")
    second = hand_in(desk, tmp_path, "case 0", "rev", value=2, tag="version_2")
    assert (second.tag, second.number) == ("final", 2)
    assert desk.find_label("case 0", "version_1").note.author == "a"
    desk.review("case 0", "version_1", SegmentationMeta("approved", level="easy"), by="rev")
    assert desk.store.final("case 0").number == 3, "the first version is the newest again"
    assert desk.store.state("case 0") is CaseState.APPROVED
    labels = overview(desk)["objects"]["case 0"]["labels"]
    assert list(labels) == ["final", "version_1", "version_2", "version_3"]


def test_a_label_that_is_taken_back_stays_a_version_and_the_case_is_fresh_again(desk, tmp_path):
    hand_in(desk, tmp_path, "case 0", "a")
    desk.take_back("case 0", "final", by="admin")
    assert counted(desk)["completed"] == 0
    with pytest.raises(InputError, match="has no label 'final'"):
        desk.find_label("case 0", "final")
    assert desk.find_label("case 0", "version_1").number == 1
    assert "case 0" in desk.unlabelled()


def test_a_models_answer_is_never_kept_as_a_label(desk):
    answer = LabelMap(np.zeros(GRID.shape, np.uint8), GRID)
    assert desk.keep_answer("case 0", answer, model="a" * 64).tag == "original"
    for tag in ("final", "repeat", "version_3"):
        with pytest.raises(InputError, match="is no"):
            desk.keep_answer("case 0", answer, model="a" * 64, tag=tag)
    assert counted(desk)["completed"] == 0


@pytest.mark.parametrize("tag", ["..", "../x", "", "a b"])
def test_a_bad_tag_leaves_nothing_behind(desk, tmp_path, tag):
    with pytest.raises(InputError, match="cannot be the tag"):
        hand_in(desk, tmp_path, "case 0", "a", tag=tag)
    assert not [path for path in (tmp_path / "labels" / "blobs").rglob("*") if path.is_file()]


def score(value):
    place = Place((0, 1, 2), (3, 4, 4), (1.0, 2.0, 3.0), (3.0, 3.0, 2.0))
    whys = (Why(value, "tumor", place, "tumor: the model is unsure here"),)
    return ImageScore(value, (0.0, value, 0.0), (1.0, 1.0, 0.0), whys)


def test_the_least_certain_case_comes_first_with_score_class_and_box(desk):
    desk.images()
    scores = {f"case {n}": score(value) for n, value in enumerate((0.1, 0.9, 0.5))}
    key = model_key(Scorer.ENTROPY, "digest")
    kept = {name: (each.value, each.to_text()) for name, each in scores.items()}
    desk.store.put_scores(key, Scorer.ENTROPY.value, kept)
    given = desk.next_fresh("a", order_by(Strategy.ENTROPY, desk.store, "digest"))
    assert given.image.image_id == "case 1"
    assert given.why == {
        "strategy": "entropy", "score": 0.9, "class": "tumor", "sentence": "tumor: the model is unsure here",
        "box": [0, 3, 1, 4, 2, 4], "center_mm": [1.0, 2.0, 3.0],
    }  # fmt: skip
    names = [desk.next_fresh("a", order_by(Strategy.ENTROPY, desk.store, "digest")).image.image_id for _ in range(3)]
    assert names == ["case 2", "case 0", "case 3"], "what is not scored comes last"


def test_the_order_of_a_round_stands_while_its_cases_are_handed_out(tmp_path, clock):
    """Made anew for fewer cases it would be another one, and the turns of classes would begin again."""
    desk = make_desk(tmp_path, clock, count=8)
    images, order = list(desk.images().values()), order_by(Strategy.RANDOM, desk.store, None, rounds=RoundOrders())
    first = [ranked.image_id for ranked in order(images, "a")]
    for handed_out in range(1, 8):
        left = [image for image in images if image.image_id in first[handed_out:]]
        assert [ranked.image_id for ranked in order(left, "b")] == first[handed_out:]


def test_without_scores_every_strategy_hands_out_every_case(tmp_path, clock):
    desk = make_desk(tmp_path, clock, count=2)
    for strategy in Strategy:
        order = order_by(strategy, desk.store, None)(list(desk.images().values()), "a")
        assert sorted(each.image_id for each in order) == ["case 0", "case 1"], strategy
        assert all(each.why["strategy"] == strategy.value for each in order)


def test_what_was_said_of_a_structure_stands_with_the_label(desk, tmp_path):
    version = hand_in(desk, tmp_path, "case 0", "a", presence={"cyst": "absent"})
    assert dict(version.presence)[Structure.CYST].value == "absent"
    info = overview(desk)["objects"]["case 0"]["labels"]["final"]["info"]
    assert info["presence"]["cyst"] == "absent"


@pytest.mark.parametrize(
    ("segments", "said", "cyst"),
    [
        (["kidney", "no cyst"], None, "absent"),
        (["kidney", "No renal cyst"], {"tumor": "absent"}, "absent"),
        (["kidney", "no cyst"], {"cyst": "not assessed"}, "not assessed"),
        (["kidney", "cyst"], None, "not assessed"),
        (["kidney", "no idea"], None, "not assessed"),
    ],
)
def test_an_empty_segment_called_no_cyst_says_that_there_is_none(desk, tmp_path, segments, said, cyst):
    info = {"label_info": [{"name": name, "idx": number} for number, name in enumerate(segments, start=1)]}
    info |= {"presence": said} if said else {}
    version = desk.hand_in("case 0", label(tmp_path), tag="final", author="a", info=info).version
    assert dict(version.presence)[Structure.CYST].value == cyst
    assert dict(version.presence)[Structure.KIDNEY].value == "present"


@pytest.mark.parametrize(
    ("numbered", "value", "outcome"),
    [
        ({"kidney": 1, "tumor": 4, "cyst": 5, "angiomyolipoma": 6}, 1, "kidney"),
        ({"kidney": 1, "tumor": 4, "cyst": 5, "angiomyolipoma": 6}, 4, "may be 'tumor' or 'angiomyolipoma'"),
        ({"kidney": 1, "tumor": 4, "cyst": 5, "angiomyolipoma": 6}, 2, "the value 2 without a name"),
        ({"angiomyolipoma": 1, "cyst": 2, "left kidney": 5}, 5, "kidney"),
        ({"kidney": 1, "left kidney": 3, "right kidney": 4}, 3, "kidney"),
    ],
)
def test_numbers_with_gaps_never_put_a_label_under_another_name(desk, tmp_path, numbered, value, outcome):
    info = {"label_info": [{"name": name, "idx": number} for name, number in numbered.items()]}
    values = np.zeros(GRID.shape, np.uint8)
    values[1:3, 1:3, 1:3] = value
    path = tmp_path / "numbered.nii.gz"
    nib.save(nib.Nifti1Image(values, GRID.affine), path)
    if outcome != "kidney":
        with pytest.raises(LabelError, match=outcome):
            desk.hand_in("case 0", path, tag="final", author="a", info=info)
    else:
        version = desk.hand_in("case 0", path, tag="final", author="a", info=info).version
        assert set(np.unique(read_label_map(desk.store.label_path(version)).values)) == {0, 1}


def test_ten_thousand_cases_are_counted_and_handed_out_quickly(tmp_path, clock):
    import os
    import time

    desk = make_desk(tmp_path, clock, count=1)
    first = tmp_path / "studies" / "case 0.nii.gz"
    for number in range(1, 10_000):
        os.link(first, tmp_path / "studies" / f"case {number}.nii.gz")
    desk.source = ImageFolder(tmp_path / "studies", cache=tmp_path / "images")
    assert counted(desk)["total"] == 10_000
    started = time.process_time()
    counted(desk)
    assert time.process_time() - started < 0.05
    started = time.process_time()
    assert desk.next_fresh("a", order_by(Strategy.FG_RANDOM, desk.store, None)) is not None
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize("number", ["0", "9", "9" * 30, "\N{SUPERSCRIPT TWO}", "-1", ""])
def test_a_version_that_was_never_saved_is_refused_whatever_its_number(desk, tmp_path, number):
    hand_in(desk, tmp_path, "case 1", "ann")
    with pytest.raises(InputError, match="case 1"):
        desk.find_label("case 1", f"version_{number}")
