"""The queue of results: durable when it acknowledges, each object once, no patient in names, reasons for the dead."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from dicom_corpus import made_slices, save
from pydicom.uid import MediaStorageDirectoryStorage
from renalct.core.errors import InputError
from renalct.delivery.destinations import read_destinations
from renalct.delivery.instances import read_instance, result_files
from renalct.delivery.outbox import Outbox, State
from renalct.delivery.queue_records import Pause
from sent_results import made_results, uids_of

WORKER = Path(__file__).with_name("send_worker.py")
NODE, OTHER = (read_destinations(f"{title}@127.0.0.1:104")[0] for title in ("NODE", "OTHER"))
DAY = 24 * 3600.0


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "result"
    made_results(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three small objects."""
    folder = tmp_path_factory.mktemp("files")
    save(made_slices()[:3], folder)
    return sorted(folder.iterdir())


def at(time):
    """A clock that stands, in a list that can be changed."""
    clock = [time]
    return clock, lambda: clock[0]


def states(outbox, destination=NODE):
    return [each.state for each in outbox.find([destination.name], all_uids(outbox))]


def all_uids(outbox):
    return {each.instance.sop_instance_uid for state in State for each in outbox.objects(state)}


def dead(outbox, number=0, reason="it does not match its class (A900)", status=0xA900):
    """Give up one of the objects that wait."""
    outbox.change(replace(outbox.objects(State.WAITING)[number], state=State.DEAD, reason=reason, status=status))


def test_what_is_put_in_is_there_for_each_destination_with_its_content(results, tmp_path):
    files = result_files([results])
    assert len(files) == len(list(results.glob("*.dcm"))) >= 7
    assert Outbox(tmp_path).put(files, [NODE, OTHER], study="a hash") == 2 * len(files)
    found = Outbox(tmp_path).objects(State.WAITING, destination=NODE.name)
    assert sorted(each.instance.sop_instance_uid for each in found) == uids_of(files)
    assert [Outbox(tmp_path).content(each).read_bytes() for each in found] == [file.read_bytes() for file in files]
    assert {each.study for each in found} == {"a hash"}
    (segmentation,) = [each for each in found if each.instance.modality == "SEG"]
    assert segmentation.instance.kind == "Segmentation Storage"
    assert segmentation.label == f"SEG-{segmentation.sha256[:12]}"
    assert segmentation.size_bytes == (results / "seg.dcm").stat().st_size


def test_an_object_is_queued_once_for_a_destination_whatever_became_of_it(files, tmp_path):
    outbox = Outbox(tmp_path)
    assert [outbox.put(files, [NODE]), outbox.put(files, [NODE]), outbox.put(files, [NODE, OTHER])] == [3, 0, 3]
    waiting = outbox.objects(State.WAITING, destination=NODE.name)
    outbox.change(replace(waiting[0], state=State.DELIVERED))
    outbox.change(replace(waiting[1], state=State.DEAD, reason="refused"))
    assert outbox.put(files, [NODE]) == 0
    assert outbox.put(files, [NODE], again=True) == 1
    assert states(outbox) == [State.WAITING, State.DEAD, State.WAITING]


def test_two_files_of_one_object_are_one(files, tmp_path):
    (tmp_path / "copy.dcm").write_bytes(files[0].read_bytes())
    assert Outbox(tmp_path / "queue").put([files[0], tmp_path / "copy.dcm"], [NODE]) == 1


def test_without_files_or_destination_nothing_is_queued(files, tmp_path):
    outbox = Outbox(tmp_path)
    assert outbox.put([], [NODE]) == 0
    with pytest.raises(InputError, match="no destination is given"):
        outbox.put(files, [])
    assert outbox.counts() == ()


