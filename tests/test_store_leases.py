"""A case is with one client at a time, unless another reading is planned; time-outs, going back, blind repeats."""

import pytest
from renalct.core.errors import InputError
from renalct.learning.store import CaseState, Purpose
from renalct.learning.store.lease_rows import working_seconds
from store_cases import Clock, commit, made_store

ALL = [f"case {n}" for n in range(6)]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return made_store(tmp_path, 6, clock=clock)


def given(store, client, wanted=ALL, **others):
    """The id of the case that a client is given, or None."""
    lease = store.lease(client, wanted, seconds=60, **others)
    return lease and lease.image_id


def test_two_clients_are_given_two_cases_in_the_order_of_their_wishes(store):
    assert [given(store, client) for client in ("ann", "ben", "cem")] == ALL[:3]
    assert given(store, "dan", ["case 4", "case 0"]) == "case 4"
    assert given(store, "eve", ["case 0", "case 1"]) is None
    assert given(store, "eve", []) is None
    assert [lease.client for lease in store.leases()] == ["ann", "ben", "cem", "dan"]


def test_a_client_that_asks_again_keeps_its_case_and_its_lease_runs_anew(store, clock):
    first = store.lease("ann", ALL, seconds=60)
    clock.now += 50
    again = store.lease("ann", ALL, seconds=60)
    assert (again.image_id, again.granted_at, again.expires_at) == ("case 0", first.granted_at, 1110.0)
    assert given(store, "ann", ALL[1:]) == "case 1"
    assert [lease.image_id for lease in store.leases(client="ann")] == ["case 0", "case 1"]


def test_an_expired_lease_returns_the_case(store, clock):
    given(store, "ann")
    clock.now += 59
    assert given(store, "ben", ["case 0"]) is None
    assert store.state("case 0") is CaseState.LEASED
    clock.now += 1
    assert store.state("case 0") is CaseState.UNASSIGNED
    assert store.leases() == ()
    assert given(store, "ben", ["case 0"]) == "case 0"
    assert [e.by for e in store.audit(action="lease expired")] == ["ann"]


def test_a_renewed_lease_runs_longer_and_one_that_is_over_cannot_be_renewed(store, clock):
    given(store, "ann")
    clock.now += 50
    assert store.renew("ann", "case 0", seconds=60).expires_at == 1110.0
    clock.now += 60
    with pytest.raises(InputError, match="has no lease on 'case 0'; ask for the case again"):
        store.renew("ann", "case 0", seconds=60)


def test_a_case_that_is_given_back_is_free(store):
    given(store, "ann")
    assert store.give_back("ann", "case 0")
    assert not store.give_back("ann", "case 0")
    assert given(store, "ben") == "case 0"


def test_a_submitted_case_leaves_the_pool(store):
    given(store, "ann")
    commit(store, by="ann")
    assert store.leases() == ()
    assert [given(store, "ann"), given(store, "ben", ["case 0"])] == ["case 1", None]


def test_a_label_that_comes_after_the_time_out_is_kept_and_the_other_client_keeps_the_case(store, clock):
    given(store, "ann")
    clock.now += 100
    given(store, "ben", ["case 0"])
    late = commit(store, by="ann")
    assert (late.number, late.note.seconds) == (1, 100.0)
    assert [lease.client for lease in store.leases()] == ["ben"]
    assert commit(store, by="ben", content=b"other").number == 2


def test_planned_double_reads_go_to_two_clients_and_never_twice_to_one(store):
    assert [given(store, client, ["case 0"], reads=2) for client in ("ann", "ben", "cem")] == ["case 0", "case 0", None]
    commit(store, by="ann")
    assert given(store, "ann", ["case 0"], reads=2) is None
    assert given(store, "cem", ["case 0"], reads=2) is None
    commit(store, by="ben", content=b"other")
    assert [given(store, client, ["case 0"], reads=2) for client in ("ann", "ben", "cem")] == [None] * 3
    assert {version.note.author for version in store.versions("case 0")} == {"ann", "ben"}


def test_who_has_labelled_a_case_is_not_its_second_reader(store):
    commit(store, by="ann")
    assert given(store, "ann", ["case 0"], reads=2) is None
    assert given(store, "ben", ["case 0"], reads=2) == "case 0"


def test_a_lease_ends_with_a_label_under_its_own_tag_alone(store):
    given(store, "ann")
    for tag in ("original", "repeat"):
        assert commit(store, by="ann", tag=tag).note.seconds is None
    assert [lease.image_id for lease in store.leases()] == ["case 0"]


def test_double_reads_planned_for_a_case_need_no_word_of_the_client(store):
    store.plan_reads(["case 1"], reads=2, by="lead")
    for client, case in (("ann", "case 0"), ("ann", "case 1"), ("ben", "case 1"), ("ben", "case 2")):
        assert given(store, client) == case
        commit(store, case, by=client, content=f"{client} {case}".encode())
    assert [(e.image_id, e.detail) for e in store.audit(action="reads planned")] == [("case 1", "2")]


def test_a_second_reading_that_ran_out_of_time_is_open_to_others(store, clock):
    given(store, "ann", ["case 0"], reads=2)
    commit(store, by="ann")
    given(store, "ben", ["case 0"], reads=2)
    clock.now += 60
    assert given(store, "cem", ["case 0"], reads=2) == "case 0"


def test_a_flagged_case_is_not_in_the_pool(store):
    store.set_state("case 0", CaseState.FLAGGED, by="lead", comment="an image of a phantom")
    assert given(store, "ann", ["case 0"]) is None
    assert given(store, "ann", ["case 0"], purpose=Purpose.CORRECT) == "case 0"


