"""Storage commitment: delivered is what the archive has committed to keep, whenever and wherever it says so."""

import time

import pytest
from dicom_corpus import made_slices, save
from faulty_scp import FaultyNode
from orthanc import running_orthanc, services
from pydicom import Dataset
from pynetdicom import AE, build_role
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from renalct.core.errors import InputError
from renalct.delivery.commitment import commitment_listeners
from renalct.delivery.destinations import Commitment, DimseDestination
from renalct.delivery.outbox import Outbox, State
from renalct.delivery.sending import Sender, send_pending
from sending_desk import HOUR, Desk, wait_until
from sent_results import made_results, uids_of

WELL_KNOWN = "1.2.840.10008.1.20.1.1"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three small objects."""
    folder = tmp_path_factory.mktemp("files")
    save(made_slices()[:3], folder)
    return sorted(folder.iterdir())


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path / "queue")


def to(node, **commitment):
    settings = Commitment(**{"wait_s": 5.0, "patience_s": 1000.0} | commitment)
    return DimseDestination(
        name="pacs", host="127.0.0.1", port=node.port, ae_title="NODE", commitment=settings, answer_timeout_s=5.0
    )


def same_association(*, failed=None, seconds=0.1):
    """An archive that answers on the association that asked."""

    def answer(node, association, request):
        time.sleep(seconds)  # the response to the request comes first
        report = node.report_of(request, failed=failed)
        event = 2 if "FailedSOPSequence" in report else 1
        node.answered, _ = association.send_n_event_report(report, event, StorageCommitmentPushModel, WELL_KNOWN)

    return answer


def report(port, request, node, *, failed=None):
    """What the sender says to an answer that comes on an association of its own."""
    archive = AE(ae_title="NODE")
    context = build_context(StorageCommitmentPushModel)
    roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
    association = archive.associate("127.0.0.1", port, contexts=[context], ext_neg=roles)
    assert association.is_established
    answer = node.report_of(request, failed=failed)
    status, _ = association.send_n_event_report(answer, 1, StorageCommitmentPushModel, WELL_KNOWN)
    association.release()
    return status.Status


def test_an_object_is_delivered_when_the_archive_has_committed_on_the_same_association(files, desk):
    with FaultyNode(commits=same_association()).running() as node:
        desk.put(files, to(node))
        summary = desk.send(to(node), wait_s=2)
        assert summary.is_complete and summary.delivered == 3
    (request,) = node.asked
    assert sorted(item.ReferencedSOPInstanceUID for item in request.ReferencedSOPSequence) == uids_of(files)
    assert node.answered.Status == 0


def test_until_the_archive_has_committed_nothing_is_delivered_and_it_is_asked_again_after_its_patience(files, desk):
    with FaultyNode().running() as node:
        target = to(node, wait_s=0.0)
        desk.put(files, target)
        summary = desk.send(target)
        assert summary.delivered == 0 and len(node.stored) == 3
        assert {each.reason for each in summary.undelivered} == {"the archive has not yet committed to keep it"}
        assert {each.state for each in summary.undelivered} == {State.ACCEPTED}
        desk.send(target, wait_s=999)
        assert len(node.asked) == 1
        desk.send(target, wait_s=2)
        assert len(node.asked) == 2 and set(node.received.values()) == {1}


def test_an_answer_on_another_association_to_our_port_counts_also_when_it_comes_late_or_twice(files, desk):
    port = services.free_port()
    with FaultyNode().running() as node:
        target = to(node, wait_s=0.0, port=port)
        desk.put(files, target)
        desk.send(target)
        (request,) = node.asked
        with commitment_listeners(desk.outbox, [target]):
            assert [report(port, request, node) for _ in range(2)] == [0, 0]
            unknown = Dataset()
            unknown.update(request)
            unknown.TransactionUID = "1.2.3"
            assert report(port, unknown, node) == 0, "somebody else's transaction"
        assert desk.send(target).delivered == 3


def test_the_port_answers_an_echo_as_archives_want_before_they_send(files, desk):
    port = services.free_port()
    with FaultyNode().running() as node, commitment_listeners(desk.outbox, [to(node, port=port)]):
        association = AE().associate("127.0.0.1", port, contexts=[build_context(Verification)])
        assert association.send_c_echo().Status == 0
        association.release()


def test_what_the_archive_does_not_have_is_sent_again(files, desk):
    lost = uids_of(files)[1]
    with FaultyNode(commits=same_association(), forgets=[lost]).running() as node:
        desk.put(files, to(node))
        assert desk.send(to(node), wait_s=2).delivered == 2
        (queued,) = desk.outbox.on_their_way(["pacs"])
        assert (queued.state, queued.status) == (State.WAITING, 0x0112)
        assert "does not commit to keep it: no such instance (0112)" in queued.reason
        assert desk.send(to(node), wait_s=HOUR).is_complete
    assert node.received[lost] == 2 and sum(node.received.values()) == 4


def test_what_the_archive_will_never_commit_to_is_a_dead_letter(files, desk):
    refused = uids_of(files)[0]
    with FaultyNode(commits=same_association(failed={refused: 0x0122})).running() as node:
        desk.put(files, to(node))
        summary = desk.send(to(node), wait_s=2)
    assert summary.delivered == 2
    assert [each.reason for each in summary.dead] == [
        "the archive does not commit to keep it: the archive does not store this kind of object (0122)"
    ]


def test_what_fails_for_now_is_asked_again(files, desk):
    busy = {uids_of(files)[0]: 0x0213}
    with FaultyNode(commits=same_association(failed=busy)).running() as node:
        desk.put(files, to(node))
        assert desk.send(to(node), wait_s=2).delivered == 2
        busy.clear()
        assert desk.send(to(node), wait_s=HOUR).is_complete
    assert len(node.asked) == 2 and set(node.received.values()) == {1}


def test_an_archive_that_knows_no_commitment_is_told(files, desk):
    class Without(FaultyNode):
        def _on_requested(self, event):
            super()._on_requested(event)
            supported = event.assoc.acceptor.supported_contexts
            event.assoc.acceptor.supported_contexts = [
                each for each in supported if each.abstract_syntax != StorageCommitmentPushModel
            ]

    with Without().running() as node:
        desk.put(files, to(node))
        summary = desk.send(to(node), wait_s=HOUR)
    assert desk.slept == 0.0
    assert summary.problems == (("pacs", "does not take storage commitment; leave it out"),)


def test_a_port_that_is_in_use_is_told(desk):
    with FaultyNode().running() as node, pytest.raises(InputError, match=f"port {node.port}, .* cannot be used"):
        desk.send(to(node, port=node.port))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


def test_orthanc_commits_on_an_association_of_its_own_and_finds_what_it_has(orthanc, tmp_path):
    results = made_results(tmp_path / "results")
    port = services.free_port()
    with orthanc.rest as client:
        us = {"AET": "RENALCT", "Host": "127.0.0.1", "Port": port}
        client.put("/modalities/renalct", json=us).raise_for_status()
    outbox = Outbox(tmp_path / "queue")
    target = DimseDestination(
        name="orthanc",
        host="127.0.0.1",
        port=orthanc.dicom_port,
        ae_title="RENALCT",
        find=True,
        commitment=Commitment(port=port, wait_s=0.5),
    )
    with Sender(outbox, [target]):
        outbox.put(results, [target])
        wait_until(lambda: outbox.counts()[0].delivered == len(results))
    assert all(each.committed for each in outbox.objects(State.DELIVERED))
    assert send_pending(outbox, [target]).is_complete