def test_what_is_no_object_is_refused_and_nothing_is_queued(files, tmp_path):
    slice_ = pydicom.dcmread(files[0])
    (tmp_path / "note.dcm").write_text("no image")
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "cut.dcm").write_bytes(files[0].read_bytes()[:140])
    slice_.SOPInstanceUID = ""
    slice_.save_as(tmp_path / "nameless.dcm")
    slice_.SOPInstanceUID, slice_.SOPClassUID = "1.2", MediaStorageDirectoryStorage
    slice_.save_as(tmp_path / "DICOMDIR")
    outbox = Outbox(tmp_path / "queue")
    for name, problem in (
        ("note.dcm", "note.dcm cannot be read as a DICOM file"),
        ("empty.dcm", "empty.dcm cannot be read as a DICOM file"),
        ("missing.dcm", "cannot be read as a DICOM file"),
        ("cut.dcm", "has no|cannot be read"),
        ("nameless.dcm", "one of the files has no SOPInstanceUID"),
        ("DICOMDIR", "is a DICOMDIR"),
    ):
        with pytest.raises(InputError, match=problem):
            outbox.put([*files, tmp_path / name], [NODE])
    assert outbox.counts() == ()


def test_only_results_that_are_complete_are_found(results, files, tmp_path):
    whole = result_files([results])
    assert result_files([results.parent]) == whole, "a folder of results folders"
    assert result_files([files[0], results, files[0]]) == (files[0], *whole)
    unfinished = tmp_path / "out" / ".result.x.part"
    made = [("report.json", b"{}"), ("seg.dcm", files[0].read_bytes())]
    for name, content in made:
        unfinished.mkdir(parents=True, exist_ok=True)
        (unfinished / name).write_bytes(content)
    for place, problem in (
        (tmp_path / "out", "holds no results of renalct"),
        (files[0].parent, "holds no results of renalct"),
        (tmp_path / "missing", "no file or folder"),
        (results / "report.json", "cannot be read as a DICOM file"),
    ):
        with pytest.raises(InputError, match=problem):
            result_files([place])
    (tmp_path / "nifti").mkdir()
    (tmp_path / "nifti" / "report.json").write_text("{}")
    with pytest.raises(InputError, match="or read from NIfTI, has none"):
        result_files([tmp_path / "nifti"])


def test_dead_letters_lie_in_a_folder_with_their_reason_until_they_are_sent_again(files, tmp_path):
    outbox = Outbox(tmp_path)
    outbox.put(files, [NODE])
    dead(outbox, reason="the object does not match its class (A900)")
    (letter,) = outbox.dead_letters()
    shown = sorted(path.name for path in (tmp_path / "dead-letters").iterdir())
    assert [name.startswith(letter.label) for name in shown] == [True, True]
    assert [name.rpartition(".")[2] for name in shown] == ["dcm", "json"]
    told = json.loads((tmp_path / "dead-letters" / shown[1]).read_text())
    assert (told["reason"], told["status"], told["kind"], told["destination"]) == (
        "the object does not match its class (A900)",
        "A900",
        "CT Image Storage",
        NODE.name,
    )
    assert (tmp_path / "dead-letters" / shown[0]).read_bytes() == files[0].read_bytes()
    assert outbox.retry_dead(destination=OTHER.name) == 0
    assert outbox.retry_dead(destination=NODE.name) == 1
    assert list((tmp_path / "dead-letters").iterdir()) == []
    again = outbox.find([NODE.name], {letter.instance.sop_instance_uid})[0]
    assert (again.state, again.reason, again.attempts, again.status) == (State.WAITING, "", 0, 0)


def test_the_folder_of_dead_letters_is_put_right_when_the_queue_is_opened(files, tmp_path):
    outbox = Outbox(tmp_path)
    outbox.put(files, [NODE])
    dead(outbox)
    before = sorted((tmp_path / "dead-letters").iterdir())
    before[0].unlink()
    (tmp_path / "dead-letters" / "CT-of-another.json").write_text("{}")
    Outbox(tmp_path)
    assert sorted((tmp_path / "dead-letters").iterdir()) == before


