"""States of cases, which step is allowed, and the same in the words of MONAI Label's Reviewer."""

import pytest
from renalct.core.errors import InputError
from renalct.learning.store import CaseState, Level, Review, SegmentationMeta, reviewed_state, reviewer_meta
from renalct.learning.store.reviews import TRANSITIONS
from store_cases import Clock, commit, made_store

U, L, S, F, A, G = CaseState


@pytest.fixture
def store(tmp_path):
    return made_store(tmp_path, clock=Clock(1000.0))


def test_a_case_goes_from_unassigned_to_gold(store):
    assert store.review("case 0") == Review(U)
    store.lease("ann", ["case 0"], seconds=60)
    assert store.state("case 0") is L
    commit(store)
    assert store.review("case 0") == Review(S, by="ann", at=1000.0, version=1)
    store.set_state("case 0", A, by="lead", comment="good", level="hard")
    assert store.review("case 0") == Review(A, "good", Level.HARD, "lead", 1000.0, 1)
    store.set_state("case 0", G, by="lead")
    assert store.review("case 0") == Review(G, "", Level.HARD, "lead", 1000.0, 1)


def test_an_approval_is_of_a_version_and_a_new_label_asks_for_another(store):
    commit(store)
    store.set_state("case 0", A, by="lead")
    commit(store)  # the same label again
    assert store.state("case 0") is A
    commit(store, content=b"other", by="ben")
    assert store.review("case 0") == Review(S, by="ben", at=1000.0, version=2)


def test_a_flagged_case_is_submitted_when_it_is_corrected_or_confirmed(store):
    commit(store)
    for content in (b"label", b"corrected"):
        store.set_state("case 0", F, by="lead", comment="the cyst is missing")
        commit(store, content=content)
        assert store.state("case 0") is S


def test_a_pre_label_does_not_change_the_state(store):
    commit(store, tag="original", by="model")
    assert store.state("case 0") is U


@pytest.mark.parametrize("start", [U, S, F, A, G], ids=lambda state: state.value)
def test_every_step_is_allowed_or_refused_as_the_table_says(store, start):
    steps = {U: [S, U], S: [S], F: [F], A: [A], G: [G]}
    for target in CaseState:
        commit(store)
        store.set_state("case 0", F, by="lead")
        for step in steps[start]:
            store.set_state("case 0", step, by="lead")
        if target is not L and (target in TRANSITIONS[start] or target is start):
            store.set_state("case 0", target, by="lead")
            assert store.state("case 0") is target
        else:
            with pytest.raises(InputError, match=f"is {start.value} and cannot become {target.value}; it can become"):
                store.set_state("case 0", target, by="lead")
            assert store.state("case 0") is start


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": S}, "has no label yet and cannot become submitted"),
        ({"state": A}, "cannot become approved"),
        ({"state": F, "level": "nasty"}, "the level 'nasty' is not one of 'easy', 'medium', 'hard'"),
        ({"state": F, "by": ""}, "the reviewer of a case"),
        ({"state": F, "comment": "x" * 10_001}, "10000 are the most"),
    ],
)
def test_a_review_that_cannot_be_is_refused(store, change, words):
    with pytest.raises(InputError, match=words):
        store.set_state("case 0", **{"by": "lead", **change})
    assert store.review("case 0") == Review(U)


def test_cases_are_found_by_state_and_by_author(store):
    store.lease("ann", ["case 1"], seconds=60)
    commit(store)
    commit(store, "case 2", by="ben")
    store.set_state("case 2", F, by="lead")
    found = {state: store.cases(state=state) for state in CaseState}
    assert found == {U: (), L: ("case 1",), S: ("case 0",), F: ("case 2",), A: (), G: ()}
    assert store.cases() == ("case 0", "case 1", "case 2")
    assert store.cases(author="ben") == ("case 2",)
    assert store.cases(author="ben", state=S) == ()
    assert [version.image_id for version in store.finals()] == ["case 0"]
    assert [version.image_id for version in store.finals(states=[F])] == ["case 2"]


def test_counts_follow_the_cases(store):
    store.lease("ann", ["case 1"], seconds=60)
    store.lease("ben", ["case 1"], seconds=60, reads=2)
    commit(store)
    commit(store, tag="original", by="model")
    counts = store.counts()
    assert (counts.total, counts.labelled, dict(counts.by_tag)) == (3, 1, {"final": 1, "original": 1})
    assert counts.by_state == {U: 1, L: 1, S: 1, F: 0, A: 0, G: 0}


def test_every_change_is_in_the_log(store):
    store.lease("ann", ["case 0"], seconds=60)
    version = commit(store)
    store.set_state("case 0", F, by="lead", comment="why?", level="easy")
    store.record("looked", by="lead", image_id="case 0", detail="at it")
    assert [(e.action, e.by, e.detail) for e in store.audit(image_id="case 0")] == [
        ("lease", "ann", "to annotate, for 60 s"),
        ("commit", "ann", f"final 1 {version.sha256}"),
        ("state", "lead", "submitted to flagged; easy; why?"),
        ("looked", "lead", "at it"),
    ]
    assert [e.action for e in store.audit(last=2)] == ["state", "looked"]
    assert [e.action for e in store.audit(by="lead")] == ["state", "looked"]
    assert store.audit(since=1000.1) == ()


@pytest.mark.parametrize(
    ("state", "status"),
    [(U, "not segmented"), (L, "not segmented"), (S, "segmented"), (F, "flagged"), (A, "approved"), (G, "approved")],
)
def test_the_reviewer_reads_every_state_and_what_it_saves_unchanged_changes_nothing(state, status):
    review = Review(state, "a comment", Level.MEDIUM, "lead", 1234.7, 2)
    sent = reviewer_meta(review).to_json()
    assert sent == {
        "status": status,
        "approvedBy": "lead",
        "level": "medium",
        "comment": "a comment",
        "editTime": 1234,
    }
    assert reviewed_state(SegmentationMeta.from_json(sent), current=state) is state


@pytest.mark.parametrize(
    ("status", "current", "meant"),
    [("approved", S, A), ("flagged", G, F), ("segmented", F, S), ("not segmented", S, U), ("approved", G, G)],
)
def test_the_states_that_the_reviewer_means(status, current, meant):
    assert reviewed_state(SegmentationMeta.from_json({"status": status}), current=current) is meant


@pytest.mark.parametrize("data", [None, [], {"status": "great"}, {}, {"status": "approved", "level": "extreme"}])
def test_what_the_reviewer_cannot_mean_is_refused(data):
    with pytest.raises(InputError, match=r"segmentationMeta is|the status|the level"):
        SegmentationMeta.from_json(data)
