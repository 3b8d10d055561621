"""Retraining by itself: after enough labels and in a quiet moment, one at a time, and never ending one that runs."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from made_loop import add_case, commit, copied, made_ct, made_loop, made_registry, made_store
from renalct.core.errors import InputError
from renalct.formats.durable import locked
from renalct.learning.image_source import InFolder
from renalct.learning.loop.auto_update import AutoSettings, due, update_if_due
from renalct.learning.loop.frozen import read_frozen
from renalct.learning.loop.loop_status import LoopState, StatusFile, read_status
from renalct.learning.loop.retrain import Loop, retrain, unfinished
from renalct.learning.loop.run_inputs import RetrainSettings, read_inputs
from renalct.learning.store import CaseState, LabelStore
from renalct.models.values import to_json

AUTO = AutoSettings(new_labels=3, quiet_seconds=60, longest_wait_seconds=1000)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """A loop that was trained once on four patients, three being frozen."""
    loop = made_loop(tmp_path_factory.mktemp("auto"), 7)
    retrain(loop)
    return loop


@pytest.fixture
def loop(trained_once, tmp_path):
    """A copy of that loop, whose store has a clock that is set by hand."""
    now = [1000.0]
    made = copied(trained_once, tmp_path)
    return replace(made, store=LabelStore(tmp_path / "store", clock=lambda: now[0])), now


def asked(made, at):
    return due(made, AUTO, now=at)


def test_nothing_is_due_before_there_are_enough_new_labels(loop, tmp_path):
    made, now = loop
    assert asked(made, 5000).why == "0 of 3 new labels"
    for seed in (50, 51):
        add_case(made.store, tmp_path, seed)
    answer = asked(made, 5000)
    assert (answer.due, answer.new, answer.why) == (False, 2, "2 of 3 new labels")
    add_case(made.store, tmp_path, 52)
    assert asked(made, now[0] + 61).due


def test_a_corrected_label_counts_and_the_same_again_does_not(loop):
    made, _ = loop
    frozen = read_frozen(made.registry.folder)
    trained = [case for case in read_inputs(made.registry.place("v0002")).cases]
    values = made_ct(int(trained[0].image_id[3:]))[1]
    commit(made.store, trained[0].image_id, values)
    assert asked(made, 5000).new == 0
    commit(made.store, trained[0].image_id, values[:, ::-1].copy())
    assert asked(made, 5000).new == 1
    commit(made.store, frozen.cases[0].image_id, values[:, ::-1].copy())
    assert asked(made, 5000).new == 1  # a label of a frozen patient trains nothing


def test_labels_in_dispute_do_not_count(loop, tmp_path):
    made, _ = loop
    for seed in (50, 51, 52):
        made.store.set_state(add_case(made.store, tmp_path, seed), CaseState.FLAGGED, by="rita")
    assert asked(made, 5000).new == 0


def test_it_waits_until_nobody_labels_but_not_for_ever(loop, tmp_path):
    made, now = loop
    for seed, at in ((50, 2000.0), (51, 2040.0), (52, 2080.0)):
        now[0] = at
        add_case(made.store, tmp_path, seed)
    busy = asked(made, 2100)
    assert (busy.due, busy.new) == (False, 3) and "somebody is still labelling" in busy.why
    assert asked(made, 2140).due
    for n in range(15):  # one a minute, without a pause
        now[0] = 2140.0 + 59 * n
        add_case(made.store, tmp_path, 60 + n)
    late = asked(made, now[0] + 1)
    assert not late.due and asked(made, 3001).due and "waited long enough" in asked(made, 3001).why


def test_one_trains_and_the_other_is_told_so(loop, tmp_path):
    made, _ = loop
    for seed in (50, 51, 52):
        add_case(made.store, tmp_path, seed)
    with locked(made.registry.folder / "training.lock"):
        answer, found = update_if_due(made, AUTO, clock=lambda: 9000.0)
        assert found is None and answer.why == "a training runs already"
    answer, found = update_if_due(made, AUTO, clock=lambda: 9000.0)
    assert answer.due and found.version.name == "v0003"
    answer, found = update_if_due(made, AUTO, clock=lambda: 9000.0)
    assert found is None and answer.why == "0 of 3 new labels"


def test_a_label_that_comes_during_a_training_neither_ends_nor_changes_it(loop, tmp_path):
    made, _ = loop
    for seed in (50, 51, 52):
        add_case(made.store, tmp_path, seed)
    came = []

    def tell(status):
        if status.state is LoopState.TRAINING and not came:
            came.append(add_case(made.store, tmp_path, 53))
            assert not asked(made, 9000).due

    _, found = update_if_due(made, AUTO, clock=lambda: 9000.0, tell=tell)
    inputs = read_inputs(made.registry.place(found.version.name))
    assert came == ["ct 053"] and "ct 053" not in {case.image_id for case in inputs.cases} and len(inputs.cases) == 7
    assert asked(made, 9000).new == 1


def test_a_training_that_was_killed_goes_on_with_its_own_settings(loop, tmp_path):
    made, _ = loop
    for seed in (50, 51, 52):
        add_case(made.store, tmp_path, seed)
    pid = os.fork()
    if not pid:
        signal.alarm(120)
        update_if_due(
            made, AUTO, clock=lambda: 9000.0, tell=lambda s: os._exit(9) if s.state is LoopState.TRAINING else None
        )
        os._exit(0)
    os.waitpid(pid, 0)
    assert unfinished(made.registry).name == "r0002"
    other = replace(made, settings=RetrainSettings(steps=9))
    answer, found = update_if_due(other, AUTO, clock=lambda: 9000.0)
    assert answer.why == "the training r0002 was not finished" and found.version.run == "r0002"
    assert read_inputs(made.registry.place(found.version.name)).settings.steps == 1


def test_a_training_that_failed_is_tried_again_only_after_an_hour(loop, tmp_path):
    made, _ = loop
    retrain(made, stop=lambda: True)
    StatusFile(made.registry.folder, clock=lambda: 9000.0).tell(state=LoopState.FAILED, message="no space is left")
    early = asked(made, 9100)
    assert not early.due and early.why == "the training r0002 failed and is tried again later: no space is left"
    assert asked(made, 9000 + 3601).due


def test_nothing_is_due_for_an_hour_after_a_training_that_failed_before_it_began(loop, tmp_path):
    """A server would start a process every half minute that fails again."""
    made, _ = loop
    for seed in (50, 51, 52):
        add_case(made.store, tmp_path, seed)
    StatusFile(made.registry.folder, clock=lambda: 9000.0).tell(state=LoopState.FAILED, message="no space is left")
    early = asked(made, 9100)
    assert not early.due and early.why == "the last training failed and is tried again later: no space is left"
    assert asked(made, 9000 + 3601).due


def test_nothing_is_due_while_too_few_labels_are_reviewed_to_freeze_a_set(tmp_path):
    store, registry = made_store(tmp_path, 5, approved=False), made_registry(tmp_path)
    made = Loop(store, registry, InFolder(tmp_path / "images"))
    later = time.time() + 3600
    waiting = due(made, AUTO, now=later)
    assert (waiting.due, waiting.new) == (False, 5) and "too few to freeze" in waiting.why
    for image in made.store.images():
        made.store.set_state(image.image_id, CaseState.APPROVED, by="rita")
    assert due(made, AUTO, now=later).due and read_frozen(made.registry.folder) is None


@pytest.mark.parametrize(("quiet", "every"), [(0.0, 1.0), (8.0, 2.0), (300.0, 30.0)])
def test_it_is_looked_often_enough_for_the_quiet_that_is_asked_for(quiet, every):
    assert AutoSettings(quiet_seconds=quiet).look_every_seconds == every


def test_a_training_whose_process_is_gone_is_lost_at_once(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    status = StatusFile(tmp_path)
    status.tell(state=LoopState.TRAINING)
    assert read_status(tmp_path).state is LoopState.TRAINING
    status.tell(state=LoopState.TRAINING, process=child.pid)
    (tmp_path / "status.json").write_text(json.dumps(to_json(status.status)))
    assert read_status(tmp_path).state is LoopState.LOST
    (tmp_path / "status.json").write_text(json.dumps(to_json(replace(status.status, host="another computer"))))
    assert read_status(tmp_path).state is LoopState.TRAINING


def test_a_bug_is_a_failure_too_and_not_a_training_that_runs_for_ever(loop, monkeypatch):
    made, _ = loop
    monkeypatch.setattr("renalct.learning.loop.retrain.train_run", lambda *given, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        retrain(made)
    status = read_status(made.registry.folder)
    assert (status.state, status.message) == (LoopState.FAILED, "a bug (ZeroDivisionError)")


def test_a_status_without_a_sign_of_life_is_lost(tmp_path):
    assert read_status(tmp_path).state is LoopState.IDLE
    StatusFile(tmp_path, clock=lambda: 1000.0).tell(state=LoopState.TRAINING, epoch=3, total_epochs=9)
    assert read_status(tmp_path, now=1010).state is LoopState.TRAINING
    assert read_status(tmp_path, now=1100).state is LoopState.LOST
    (tmp_path / "status.json").write_text("{")
    assert read_status(tmp_path).state is LoopState.IDLE


def test_signs_of_life_are_given_while_something_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr("renalct.learning.loop.loop_status._BEAT_SECONDS", 0.01)
    now = [1000.0]
    status = StatusFile(tmp_path, clock=lambda: now[0])
    status.tell(state=LoopState.JUDGING)
    with status.alive():
        now[0] = 1500.0
        for _ in range(500):
            if read_status(tmp_path, now=1500).beat_at == 1500.0:
                break
            signal.sigtimedwait([], 0.01)
    assert read_status(tmp_path, now=1500).state is LoopState.JUDGING


@pytest.mark.parametrize("changes", [{"new_labels": 0}, {"quiet_seconds": -1}, {"longest_wait_seconds": -1}])
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(InputError):
        AutoSettings(**changes)
