"""`renalct send`: what it says, what it returns, and what it leaves in its queue."""

import json
import os
import subprocess
import sys

import pytest
from dicom_corpus import made_slices, save
from faulty_scp import FaultyNode
from renalct.__main__ import main
from renalct.delivery.outbox import Outbox
from sent_results import uids_of


@pytest.fixture
def result(tmp_path):
    """A folder of results with three objects, in a folder that has the name of a patient."""
    folder = tmp_path / "SENTINEL^JOHN" / "result"
    folder.mkdir(parents=True)
    save(made_slices()[:3], folder)
    for path in folder.iterdir():
        path.rename(path.with_suffix(".dcm"))
    (folder / "report.json").write_text("{}")
    return folder


@pytest.fixture
def queue(tmp_path):
    return tmp_path / "queue"


def address(node):
    return f"NODE@127.0.0.1:{node.port}"


def send(*words):
    return main(["send", *map(str, words)])


def test_results_are_delivered_and_a_second_time_they_are_there_already(result, queue, capsys):
    with FaultyNode().running() as node:
        assert send(result, "--to", address(node), "--queue", queue) == 0
        assert capsys.readouterr().out == "3 objects delivered\n"
        assert send(result, "--to", address(node), "--queue", queue) == 0
        assert capsys.readouterr().out == "0 objects delivered, 3 had been delivered before\n"
        assert send(result, "--to", address(node), "--queue", queue, "--again") == 0
    assert sorted(node.stored) == uids_of(result.glob("*.dcm")) and set(node.received.values()) == {2}


def test_what_is_refused_is_said_and_listed_and_can_be_sent_again(result, queue, capsys):
    with FaultyNode([0, 0xA900]).running() as node:
        to = ("--to", address(node), "--queue", queue)
        assert send(result, *to) == 4
        said = capsys.readouterr()
        (letter,) = Outbox(queue).dead_letters()
        assert said.out == "2 objects delivered\n"
        assert f"given up: {letter.label} for {address(node)}: the object does not match its class (A900)" in said.err
        assert "1 object not delivered: 0 waiting" in said.err and "1 given up" in said.err
        assert "SENTINEL" not in said.out + said.err
        assert send(result, *to) == 4, "what was given up is not delivered, also when nothing is new"
        assert send(*to) == 0, "nothing is left to send"
        capsys.readouterr()
        assert send("--list", "--queue", queue) == 0
        listed = capsys.readouterr().out
        assert f"{address(node)}: 2 delivered, 0 waiting, 0 to be confirmed, 1 given up" in listed
        assert letter.label in listed and "(A900)" in listed
        assert send("--list", "--json", "--queue", queue) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["destinations"][0]["dead"], told["dead"][0]["object"]) == (1, letter.label)
        assert send("--retry-dead", *to) == 0
    assert len(node.stored) == 3


def test_what_cannot_be_delivered_now_waits_and_is_sent_by_the_next_command(result, queue, capsys):
    node = FaultyNode()
    with node.running():
        pass  # its port is known now, and nobody listens there
    to = ("--to", address(node), "--queue", queue)
    assert send(result, *to, "--wait", "0") == 4
    said = capsys.readouterr()
    assert said.out == "0 objects delivered\n"
    assert f"{address(node)} cannot be reached (Connection refused)" in said.err
    assert "3 objects not delivered: 3 waiting in the queue" in said.err
    with node.running():
        assert send(*to, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["delivered"], told["waiting"], told["dead"], told["problems"]) == (3, [], [], [])


def test_only_the_destinations_that_are_named_get_it(result, queue, tmp_path, capsys):
    with FaultyNode().running() as one, FaultyNode().running() as other:
        node = {"kind": "dimse", "host": "127.0.0.1", "ae_title": "NODE"}
        entries = [node | {"name": "one", "port": one.port}, node | {"name": "other", "port": other.port}]
        file = tmp_path / "destinations.json"
        file.write_text(json.dumps({"schema_version": 1, "destinations": entries}))
        assert send(result, "--to", file, "--only", "other", "--queue", queue) == 0
        assert (len(one.stored), len(other.stored)) == (0, 3)
        assert send(result, "--to", file, "--queue", queue) == 0
        assert (len(one.stored), sum(other.received.values())) == (3, 3)
    assert capsys.readouterr().out.splitlines()[-1] == "3 objects delivered, 3 had been delivered before"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["RESULT"], "no destination is given; add --to"),
        (["RESULT", "--to", "nowhere"], "cannot be read"),
        (["RESULT", "--to", "A@h:1", "--wait", "-1"], "0 seconds or more"),
        (["RESULT", "--to", "A@h:1", "--give-up-after", "0"], "more than 0"),
        (["NOTHING", "--to", "A@h:1"], "there is no file or folder"),
        (["x" * 300, "--to", "A@h:1"], "what was given as number 1 cannot be looked at (File name too long)"),
        (["NOTE", "--to", "A@h:1"], "note.txt cannot be read as a DICOM file; only DICOM objects can be sent"),
        (["--list"], "there is no queue in"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_queued(words, problem, result, queue, tmp_path, capsys):
    (tmp_path / "note.txt").write_text("no object")
    places = {"RESULT": result, "NOTHING": tmp_path / "nothing", "NOTE": tmp_path / "note.txt"}
    assert send(*(places.get(word, word) for word in words), "--queue", queue) == 2
    assert problem in capsys.readouterr().err
    assert not queue.exists() or Outbox(queue).counts() == ()


def test_what_the_system_refuses_is_no_bug_of_ours(tmp_path, capsys):
    assert send("--list", "--queue", tmp_path / ("x" * 300)) == 2
    assert "the system refuses a file or folder (File name too long); check the paths" in capsys.readouterr().err


def test_many_objects_are_told_by_the_first_of_them(queue, tmp_path, capsys):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(25):
        slice_ = made_slices()[0]
        slice_.SOPInstanceUID = f"1.2.3.{number}"
        save([slice_], folder, prefix=f"IM{number:02d}")
    for path in folder.iterdir():
        path.rename(path.with_suffix(".dcm"))
    (folder / "report.json").write_text("{}")
    assert send(folder, "--to", "NODE@127.0.0.1:9", "--queue", queue, "--wait", "0") == 4
    said = capsys.readouterr().err
    assert "and 5 more for NODE@127.0.0.1:9" in said and said.count("CT-") == 20


def test_as_a_program_it_says_nothing_but_its_own_sentences(result, tmp_path):
    state = os.environ | {"XDG_STATE_HOME": str(tmp_path / "state")}
    command = [sys.executable, "-m", "renalct", "send", str(result), "--to", "NODE@127.0.0.1:9", "--wait", "0"]
    run = subprocess.run(command, capture_output=True, text=True, env=state)
    assert (run.returncode, run.stdout) == (4, "0 objects delivered\n")
    assert [line[:9] for line in run.stderr.splitlines()] == ["renalct: "] * 4
    assert "SENTINEL" not in run.stderr
    assert (tmp_path / "state" / "renalct" / "outbox" / "queue.sqlite3").exists()