def test_what_is_due_is_what_was_tried_least_then_what_came_first(files, tmp_path):
    clock, now = at(1000.0)
    outbox = Outbox(tmp_path, clock=now)
    outbox.put(files, [NODE])
    first, second, _ = outbox.objects(State.WAITING)
    outbox.change(replace(first, attempts=1), replace(second, not_before=1010.0))
    due = outbox.due(NODE.name, State.WAITING, limit=9, far_s=60)
    assert [each.number for each in due] == [3, 1]
    assert len(outbox.due(NODE.name, State.WAITING, limit=1, far_s=60)) == 1
    assert outbox.next_due(NODE.name) == 0.0 and outbox.next_due(OTHER.name) is None
    clock[0] = 1010.0
    assert [each.number for each in outbox.due(NODE.name, State.WAITING, limit=9, far_s=60)] == [2, 3, 1]


def test_a_clock_that_was_wrong_holds_nothing_back(files, tmp_path):
    clock, now = at(1e9)
    outbox = Outbox(tmp_path, clock=now)
    outbox.put(files[:1], [NODE])
    outbox.change(replace(outbox.objects(State.WAITING)[0], not_before=1e9 + 60))
    assert outbox.due(NODE.name, State.WAITING, limit=9, far_s=900) == ()
    clock[0] = 1e8  # the clock is put right by thirty years
    assert len(outbox.due(NODE.name, State.WAITING, limit=9, far_s=900)) == 1


def test_a_change_of_what_somebody_else_changed_is_not_kept(files, tmp_path):
    outbox, other = Outbox(tmp_path), Outbox(tmp_path)
    outbox.put(files[:1], [NODE])
    (mine,), (theirs,) = outbox.objects(State.WAITING), other.objects(State.WAITING)
    assert other.change(replace(theirs, state=State.DELIVERED))
    assert not outbox.change(replace(mine, reason="late"))
    assert states(outbox) == [State.DELIVERED]


def test_one_sender_at_a_time_works_for_a_destination(tmp_path):
    outbox, other = Outbox(tmp_path), Outbox(tmp_path)
    with outbox.sender_of(NODE.name) as first, other.sender_of(NODE.name) as second, other.sender_of("b") as another:
        assert (first, second, another) == (True, False, True)
    with other.sender_of(NODE.name) as later:
        assert later


def test_what_waits_for_too_long_is_given_up_with_its_last_reason(files, tmp_path):
    clock, now = at(0.0)
    outbox = Outbox(tmp_path, clock=now)
    outbox.put(files[:2], [NODE])
    outbox.change(replace(outbox.objects(State.WAITING)[0], reason="out of resources (A700)"))
    clock[0] = 5.0
    outbox.put(files, [NODE])
    outbox.give_up(NODE.name, queued_before=5.0, reason="not delivered in time")
    assert [each.reason for each in outbox.dead_letters()] == ["out of resources (A700)", "not delivered in time"]
    assert len(outbox.on_their_way([NODE.name])) == 1


def test_counts_tell_states_bytes_age_and_why_a_destination_rests(files, tmp_path):
    _, now = at(50.0)
    outbox = Outbox(tmp_path, clock=now)
    outbox.put(files, [NODE])
    outbox.change(replace(outbox.objects(State.WAITING)[0], state=State.ACCEPTED))
    dead(outbox)
    outbox.set_pause(NODE.name, Pause(1, 60.0, "cannot be reached"))
    (counts,) = outbox.counts()
    assert (counts.waiting, counts.accepted, counts.delivered, counts.dead, counts.undelivered) == (1, 1, 0, 1, 2)
    sizes = [file.stat().st_size for file in files]
    assert counts.waiting_bytes == sizes[0] + sizes[2] and counts.oldest_queued_at == 50.0
    assert (counts.paused_until, counts.reason) == (60.0, "cannot be reached")
    outbox.set_pause(NODE.name, Pause())
    assert outbox.counts()[0].reason == ""


