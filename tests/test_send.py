"""Sending by C-STORE: every failure of a node, and what becomes of each object. All times are made."""

import logging
import re
import socket
import threading
import time
from dataclasses import replace

import pydicom
import pytest
from dicom_corpus import made_slices, save, save_one
from faulty_scp import ABORT, CLOSE, SILENT, FaultyNode, data_set_of
from made_certificates import made_certificates, server_context
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
)
from pynetdicom.dul import DULServiceProvider
from renalct.core.errors import InputError
from renalct.delivery import rounds
from renalct.delivery.access import Tls
from renalct.delivery.c_store import needed_contexts
from renalct.delivery.destinations import DimseDestination
from renalct.delivery.outbox import Outbox, State
from renalct.delivery.retries import RetryPolicy
from renalct.delivery.sending import Sender, send_pending
from renalct.delivery.statuses import Verdict, outcome_of
from sending_desk import HOUR, POLICY, Desk, wait_until
from sent_results import made_results, uids_of


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return made_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three small objects."""
    folder = tmp_path_factory.mktemp("files")
    save(made_slices()[:3], folder)
    return sorted(folder.iterdir())


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "queue")


def to(node, **settings):
    """The node as a destination, quick to be given up."""
    usual = {"host": "127.0.0.1", "ae_title": "NODE", "connect_timeout_s": 2.0, "answer_timeout_s": 5.0}
    return DimseDestination(name="pacs", port=node.port, **usual | settings)


def test_results_arrive_byte_by_byte_on_one_association_with_only_the_contexts_they_need(results, desk):
    with FaultyNode().running() as node:
        desk.put(results, to(node))
        summary = desk.send(to(node))
    assert (summary.delivered, summary.undelivered, summary.dead, summary.is_complete) == (len(results), (), (), True)
    sent = {str(pydicom.dcmread(path).SOPInstanceUID): data_set_of(path) for path in results}
    assert node.stored == sent
    classes = {str(pydicom.dcmread(path).SOPClassUID) for path in results}
    (proposed,) = node.proposed
    assert {sop_class for sop_class, _ in proposed} == classes and len(proposed) == len(classes) == 5
    assert {syntaxes for _, syntaxes in proposed} == {(ExplicitVRLittleEndian, ImplicitVRLittleEndian)}


def test_what_was_delivered_is_not_sent_again_unless_asked(files, desk):
    with FaultyNode().running() as node:
        assert [desk.put(files, to(node)), desk.send(to(node)).delivered] == [3, 3]
        assert [desk.put(files, to(node)), desk.send(to(node)).delivered] == [0, 0]
        assert desk.outbox.put(files, [to(node)], again=True) == 3
        assert desk.send(to(node)).delivered == 3
    assert set(node.received.values()) == {2} and len(node.stored) == 3


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        (0x0000, Verdict.STORED, ""),
        (0x0111, Verdict.STORED, "it was there already"),
        (0xB000, Verdict.STORED, "values were changed"),
        (0xB007, Verdict.STORED, "does not match its class"),
        (0xBFFF, Verdict.STORED, "stored with a warning"),
        (0x0107, Verdict.STORED, "stored with a warning"),
        (0xA700, Verdict.TRY_AGAIN, "out of resources"),
        (0xA7FF, Verdict.TRY_AGAIN, "out of resources"),
        (0x0110, Verdict.TRY_AGAIN, "processing failure"),
        (0x0213, Verdict.TRY_AGAIN, "refused"),
        (0xFE00, Verdict.TRY_AGAIN, "refused"),
        (0xA900, Verdict.REFUSED, "does not match its class"),
        (0xC000, Verdict.REFUSED, "cannot be understood"),
        (0xCFFF, Verdict.REFUSED, "cannot be understood"),
        (0x0122, Verdict.REFUSED, "does not store this kind"),
        (0x0124, Verdict.REFUSED, "not authorized"),
        (0x1234, Verdict.REFUSED, "refused"),
    ],
)
def test_a_status_says_whether_an_object_is_there_or_is_sent_again_or_never_will_be_taken(status, verdict, words):
    outcome = outcome_of(status)
    assert outcome.verdict is verdict and words in outcome.words
    assert status == 0 or f"({status:04X})" in outcome.words


def test_a_node_out_of_resources_is_tried_again_until_it_has_them(files, desk):
    with FaultyNode([0xA700, 0, 0, 0xA702]).running() as node:
        desk.put(files, to(node))
        assert desk.send(to(node)).delivered == 2
        (waiting,) = desk.outbox.objects(State.WAITING)
        assert (waiting.attempts, waiting.status, waiting.reason) == (1, 0xA700, "out of resources (A700)")
        assert desk.send(to(node)).delivered == 0, "its time has not come"
        assert sum(node.received.values()) == 3
        assert desk.send(to(node), wait_s=60).is_complete
    assert sorted(node.received.values()) == [1, 1, 3]
    assert desk.slept == pytest.approx(10 + 20, abs=1e-6)  # 10 s, then twice that


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0122])
def test_an_object_that_is_refused_for_good_is_a_dead_letter_and_the_others_arrive(status, files, desk):
    with FaultyNode([0, status]).running() as node:
        desk.put(files, to(node))
        summary = desk.send(to(node), wait_s=HOUR)
        assert (summary.delivered, desk.slept, summary.is_complete) == (2, 0.0, False)
        (dead,) = summary.dead
        assert summary.reasons == (f"pacs: {dead.reason}",)
        assert dead.status == status and f"({status:04X})" in dead.reason
        assert desk.send(to(node)).is_complete, "what was given up before is not this sending's failure"
        desk.outbox.retry_dead()
        assert desk.send(to(node)).delivered == 1
    assert len(node.stored) == 3


def test_a_warning_is_a_delivery_with_a_note(files, desk):
    with FaultyNode([0xB000, 0x0111]).running() as node:
        desk.put(files, to(node))
        assert desk.send(to(node)).delivered == 3
    notes = [each.note for each in desk.outbox.objects(State.DELIVERED)]
    assert notes == ["stored with a warning: values were changed (B000)", "it was there already (0111)", ""]


@pytest.mark.parametrize("failure", [ABORT, CLOSE, SILENT])
def test_an_association_that_ends_midway_loses_nothing_and_repeats_only_what_was_on_its_way(failure, files, desk):
    with FaultyNode([0, failure]).running() as node:
        target = to(node, answer_timeout_s=0.5)
        desk.put(files, target)
        summary = desk.send(target)
        assert summary.delivered == 1
        assert len(summary.undelivered) == 2 and summary.problems[0][0] == "pacs"
        assert desk.send(target, wait_s=60).is_complete
    assert sorted(node.received.values()) == [1, 1, 2]
    assert len(node.proposed) == 2


def test_an_object_on_which_the_node_always_fails_does_not_hold_up_the_others(files, desk):
    class Poisoned(FaultyNode):
        def _on_store(self, event):
            if event.request.AffectedSOPInstanceUID == poison:
                event.assoc.abort()
                return 0xC000
            return super()._on_store(event)

    poison = uids_of(files)[0]
    with Poisoned().running() as node:
        desk.put(files, to(node))
        summary = desk.send(to(node), wait_s=40)
        assert (summary.delivered, len(node.stored), len(summary.undelivered)) == (2, 2, 1)
        policy = replace(POLICY, give_up_after_s=200.0)
        summary = desk.send(to(node), wait_s=HOUR, policy=policy)
    assert [each.instance.sop_instance_uid for each in summary.dead] == [poison]
    assert summary.dead[0].reason == "aborted the association"
    assert 200 <= desk.slept <= 200 + 60, "it was tried for so long, in pauses of a minute at the most"


def test_a_node_that_refuses_associations_for_now_is_asked_again_after_growing_pauses(files, desk):
    with FaultyNode(refuses_associations=4).running() as node:
        desk.put(files, to(node))
        assert desk.send(to(node)).problems == (("pacs", "is congested"),)
        assert desk.outbox.counts()[0].paused_until == desk.now + 10
        summary = desk.send(to(node), wait_s=HOUR)
    assert summary.is_complete and summary.problems == ()
    assert desk.slept == pytest.approx(10 + 20 + 40 + 60, abs=1e-6)
    assert set(node.received.values()) == {1}


def test_pauses_are_shortened_by_chance_and_never_below_the_share_of_the_jitter():
    policy = RetryPolicy(first_pause_s=2, longest_pause_s=100, jitter=0.5)
    assert [policy.pause_s(n, chance=0.0) for n in (0, 1, 2, 3, 6, 7, 10**6)] == [2, 2, 4, 8, 64, 100, 100]
    assert [policy.pause_s(n, chance=1.0) for n in (1, 2, 7)] == [1, 2, 50]


@pytest.mark.parametrize(
    "wrong",
    [{"first_pause_s": 0.0}, {"first_pause_s": 9e9}, {"jitter": 1.0}, {"give_up_after_s": 0.0}, {"checks": 0}],
)
def test_a_policy_that_cannot_work_is_refused(wrong):
    with pytest.raises(InputError):
        RetryPolicy(**wrong)


def test_a_wrong_ae_title_is_told_at_once_and_nothing_is_lost(files, desk):
    with FaultyNode().running() as node:
        wrong = to(node, ae_title="NOBODY")
        desk.put(files, wrong)
        summary = desk.send(wrong, wait_s=HOUR)
        assert desk.slept == 0, "waiting does not help"
        assert summary.problems == (("pacs", "is not called 'NOBODY'; correct the AE title"),)
        assert summary.reasons == ("pacs is not called 'NOBODY'; correct the AE title",)
        assert len(summary.undelivered) == 3
        desk.now += 10
        assert desk.send(to(node)).is_complete


def test_a_node_that_is_away_gets_everything_when_it_is_back(files, desk):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = FaultyNode()
    node.port = port
    desk.put(files, to(node))
    summary = desk.send(to(node), wait_s=30)
    assert (summary.delivered, len(summary.undelivered)) == (0, 3)
    assert summary.problems == (("pacs", "cannot be reached (Connection refused)"),)
    assert [each.attempts for each in summary.undelivered] == [0, 0, 0]
    with node.running():
        assert desk.send(to(node), wait_s=60).is_complete


def test_a_host_that_does_not_exist_is_told(files, desk):
    nowhere = DimseDestination(name="pacs", host="no-such-host.invalid", port=104, ae_title="NODE")
    desk.put(files, nowhere)
    assert "has a host name that is not known" in desk.send(nowhere).problems[0][1]


def test_a_name_of_a_host_is_found_under_its_older_kind_of_address(files, desk):
    with FaultyNode().running() as node:  # listens on 127.0.0.1 only
        desk.put(files, to(node, host="localhost"))
        assert desk.send(to(node, host="localhost")).is_complete


def test_what_a_node_takes_no_context_for_is_a_dead_letter_and_the_rest_arrives(results, files, desk):
    with FaultyNode(storage=[CTImageStorage]).running() as node:
        segmentation = next(path for path in results if path.name == "seg.dcm")
        desk.put([segmentation, *files], to(node))
        summary = desk.send(to(node))
        assert summary.delivered == 3
        assert [each.reason for each in summary.dead] == ["does not take Segmentation Storage"]
        desk.outbox.retry_dead()
        assert len(desk.send(to(node)).dead) == 1, "also when it is alone, and no context at all is accepted"


def compressed(folder):
    """A slice in JPEG-LS; what its pixels are is nobody's business here."""
    save_one(made_slices()[0], folder / "plain.dcm")
    slice_ = pydicom.dcmread(folder / "plain.dcm")
    slice_.compress(JPEGLSLossless)
    slice_.save_as(folder / "compressed.dcm")
    return folder / "compressed.dcm"


