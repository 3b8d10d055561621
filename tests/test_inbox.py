"""The inbox: what is received is kept once and durably, a study is complete after its quiet time, and runs once."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from renalct.core.errors import ErrorCode, InputError, OutputError
from renalct.delivery.inbox import Inbox, Received, Reception
from renalct.delivery.inbox_keeping import Keeping, OnTheirWay
from renalct.delivery.inbox_runs import RunQueue
from renalct.delivery.inbox_state import DATABASE, InboxState
from renalct.delivery.service_settings import Attempts, Bounds, ListenerSettings, Patience, Retention
from renalct.runs.status import Outcome, StudyStatus, study_hash

PATIENCE = Patience(quiet_s=30, quiet_open_s=120, quiet_broken_s=300)
OK = StudyStatus(Outcome.OK)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def state(tmp_path, clock):
    state = InboxState(tmp_path / "state", clock=clock)
    yield state
    state.close()


@pytest.fixture
def inbox(state):
    return Inbox(state, bounds=Bounds(min_free_bytes=0), patience=PATIENCE)


@pytest.fixture
def runs(state):
    return RunQueue(state)


def instance(study="1.2.3", number=1, content="as sent", *, is_ct=True):
    file = f"file {study} {number} {content}".encode()
    return Received(study, f"{study}.{number}", f"sha256 of {content}", file, is_ct=is_ct)


def complete(inbox, runs, clock, *instances):
    """Receive instances on an association that ends, and let the quiet time pass."""
    for each in instances:
        assert inbox.receive(each) in (Reception.STORED, Reception.DUPLICATE)
    inbox.ended({each.study_instance_uid for each in instances}, broken=False)
    clock.now += PATIENCE.quiet_s
    return runs.close_complete()


def contents(state, run):
    return sorted(state.blobs.path(digest).read_bytes() for digest in run.files)


def held(state):
    with state.database.reading() as db:
        return db.execute("SELECT files, bytes FROM held").fetchone()


def states(state):
    with state.database.reading() as db:
        return [row[0] for row in db.execute("SELECT state FROM runs ORDER BY id")]


def test_an_instance_is_kept_as_it_came_and_runs_with_its_study(inbox, runs, state, clock):
    assert complete(inbox, runs, clock, instance(number=1), instance(number=2)) == 1
    run = runs.next_run()
    assert contents(state, run) == [b"file 1.2.3 1 as sent", b"file 1.2.3 2 as sent"]
    assert (run.number, run.study) == (1, study_hash("1.2.3", salt=state.salt))
    assert runs.next_run() is None


def test_the_same_bytes_again_are_kept_once(inbox, state):
    assert inbox.receive(instance()) is Reception.STORED
    assert inbox.receive(instance()) is Reception.DUPLICATE
    assert held(state) == (1, len(instance().file))


def test_other_bytes_under_the_same_uid_are_a_conflict_and_the_first_are_kept(inbox, runs, state, clock):
    inbox.receive(instance(content="first"))
    assert inbox.receive(instance(content="second")) is Reception.CONFLICT
    assert inbox.receive(instance("9.9.9", content="second")) is Reception.STORED
    other_study = replace(instance("1.2.3", content="second"), study_instance_uid="9.9.9")
    assert inbox.receive(other_study) is Reception.CONFLICT
    complete(inbox, runs, clock, instance(content="first"))
    assert contents(state, runs.next_run()) == [b"file 1.2.3 1 first"]


@pytest.mark.parametrize(("content", "reception"), [("first", Reception.DUPLICATE), ("second", Reception.CONFLICT)])
def test_what_another_association_stored_meanwhile_is_a_duplicate_or_a_conflict(inbox, state, content, reception):
    put = state.blobs.put

    def put_after_another(file):
        state.blobs.put = put
        assert inbox.receive(instance(content="first")) is Reception.STORED
        return put(file)

    state.blobs.put = put_after_another
    assert inbox.receive(instance(content=content)) is reception
    assert held(state)[0] == 1


def test_a_study_is_complete_30_s_after_the_association_that_brought_it_was_released(inbox, runs, clock):
    inbox.receive(instance())
    clock.now += 100
    inbox.ended({"1.2.3"}, broken=False)
    clock.now += 29.9
    assert runs.close_complete() == 0
    clock.now += 0.1
    assert runs.close_complete() == 1


def test_a_study_on_an_open_association_is_complete_120_s_after_its_last_instance(inbox, runs, clock):
    inbox.receive(instance(number=1))
    clock.now += 119
    inbox.receive(instance(number=2))
    clock.now += 119
    assert runs.close_complete() == 0
    clock.now += 1
    assert runs.close_complete() == 1


def test_a_broken_association_gives_the_sender_300_s_to_come_again(inbox, runs, clock):
    inbox.receive(instance())
    inbox.ended({"1.2.3"}, broken=True)
    clock.now += 299
    assert runs.close_complete() == 0
    clock.now += 1
    assert runs.close_complete() == 1


def test_a_start_gives_the_senders_of_interrupted_studies_300_s_to_come_again(inbox, runs, clock):
    inbox.receive(instance())
    clock.now += 5000
    assert inbox.recover() == 1
    assert runs.close_complete() == 0
    clock.now += 300
    assert runs.close_complete() == 1


def test_a_start_changes_nothing_for_studies_that_were_whole(inbox, runs, clock):
    inbox.receive(instance())
    inbox.ended({"1.2.3"}, broken=False)
    assert inbox.recover() == 0
    clock.now += 30
    assert runs.close_complete() == 1


def test_an_image_that_comes_late_makes_a_run_of_all_images_with_an_identity_of_its_own(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance(number=1))
    first = runs.next_run()
    runs.analysed(first, OK)
    runs.done(first)
    complete(inbox, runs, clock, instance(number=2))
    second = runs.next_run()
    assert (second.number, second.study) == (2, first.study)
    assert second.identity != first.identity
    assert len(contents(state, second)) == 2


def test_an_image_that_comes_while_its_study_runs_is_not_in_that_run(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance(number=1))
    first = runs.next_run()
    complete(inbox, runs, clock, instance(number=2))
    assert len(first.files) == 1
    assert (runs.next_run().number, states(state)) == (2, ["running", "running"])


def test_a_run_that_was_interrupted_gives_way_to_one_with_more_images(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance(number=1))
    first = runs.next_run()
    complete(inbox, runs, clock, instance(number=2))
    runs.give_back(first)
    assert (runs.next_run().number, states(state)) == (2, ["superseded", "running"])


def test_a_run_that_has_not_begun_is_superseded_by_one_with_more_images(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance(number=1))
    complete(inbox, runs, clock, instance(number=2))
    assert len(runs.next_run().files) == 2
    assert states(state) == ["superseded", "running"]


def test_a_study_sent_again_does_not_run_again(inbox, runs, clock):
    complete(inbox, runs, clock, instance())
    runs.next_run()
    assert complete(inbox, runs, clock, instance()) == 0
    assert runs.next_run() is None


def test_what_is_no_ct_image_opens_no_finished_study_and_goes_with_its_next_run(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance(number=1))
    run = runs.next_run()
    runs.analysed(run, OK)
    runs.done(run)
    assert complete(inbox, runs, clock, instance(number=2, is_ct=False)) == 0
    assert complete(inbox, runs, clock, instance(number=3)) == 1
    assert len(contents(state, runs.next_run())) == 3


def test_a_study_without_any_ct_image_runs_once(inbox, runs, clock):
    assert complete(inbox, runs, clock, instance(is_ct=False)) == 1
    assert complete(inbox, runs, clock, instance(number=2, is_ct=False)) == 0


def test_the_studies_run_in_the_order_in_which_they_were_complete(inbox, runs, state, clock):
    inbox.receive(instance("1.1"))
    inbox.receive(instance("2.2"))
    inbox.ended({"2.2"}, broken=False)
    clock.now += 1
    inbox.ended({"1.1"}, broken=False)
    clock.now += 100
    assert runs.close_complete() == 2
    assert [runs.next_run().study for _ in range(2)] == [study_hash(uid, salt=state.salt) for uid in ("2.2", "1.1")]


def test_beyond_the_bytes_that_may_be_held_there_is_no_room_and_nothing_is_kept(state):
    size = len(instance().file)
    inbox = Inbox(state, bounds=Bounds(max_bytes=2 * size, min_free_bytes=0))
    answers = [inbox.receive(instance(number=n)) for n in (1, 2, 3)]
    assert answers == [Reception.STORED, Reception.STORED, Reception.FULL]
    assert held(state) == (2, 2 * size)
    assert len(list(state.folder.glob("blobs/*/*"))) == 2
    assert inbox.receive(instance(number=1)) is Reception.DUPLICATE


def test_instances_on_their_way_take_room_from_each_other(state):
    inbox = Inbox(state, bounds=Bounds(max_bytes=100, min_free_bytes=0))
    with inbox._room(60) as first, inbox._room(60) as second:
        assert (first, second) == (True, False)
    with inbox._room(60) as later:
        assert later


def test_where_the_disk_has_less_free_than_shall_stay_free_there_is_no_room(state):
    assert Inbox(state, bounds=Bounds(min_free_bytes=10**18)).receive(instance()) is Reception.FULL


def test_where_too_many_studies_wait_another_may_not_begin_and_one_that_has_begun_may_go_on(state, runs, clock):
    inbox = Inbox(state, bounds=Bounds(min_free_bytes=0, max_studies=2), patience=PATIENCE)
    complete(inbox, runs, clock, instance("1.1"))
    inbox.receive(instance("2.2"))
    assert inbox.receive(instance("3.3")) is Reception.FULL
    assert inbox.receive(instance("2.2", number=2)) is Reception.STORED
    assert inbox.receive(instance("1.1", number=2)) is Reception.STORED
    clock.now += 1000
    runs.close_complete()
    run = runs.next_run()
    runs.analysed(run, OK)
    assert inbox.receive(instance("3.3")) is Reception.FULL
    runs.done(run)
    assert inbox.receive(instance("3.3")) is Reception.STORED


def test_a_disk_that_cannot_be_written_is_said_and_nothing_is_recorded(inbox, state, monkeypatch):
    def full(content):
        raise OutputError("no space is left")

    monkeypatch.setattr(state.blobs, "put", full)
    with pytest.raises(OutputError):
        inbox.receive(instance())
    assert held(state) == (0, 0)


def test_a_run_whose_process_died_begins_again_after_the_others_and_is_set_aside_the_second_time(
    inbox, runs, state, clock
):
    complete(inbox, runs, clock, instance("1.1"))
    complete(inbox, runs, clock, instance("2.2"))
    first = runs.next_run()
    assert not runs.died(first, "the analysis was killed (signal 9)")
    second = runs.next_run()
    assert second.study != first.study
    assert runs.next_run() == first
    assert runs.died(first, "the analysis was killed (signal 9)")
    assert states(state) == ["failed", "running"]
    with state.database.reading() as db:
        code, reason = db.execute("SELECT code, reason FROM runs WHERE state = 'failed'").fetchone()
    assert (code, reason) == (ErrorCode.BUG, "the analysis was killed (signal 9), 2 times")


def test_a_run_under_way_when_the_service_was_killed_begins_again(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance())
    run = runs.next_run()
    assert RunQueue(state).recover() == 1
    assert RunQueue(state).next_run() == run


def test_a_run_that_never_ends_before_the_service_is_killed_is_set_aside_after_the_last_start(inbox, state, clock):
    runs = RunQueue(state, attempts=Attempts(most_starts=2))
    complete(inbox, runs, clock, instance())
    for _ in range(2):
        assert runs.next_run() is not None
        runs.recover()
    assert runs.next_run() is None
    assert states(state) == ["failed"]


def test_a_run_given_back_at_a_stop_counts_as_not_started(inbox, state, clock):
    runs = RunQueue(state, attempts=Attempts(most_starts=1))
    complete(inbox, runs, clock, instance())
    runs.give_back(runs.next_run())
    assert runs.next_run() is not None


def test_analysed_runs_wait_for_the_outbox_across_a_stop(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance())
    run = runs.next_run()
    runs.analysed(run, OK)
    assert RunQueue(state).recover() == 0
    assert RunQueue(state).analysed_runs() == (run,)
    runs.done(run)
    assert runs.analysed_runs() == ()
    assert states(state) == ["done"]


def test_a_failed_analysis_is_set_aside_and_can_be_tried_again_as_long_as_its_images_are_there(
    inbox, runs, state, clock
):
    complete(inbox, runs, clock, instance())
    run = runs.next_run()
    runs.analysed(run, StudyStatus(Outcome.FAILED, code=ErrorCode.NO_MEMORY, reason="too little", exit_code=1))
    assert states(state) == ["failed"]
    assert runs.retry_failed() == 1
    assert runs.next_run() == run
    runs.set_aside(run, ErrorCode.DAMAGED_FILE, "a file is damaged")
    with state.database.writing() as db:
        db.execute("UPDATE instances SET held = 0")
    assert runs.retry_failed() == 0


def finished(inbox, runs, clock, *instances):
    complete(inbox, runs, clock, *instances)
    run = runs.next_run()
    runs.analysed(run, OK)
    runs.done(run)
    return run


def nothing_sent():
    return OnTheirWay()


def test_images_and_results_are_deleted_an_hour_after_they_were_delivered_and_not_before(
    inbox, runs, state, clock, tmp_path
):
    keeping = Keeping(state, tmp_path / "results", retention=Retention(delivered_s=3600))
    run = finished(inbox, runs, clock, instance(number=1), instance(number=2))
    (tmp_path / "results" / run.name).mkdir(parents=True)
    clock.now += 3599
    assert keeping.sweep(nothing_sent) == 0
    clock.now += 1
    assert keeping.sweep(lambda: OnTheirWay(undelivered={run.study})) == 0
    assert keeping.sweep(nothing_sent) == 1
    assert held(state) == (0, 0)
    assert list(state.folder.glob("blobs/*/*")) == []
    assert not (tmp_path / "results" / run.name).exists()


def test_images_of_a_study_that_is_received_waits_or_runs_are_never_deleted(inbox, runs, state, clock, tmp_path):
    keeping = Keeping(state, tmp_path, retention=Retention(delivered_s=0, failed_s=0))
    inbox.receive(instance())
    assert keeping.sweep(nothing_sent) == 0
    clock.now += 10000
    runs.close_complete()
    assert keeping.sweep(nothing_sent) == 0
    run = runs.next_run()
    assert keeping.sweep(nothing_sent) == 0
    runs.analysed(run, OK)
    assert keeping.sweep(nothing_sent) == 0
    runs.done(run)
    assert keeping.sweep(nothing_sent) == 1


def test_images_of_a_failed_study_and_of_one_that_could_not_be_delivered_are_kept_longer(
    inbox, runs, state, clock, tmp_path
):
    keeping = Keeping(state, tmp_path, retention=Retention(delivered_s=10, failed_s=100))
    run = finished(inbox, runs, clock, instance("1.1"))
    complete(inbox, runs, clock, instance("2.2"))
    runs.set_aside(runs.next_run(), ErrorCode.BUG, "it crashed")
    clock.now += 50
    assert keeping.sweep(lambda: OnTheirWay(given_up={run.study})) == 0
    clock.now += 50
    assert keeping.sweep(lambda: OnTheirWay(given_up={run.study})) == 2


def test_with_no_age_images_are_kept_for_ever(inbox, runs, state, clock, tmp_path):
    finished(inbox, runs, clock, instance())
    clock.now += 1e9
    assert Keeping(state, tmp_path, retention=Retention(delivered_s=None)).sweep(nothing_sent) == 0


def test_a_study_sent_again_after_its_images_were_deleted_is_kept_again_and_does_not_run(
    inbox, runs, state, clock, tmp_path
):
    keeping = Keeping(state, tmp_path, retention=Retention(delivered_s=0))
    finished(inbox, runs, clock, instance(number=1))
    keeping.sweep(nothing_sent)
    assert complete(inbox, runs, clock, instance(number=1)) == 0
    assert held(state)[0] == 1
    assert complete(inbox, runs, clock, instance(number=2)) == 1
    assert len(contents(state, runs.next_run())) == 2


def test_a_file_that_is_deleted_while_its_copy_is_received_is_written_again(inbox, runs, state, clock, tmp_path):
    keeping = Keeping(state, tmp_path, retention=Retention(delivered_s=0))
    finished(inbox, runs, clock, instance())
    put = state.blobs.put

    def put_then_swept(content):
        digest = put(content)
        keeping.sweep(nothing_sent)
        return digest

    with state.database.writing() as db:  # as if it had been deleted, and the file were still there
        db.execute("UPDATE instances SET held = 0")
    state.blobs.put = put_then_swept
    digest = put(instance().file)
    state.blobs.remove(digest)
    assert inbox.receive(instance()) is Reception.DUPLICATE
    assert state.blobs.has(digest)


def test_what_a_stop_left_without_record_is_removed_at_the_start_and_nothing_else(inbox, state, tmp_path):
    inbox.receive(instance())
    stray = state.blobs.put(b"written, and killed before it was recorded")
    (state.folder / "incoming" / "1.part").write_bytes(b"half")
    assert Keeping(state, tmp_path).clean() == 2
    assert not state.blobs.has(stray)
    assert held(state)[0] == len(list(state.folder.glob("blobs/*/*"))) == 1


def test_a_study_is_forgotten_when_nothing_of_it_is_held_and_its_record_is_old(inbox, runs, state, clock, tmp_path):
    keeping = Keeping(state, tmp_path, retention=Retention(delivered_s=0, records_s=1000))
    finished(inbox, runs, clock, instance())
    clock.now += 2000
    assert keeping.forget() == 0
    keeping.sweep(nothing_sent)
    assert keeping.forget() == 1
    assert complete(inbox, runs, clock, instance()) == 1


def test_no_number_in_the_folder_tells_of_the_study_but_those_in_the_database(inbox, runs, state, clock):
    complete(inbox, runs, clock, instance("1.2.840.99.12345"))
    names = [path.as_posix() for path in Path(state.folder).rglob("*")]
    assert names and not [name for name in names if "12345" in name]
    assert "12345" not in runs.next_run().name


def test_a_folder_of_another_schema_is_refused(tmp_path):
    InboxState(tmp_path).close()
    with sqlite3.connect(tmp_path / DATABASE) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(InputError, match="the inbox has schema version 99"):
        InboxState(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ListenerSettings(ae_title=""),
        lambda: ListenerSettings(ae_title="SEVENTEEN_LETTERS"),
        lambda: ListenerSettings(calling=("BACK\\SLASH",)),
        lambda: ListenerSettings(port=70000),
        lambda: ListenerSettings(max_associations=0),
        lambda: Bounds(max_bytes=0),
        lambda: Patience(quiet_s=-1),
        lambda: Attempts(most_deaths=0),
        lambda: Retention(delivered_s=-1),
    ],
)
def test_settings_that_cannot_work_are_refused(make):
    with pytest.raises(InputError):
        make()