def test_files_that_nothing_needs_are_removed_and_what_is_on_its_way_never(files, tmp_path):
    clock, now = at(0.0)
    outbox = Outbox(tmp_path, clock=now)
    outbox.put(files, [NODE])
    sent, refused, waiting = outbox.objects(State.WAITING)
    outbox.change(replace(sent, state=State.DELIVERED), replace(refused, state=State.DEAD))
    assert outbox.tidy() == 0, "nobody may be putting it in just now"
    assert outbox.tidy(unused_for_s=0) == 1
    assert [outbox.content(each).exists() for each in (refused, waiting)] == [True, True]
    assert outbox.put(files, [NODE]) == 0, "what was delivered is remembered"
    clock[0] = 91 * DAY
    outbox.tidy(unused_for_s=0)
    assert states(outbox) == [State.DEAD, State.WAITING]
    assert outbox.put(files, [NODE]) == 1


def test_what_was_delivered_and_removed_can_be_sent_again(files, tmp_path):
    outbox = Outbox(tmp_path)
    outbox.put(files[:1], [NODE])
    outbox.change(replace(outbox.objects(State.WAITING)[0], state=State.DELIVERED))
    outbox.tidy(unused_for_s=0)
    assert outbox.put(files[:1], [NODE], again=True) == 1
    assert outbox.content(outbox.objects(State.WAITING)[0]).read_bytes() == files[0].read_bytes()


def test_a_file_that_was_damaged_in_the_queue_is_told(files, tmp_path):
    outbox = Outbox(tmp_path)
    outbox.put(files[:1], [NODE])
    queued = outbox.objects(State.WAITING)[0]
    path = outbox.content(queued)
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(InputError, match="of the queue is damaged"):
        outbox.content(queued)


def test_nothing_in_the_queue_but_the_objects_themselves_tells_of_the_patient(tmp_path):
    slice_ = made_slices()[0]
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyDescription", "InstitutionName", "StudyID"):
        setattr(slice_, keyword, "SENTINEL")
    save([slice_], tmp_path / "SENTINEL")
    file = next((tmp_path / "SENTINEL").iterdir())
    outbox = Outbox(tmp_path / "queue")
    outbox.put([file], [NODE])
    dead(outbox)
    places = [path.relative_to(tmp_path / "queue") for path in (tmp_path / "queue").rglob("*")]
    uids = [slice_.SOPInstanceUID, slice_.StudyInstanceUID]
    assert not [place for place in places if any(word in str(place) for word in ("SENTINEL", *uids))]
    holding = [
        place
        for place in places
        if (tmp_path / "queue" / place).is_file() and b"SENTINEL" in (tmp_path / "queue" / place).read_bytes()
    ]
    assert {place.parts[0] for place in holding} == {"blobs", "dead-letters"}
    assert {place.suffix for place in holding if place.parts[0] == "dead-letters"} == {".dcm"}
    assert (tmp_path / "queue").stat().st_mode & 0o077 == 0, "nobody else may look into it"


def test_the_header_of_an_object_names_no_patient(files):
    assert "Phantom" not in repr(read_instance(files[0])) and "PHANTOM" not in repr(read_instance(files[0]))


def test_a_process_that_is_killed_before_any_step_of_queueing_loses_nothing_acknowledged(files, tmp_path):
    (tmp_path / "result").mkdir()
    for name, file in zip(("report.json", "seg.dcm", "sr.dcm"), files, strict=True):
        (tmp_path / "result" / name).write_bytes(file.read_bytes())
    command = [sys.executable, str(WORKER), "steps", str(tmp_path / "queues"), str(tmp_path / "result")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert found["half"] == [] and found["acknowledged"]
    assert found["steps"] >= 30  # files, folders and statements for two objects
    assert found["unfinished_files"] > 0  # or no kill fell into the writing of a file