def test_a_compressed_object_is_offered_as_it_is_and_never_recoded(desk, tmp_path):
    file = compressed(tmp_path)
    with FaultyNode(syntaxes=[JPEGLSLossless]).running() as node:
        desk.put([file], to(node))
        assert desk.send(to(node)).is_complete
        assert node.proposed[0][0][1] == (JPEGLSLossless,)
        assert list(node.stored.values()) == [data_set_of(file)]


def test_a_transfer_syntax_that_the_node_does_not_take_is_told(desk, tmp_path):
    with FaultyNode().running() as node:
        desk.put([compressed(tmp_path)], to(node))
        (dead,) = desk.send(to(node)).dead
    assert dead.reason == "does not take CT Image Storage in JPEG-LS Lossless Image Compression"


def test_a_node_that_takes_only_implicit_vr_gets_the_same_values(results, desk):
    report = next(path for path in results if path.name == "sr.dcm")
    with FaultyNode(syntaxes=[ImplicitVRLittleEndian]).running() as node:
        desk.put([report], to(node))
        assert desk.send(to(node)).is_complete
    (received,) = node.headers.values()
    assert received == pydicom.dcmread(report)


def test_a_deflated_object_is_sent_as_it_is(desk, tmp_path):
    save_one(made_slices()[0], tmp_path / "deflated.dcm", DeflatedExplicitVRLittleEndian)
    with FaultyNode(syntaxes=[DeflatedExplicitVRLittleEndian]).running() as node:
        desk.put([tmp_path / "deflated.dcm"], to(node))
        assert desk.send(to(node)).is_complete
    assert list(node.stored.values()) == [data_set_of(tmp_path / "deflated.dcm")]


