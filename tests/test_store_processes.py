"""Several processes on one store, processes that are killed, disks that are full: nothing acknowledged is lost."""

import errno
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from renalct.core.errors import InputError, OutputError
from renalct.learning.store import LabelStore, connections
from store_cases import commit, made_store
from store_worker import CASES, case_of, registered, wrong_with

WORKER = Path(__file__).with_name("store_worker.py")


def worker(what, folder, *options):
    """A process that uses the store in a folder."""
    command = [sys.executable, str(WORKER), what, str(folder), *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def lines(process):
    """What a worker printed, line by line; it must have ended well."""
    out, told = process.communicate(timeout=300)
    assert process.returncode == 0, told.decode()
    return [json.loads(line) for line in out.splitlines()]


def test_labels_and_scores_of_several_processes_are_all_kept(tmp_path):
    store = registered(tmp_path)
    writers = [worker("labels", tmp_path, "--name", name, "--number", 30) for name in ("ann", "ben")]
    scorers = [worker("scores", tmp_path, "--name", name, "--number", 30) for name in ("entropy", "bald")]
    acknowledged = [line for process in writers for line in lines(process)]
    for process in scorers:
        lines(process)
    assert len({(image_id, number) for image_id, number, _ in acknowledged}) == 60
    assert wrong_with(store, acknowledged) == []
    assert sum(len(store.versions(case_of(number))) for number in range(CASES)) == 60
    for scorer in ("entropy", "bald"):
        for number in range(30):
            assert store.scores(f"model {number}", scorer)[case_of(number)].value == number / 8
    assert len(store.audit(action="scores")) == len(store.audit(action="commit")) == 60


def test_twenty_clients_are_given_two_hundred_cases_once_each(tmp_path):
    store = registered(tmp_path, 200)
    servers = [worker("annotate", tmp_path, "--name", 10 * n, "--number", 10) for n in range(2)]
    given = [line for process in servers for line in lines(process)]
    assert sorted(case for _, case in given) == sorted(f"case {n}" for n in range(200))
    assert store.counts().labelled == 200
    assert store.leases() == ()


def test_a_process_that_is_killed_before_any_step_of_a_commit_loses_nothing_acknowledged(tmp_path):
    (found,) = lines(worker("steps", tmp_path))
    assert found["problems"] == []
    assert found["integrity"] == "ok"
    assert found["steps"] >= 20  # files, folders and statements of one commit
    assert found["unfinished_files"] > 0  # or no kill fell into the writing of a file
    assert found["left_after_tidying"] == 0


def test_a_process_that_is_killed_at_random_loses_nothing_acknowledged(tmp_path):
    (found,) = lines(worker("kills", tmp_path, "--rounds", 20))
    assert (found["lost"], found["damaged"], found["integrity"]) == ([], [], "ok")
    assert found["kept"] == found["acknowledged"] > 5


def test_a_store_that_is_open_in_a_process_that_forks_works_in_both(tmp_path):
    (found,) = lines(worker("fork", tmp_path))
    assert found == [6] * CASES  # of three children, and thrice of the parent


def test_without_the_right_to_write_a_sentence_is_said_and_the_labels_are_kept():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # another user has to come as far as the store
        (found,) = lines(worker("without-rights", Path(folder) / "store"))
    *refused, kept = found
    assert len(refused) == 3
    for said in refused:
        assert said.startswith("OutputError: ")
        assert "cannot be written (permission denied)" in said
    assert kept == "kept"


@contextmanager
def no_space_for_files(monkeypatch):
    def refuse(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        yield


@contextmanager
def no_space_for_the_database(monkeypatch, store):
    with store._database.reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    store.close()
    with monkeypatch.context() as patch:
        patch.setattr(connections, "_SETTINGS", (*connections._SETTINGS, f"PRAGMA max_page_count = {pages}"))
        yield
    store.close()


def test_a_disk_that_is_full_is_told_in_a_sentence_and_the_store_is_unharmed(tmp_path, monkeypatch):
    store = made_store(tmp_path)
    first = commit(store)
    before = store.audit()
    with no_space_for_files(monkeypatch), pytest.raises(OutputError, match="no space is left to write"):
        commit(store, content=b"no room")
    assert list((tmp_path / "incoming").iterdir()) == []
    large = "x" * 10_000
    with no_space_for_the_database(monkeypatch, store):
        with pytest.raises(OutputError, match=r"no space is left for the label store .*; nothing was changed"):
            for _ in range(100):
                store.record("fill", by="test", detail=large)
        filled = store.audit(action="fill")
        with pytest.raises(OutputError, match="no space is left"):
            store.put_scores("model", "entropy", {"case 0": (0.5, large * 10)})
    assert store.audit() == before + filled
    assert store.versions("case 0") == (first,)
    assert store.scores("model", "entropy") == {}
    assert store.damaged() == ()
    assert commit(store, content=b"room again").number == 2


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        LabelStore(tmp_path / "file" / "store")


def test_a_store_that_another_process_holds_for_too_long_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    store, other = made_store(tmp_path), LabelStore(tmp_path)
    with other._database.writing():
        with pytest.raises(OutputError, match="was busy for"):
            store.record("look", by="ann")
        assert store.counts().total == 3  # reading waits for nobody
    store.record("look", by="ann")


def test_a_file_system_without_shared_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(connections, "_retried", lambda action: connections._refuse_mode("delete", tmp_path))
    with pytest.raises(InputError, match="without shared memory"):
        LabelStore(tmp_path / "store")
