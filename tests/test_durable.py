"""Files that are replaced as a whole, and locks that the system gives back."""

import errno
import os
import subprocess
import sys
from contextlib import nullcontext

import pytest
from renalct.core.errors import OutputError
from renalct.formats.durable import held, locked, replace_file, sync_tree, write_durably

HOLD = """
import sys
from pathlib import Path
from renalct.formats.durable import held
with held(Path(sys.argv[1]), seconds=0) as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


def test_a_text_is_replaced_as_a_whole_and_leaves_no_part(tmp_path):
    path = tmp_path / "new folder" / "ü.json"
    write_durably(path, "öld")
    write_durably(path, "new")
    assert path.read_text(encoding="utf-8") == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_text_that_cannot_be_made_durable_leaves_the_one_before_and_no_part(tmp_path, monkeypatch):
    path = tmp_path / "pointer.json"
    write_durably(path, "old")

    def refuse(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match=r"No space left on device\); the file before is kept"):
        write_durably(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_its_name_and_its_name_before_the_answer(tmp_path, monkeypatch):
    steps, sync, rename = [], os.fsync, os.replace

    def seen(handle):
        steps.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))
        sync(handle)

    def renamed(old, new):
        steps.append("rename")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", seen)
    monkeypatch.setattr(os, "replace", renamed)
    replace_file(tmp_path / "a", b"1", part=tmp_path / "b")
    assert steps == ["b", "rename", "."]


@pytest.mark.parametrize(("number", "is_refused"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_synchronize_folders_is_no_error_and_one_that_fails_is(
    tmp_path, monkeypatch, number, is_refused
):
    sync = os.fsync

    def refuse(handle):
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(number, os.strerror(number))
        sync(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError) if is_refused else nullcontext():
        write_durably(tmp_path / "a", "1")
    assert (tmp_path / "a").read_text() == "1"


def test_every_file_and_folder_of_a_tree_is_synchronized(tmp_path, monkeypatch):
    (tmp_path / "in ner").mkdir()
    (tmp_path / "in ner" / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    found, sync = set(), os.fsync

    def seen(handle):
        found.add(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))
        sync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    sync_tree(tmp_path)
    assert found == {".", "b", "in ner", "in ner/a"}


def test_a_lock_of_another_process_is_not_ours_until_that_process_is_killed(tmp_path):
    lock = tmp_path / "lock"
    words = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        with held(lock, seconds=0) as is_ours:
            assert not is_ours
        with pytest.raises(OutputError, match="another process holds"), locked(lock, seconds=0):
            pytest.fail("two processes hold one lock")
        other.kill()
    with held(lock, seconds=5) as is_ours:
        assert is_ours


def test_what_fails_within_a_lock_is_raised_and_gives_it_back(tmp_path):
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / "lock"):
        raise ValueError("inside")
    with held(tmp_path / "lock", seconds=0) as is_ours:
        assert is_ours