def test_each_pair_of_class_and_syntax_is_proposed_once(files, desk):
    desk.outbox.put(files, [DimseDestination(name="pacs", host="h", port=1, ae_title="NODE")])
    contexts = needed_contexts(desk.outbox.objects(State.WAITING))
    assert [(each.abstract_syntax, len(each.transfer_syntax)) for each in contexts] == [(CTImageStorage, 2)]


def test_many_objects_take_several_associations(files, desk, monkeypatch):
    monkeypatch.setattr(rounds, "MOST_AT_ONCE", 2)
    with FaultyNode().running() as node:
        desk.put(files, to(node))
        assert desk.send(to(node)).delivered == 3
    assert len(node.proposed) == 2


def test_what_was_accepted_and_is_not_there_is_looked_for_and_then_sent_again(files, desk):
    with FaultyNode(forgets=[uids_of(files)[1]]).running() as node:
        target = to(node, find=True)
        desk.put(files, target)
        summary = desk.send(target)
        assert summary.delivered == 2
        assert [each.reason for each in summary.undelivered] == ["it was accepted, and the archive does not have it"]
        assert desk.send(target, wait_s=HOUR).is_complete
    assert sorted(node.received.values()) == [1, 1, 2]
    assert desk.slept == pytest.approx(10 + 20 + 40 + 60, abs=1e-6)  # three more looks, then it is sent again