def test_going_back_to_a_case_needs_that_nobody_else_works_on_it(store):
    for case in ("case 0", "case 1"):
        given(store, "ann", [case])
        commit(store, case, by="ann")
    mine = store.cases(author="ann")
    assert mine == ("case 0", "case 1")
    assert given(store, "ben", mine, purpose=Purpose.CORRECT) == "case 0"
    assert given(store, "ann", mine, purpose=Purpose.CORRECT) == "case 1"
    commit(store, by="ben", content=b"corrected", parent=1)
    assert store.leases(client="ben") == ()
    assert given(store, "ann", mine[:1], purpose=Purpose.CORRECT) == "case 0"


def test_a_case_by_its_id_is_given_to_whoever_has_it_to_annotate(store):
    first = store.lease("ann", ["case 0"], seconds=60)
    assert store.lease("ann", ["case 0"], seconds=60, purpose=Purpose.CORRECT) == first
    given(store, "ann", ["case 1"], purpose=Purpose.CORRECT)
    assert given(store, "ann", ["case 1", "case 2"]) == "case 2"


def test_a_case_that_somebody_opened_to_correct_is_not_given_to_annotate(store):
    given(store, "ann", ["case 0"], purpose=Purpose.CORRECT)
    assert given(store, "ben", ["case 0"]) is None


def test_a_case_to_be_labelled_anew_is_open_to_all(store):
    given(store, "ann")
    commit(store, by="ann")
    store.set_state("case 0", CaseState.UNASSIGNED, by="lead", comment="label it anew")
    assert given(store, "ann", ["case 0"]) == "case 0"
    assert commit(store, by="ann", content=b"anew").number == 2
    assert given(store, "ben", ["case 0"]) is None


def test_a_blind_repeat_comes_to_the_same_client_after_so_many_others(store):
    store.plan_repeats(["case 0"], after=2, by="lead")
    for n in range(3):
        assert store.due_repeats("ann") == ()
        assert given(store, "ann", ["case 0"], purpose=Purpose.REPEAT) is None
        given(store, "ann", ALL[n:])
        commit(store, f"case {n}", by="ann")
    assert store.due_repeats("ann") == ("case 0",)
    assert store.due_repeats("ben") == ()
    lease = store.lease("ann", store.due_repeats("ann"), seconds=60, purpose=Purpose.REPEAT)
    assert (lease.image_id, lease.tag) == ("case 0", "repeat")
    assert given(store, "ben", ["case 0"], purpose=Purpose.REPEAT) is None
    store.set_state("case 0", CaseState.APPROVED, by="lead")
    again = commit(store, by="ann", content=b"once more", tag=lease.tag)
    assert (again.number, store.final("case 0").number, store.state("case 0")) == (1, 1, CaseState.APPROVED)
    assert store.due_repeats("ann") == ()
    assert store.leases() == ()
    schedule = [(e.action, e.by, e.detail) for e in store.audit(image_id="case 0") if "repeat" in e.action + e.detail]
    assert schedule[:2] == [("repeat planned", "lead", "after 2 other cases"), ("lease", "ann", "to repeat, for 60 s")]
    assert schedule[2][2].startswith("repeat 1 ")


def test_a_blind_repeat_does_not_hinder_others(store):
    store.plan_repeats(["case 0"], after=1, by="lead")
    for case in ("case 0", "case 1"):
        commit(store, case, by="ann")
    given(store, "ann", ["case 0"], purpose=Purpose.REPEAT)
    assert given(store, "ben", ["case 0"], purpose=Purpose.CORRECT) == "case 0"


def test_the_time_of_a_label_runs_from_its_lease_to_its_submission_without_pauses(store, clock):
    given(store, "ann")
    clock.now = 1100.0
    assert commit(store, by="ann").note.seconds == 100.0
    assert commit(store, by="ann", content=b"again").note.seconds is None  # its lease has ended
    given(store, "ann", ["case 1"])
    clock.now = 1200.0
    # between 1100, 1110, 1125 and 1190, 1200: 10 + 15 + 10 s of work; 65 s of pause
    assert commit(store, "case 1", by="ann", activity=[1190.0, 1110.0, 1125.0]).note.seconds == 35.0


def test_times_of_activity_outside_the_lease_do_not_count():
    assert working_seconds(100, 110, [50, 90, 105, 300]) == 10.0
    assert working_seconds(100, 110, [50]) == 10.0
    assert working_seconds(100, 200, [50]) == 0.0
    assert working_seconds(110, 100) == 0.0


@pytest.mark.parametrize("bad", [{"seconds": 0}, {"seconds": float("nan")}, {"seconds": 1, "reads": 0}])
def test_a_lease_without_time_or_readings_is_refused(store, bad):
    with pytest.raises(InputError, match="both are more than 0"):
        store.lease("ann", ALL, **bad)


def test_a_wish_for_an_unknown_case_a_nameless_client_and_a_repeat_that_is_not_blind_are_refused(store):
    with pytest.raises(InputError, match="no image 'case 9'"):
        given(store, "ann", ["case 9"])
    with pytest.raises(InputError, match="the client of a lease"):
        given(store, " ")
    with pytest.raises(InputError, match="cannot be blind"):
        store.plan_repeats(["case 0"], after=0, by="lead")
    with pytest.raises(InputError, match="plan one or more"):
        store.plan_reads(["case 0"], reads=0, by="lead")
    with pytest.raises(InputError, match="no image 'case 9'"):
        store.plan_reads(["case 0", "case 9"], reads=2, by="lead")
    assert store.audit(action="reads planned") == ()  # all of them or none
    assert store.audit(action="lease") == ()