def test_a_file_that_was_damaged_in_the_queue_is_a_dead_letter(files, desk):
    with FaultyNode().running() as node:
        desk.put(files, to(node))
        path = desk.outbox.content(desk.outbox.objects(State.WAITING)[0])
        path.chmod(0o644)
        path.write_bytes(b"damaged")
        summary = desk.send(to(node))
    assert summary.delivered == 2 and "of the queue is damaged" in summary.dead[0].reason


def test_a_destination_that_is_away_does_not_delay_another(files, desk):
    with FaultyNode().running() as node:
        away = replace(to(node), name="away", port=9)
        desk.put(files, to(node), away)
        summary = desk.send(to(node), away, wait_s=5)
    assert summary.delivered == 3
    assert {each.destination for each in summary.undelivered} == {"away"} == {name for name, _ in summary.problems}


def test_a_node_that_stops_reading_is_left_in_time(desk, tmp_path):
    slice_ = made_slices()[0]
    slice_.Rows, slice_.Columns = 4096, 4096
    slice_.PixelData = bytes(2 * 4096 * 4096)  # more than the buffers of a connection hold
    save_one(slice_, tmp_path / "large.dcm")
    release = threading.Event()

    class Deaf(FaultyNode):
        def _on_store(self, event):
            return 0

    with Deaf().running() as node, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pynetdicom.dul.DULServiceProvider._read_pdu_data", once_then_wait(release))
        patch.setattr("renalct.delivery.c_store._SLOWEST_BYTES_PER_S", 1e12)
        target = to(node, answer_timeout_s=1.0)
        desk.put([tmp_path / "large.dcm"], target)
        start = time.monotonic()
        summary = desk.send(target)
        seconds = time.monotonic() - start
        release.set()
    assert len(summary.undelivered) == 1 and seconds < 10


def once_then_wait(release):
    """Reading for an acceptor: the request for an association, and nothing after it until `release`."""
    read = DULServiceProvider._read_pdu_data
    seen = set()

    def wait(self):
        if self.assoc.is_acceptor and id(self) in seen:
            release.wait(20)
        seen.add(id(self))
        read(self)

    return wait


def test_a_thread_delivers_what_is_put_in_while_it_runs(files, tmp_path):
    outbox = Outbox(tmp_path)
    with FaultyNode([0xA700]).running() as node:
        target = to(node)
        with Sender(outbox, [target], policy=RetryPolicy(first_pause_s=0.05)) as sender:
            outbox.put(files[:1], [target])
            sender.wake()
            outbox.put(files[1:], [target])
            wait_until(lambda: len(outbox.objects(State.DELIVERED)) == 3)
    assert not [each for each in threading.enumerate() if each.name.startswith("renalct-send")]


def test_a_thread_survives_what_nobody_foresaw(files, tmp_path, monkeypatch, caplog):
    outbox = Outbox(tmp_path)
    failures = [RuntimeError("a foreign error that names SENTINEL")]
    real = rounds.Round.run

    def run(self, *, stop):
        if failures:
            raise failures.pop()
        return real(self, stop=stop)

    monkeypatch.setattr(rounds.Round, "run", run)
    monkeypatch.setattr("renalct.delivery.sending._AFTER_A_FAILURE_S", 0.05)
    with FaultyNode().running() as node, Sender(outbox, [to(node)]):
        outbox.put(files, [to(node)])
        wait_until(lambda: len(outbox.objects(State.DELIVERED)) == 3)
    assert "a bug in renalct (RuntimeError)" in caplog.text and "SENTINEL" not in caplog.text


def test_sending_stops_when_it_is_asked_to_and_goes_on_later(files, desk):
    with FaultyNode().running() as node:
        desk.put(files, to(node))
        summary = send_pending(desk.outbox, [to(node)], wait_s=HOUR, timing=desk.timing, stop=lambda: bool(node.stored))
        assert (summary.delivered, len(summary.undelivered)) == (1, 2)
        assert desk.send(to(node)).is_complete
    assert set(node.received.values()) == {1}


def test_while_somebody_else_sends_nothing_is_sent_twice(files, desk):
    with FaultyNode().running() as node:
        desk.put(files, to(node))
        with desk.outbox.sender_of("pacs"):
            assert desk.send(to(node), wait_s=3).delivered == 0
        assert desk.send(to(node)).delivered == 3
    assert set(node.received.values()) == {1}


def test_no_log_holds_a_value_of_the_objects(desk, tmp_path, caplog):
    slice_ = made_slices()[0]
    for keyword in ("PatientName", "PatientID", "AccessionNumber", "StudyDescription", "InstitutionName"):
        setattr(slice_, keyword, "SENTINEL")
    save_one(slice_, tmp_path / "SENTINEL.dcm")
    caplog.set_level(logging.DEBUG)
    with FaultyNode([0xA700, ABORT, 0xC000], refuses_associations=1).running() as node:
        desk.put([tmp_path / "SENTINEL.dcm"], to(node))
        desk.send(to(node), wait_s=HOUR)
    said = caplog.text
    assert "is a dead letter for pacs" in said and "is tried again in" in said
    for word in ("SENTINEL", slice_.SOPInstanceUID, slice_.StudyInstanceUID):
        assert word not in said


# ---- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return made_certificates(tmp_path_factory.mktemp("tls"))


def test_over_tls_objects_arrive_at_a_node_that_wants_our_certificate(certificates, files, desk):
    tls = Tls(
        ca_file=certificates / "ca.pem",
        certificate_file=certificates / "client.pem",
        key_file=certificates / "client.key",
    )
    with FaultyNode(tls=server_context(certificates, wants_client=True)).running() as node:
        target = to(node, host="localhost", tls=tls, find=True)
        desk.put(files, target)
        assert desk.send(target).is_complete
        desk.outbox.put(files, [target], again=True)
        nameless = replace(target, tls=Tls(ca_file=certificates / "ca.pem"), answer_timeout_s=2.0)
        summary = desk.send(nameless)
    assert len(summary.undelivered) == 3 and set(node.received.values()) == {1}


@pytest.mark.parametrize(
    ("host", "authority", "problem"),
    [
        ("localhost", "other.pem", "shows a certificate that is not trusted"),
        ("127.0.0.1", "ca.pem", "shows a certificate that is not trusted .*127.0.0.1"),
        ("localhost", "missing.pem", "cannot be spoken to: a certificate file cannot be used"),
    ],
)
def test_a_node_that_is_not_who_it_should_be_gets_nothing(host, authority, problem, certificates, files, desk):
    with FaultyNode(tls=server_context(certificates)).running() as node:
        target = to(node, host=host, tls=Tls(ca_file=certificates / authority))
        desk.put(files, target)
        summary = desk.send(target, wait_s=HOUR)
    assert desk.slept == 0 and len(summary.undelivered) == 3 and node.received == {}
    assert re.search(problem, summary.problems[0][1])


def test_a_node_without_tls_gets_nothing_over_tls(certificates, files, desk):
    with FaultyNode().running() as node:
        target = to(node, host="localhost", tls=Tls(ca_file=certificates / "ca.pem"), answer_timeout_s=2.0)
        desk.put(files, target)
        summary = desk.send(target)
    assert len(summary.undelivered) == 3 and node.received == {}
