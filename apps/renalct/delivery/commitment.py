"""Storage commitment (PS3.4 Annex J): the archive is asked to take responsibility for objects, and its answer kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from pydicom import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from renalct.core.errors import InputError
from renalct.delivery.association import Handler, associated
from renalct.delivery.destinations import Destination, DimseDestination
from renalct.delivery.outbox import Outbox
from renalct.delivery.queue_records import Queued, State
from renalct.delivery.statuses import PeerUnavailable
from renalct.formats.dicom.web_answers import failure_words

log = logging.getLogger(__name__)

_WELL_KNOWN_INSTANCE = "1.2.840.10008.1.20.1.1"
_REQUEST = 1
_SUCCESS, _PROCESSING_FAILURE = 0x0000, 0x0110
_NOT_THERE = 0x0112
_ASKED_AGAIN = (0x0110, 0x0213)
_ASKED_AGAIN_AFTER_S = 60.0
_TRIES = 5
_SETTLING_S = 0.02
"""The thread that answered a report ends its work on the association before it is released by another."""


def ask_commitment(outbox: Outbox, destination: DimseDestination, objects: Sequence[Queued]) -> None:
    """Ask a node to commit to keep these objects, and wait on the same association as long as the destination says.

    The answer changes the queue, whenever it comes. Raises `PeerUnavailable` when the node cannot be asked.
    """
    assert destination.commitment is not None
    taken, answered = threading.Event(), threading.Event()

    def report(event: evt.Event) -> tuple[int, None]:
        answer = take_report(outbox, event)
        taken.set()
        return answer

    def sent(event: evt.Event) -> None:
        if taken.is_set():
            answered.set()

    transaction = generate_uid(prefix=None)
    outbox.commitment_asked(transaction, destination.name)  # first: the answer may be faster than the response
    contexts = [build_context(StorageCommitmentPushModel)]
    handlers: list[Handler] = [(evt.EVT_N_EVENT_REPORT, report), (evt.EVT_PDU_SENT, sent)]
    with associated(destination, contexts, handlers=handlers) as association:
        if not association.is_established:
            raise PeerUnavailable("does not take storage commitment; leave it out", needs_a_person=True)
        status, _ = association.send_n_action(
            _request(transaction, objects), _REQUEST, StorageCommitmentPushModel, _WELL_KNOWN_INSTANCE
        )
        if "Status" not in status:
            raise PeerUnavailable("did not answer a request for storage commitment")
        if status.Status != _SUCCESS:
            raise PeerUnavailable(f"refuses storage commitment: {failure_words(int(status.Status))}")
        if answered.wait(destination.commitment.wait_s):
            time.sleep(_SETTLING_S)


def take_report(outbox: Outbox, event: evt.Event) -> tuple[int, None]:
    """The status to answer an N-EVENT-REPORT with (and no data set), after the queue has been changed as it says.

    A handler of EVT_N_EVENT_REPORT, for any listener. A report that is not about a transaction of this queue (or for
    the second time) is taken and changes nothing.
    """
    report = event.event_information
    transaction = str(report.get("TransactionUID", ""))
    destination = outbox.commitment_of(transaction)
    if destination is None:
        return _SUCCESS, None
    committed = {str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence") or ()}
    failed = {
        str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0)
        for item in report.get("FailedSOPSequence") or ()
    }
    for _ in range(_TRIES):  # a sender may change the same objects just now
        objects = outbox.accepted(destination, committed | failed.keys())
        if outbox.change(*(_reported(each, failed, now=outbox.now()) for each in objects)):
            outbox.commitment_answered(transaction)
            log.info("%s commits to keep %d objects, not %d", destination, len(committed), len(failed))
            return _SUCCESS, None
    return _PROCESSING_FAILURE, None


@contextmanager
def commitment_listeners(outbox: Outbox, destinations: Sequence[Destination]) -> Iterator[None]:
    """Within it, answers that come on a new association are taken on the ports that the destinations name.

    Raises `InputError` when a port is in use.
    """
    ports = {
        each.commitment.port: each.calling_ae_title
        for each in destinations
        if isinstance(each, DimseDestination) and each.commitment is not None and each.commitment.port
    }
    with ExitStack() as stack:
        for port, title in ports.items():
            application = AE(ae_title=title)
            application.add_supported_context(Verification)
            application.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
            try:
                server = application.start_server(
                    ("", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, partial(take_report, outbox))]
                )
            except OSError as error:
                raise InputError(
                    f"port {port}, on which storage commitments are answered, cannot be used ({error.strerror}); "
                    "choose another one in the file of destinations"
                ) from error
            assert server is not None
            stack.callback(server.shutdown)
        yield


def _request(transaction: str, objects: Sequence[Queued]) -> Dataset:
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = []
    for queued in objects:
        item = Dataset()
        item.ReferencedSOPClassUID = queued.instance.sop_class_uid
        item.ReferencedSOPInstanceUID = queued.instance.sop_instance_uid
        request.ReferencedSOPSequence.append(item)
    return request


def _reported(queued: Queued, failed: dict[str, int], *, now: float) -> Queued:
    """The object after the report: committed, or not there and sent again, or asked again, or given up."""
    uid = queued.instance.sop_instance_uid
    if uid not in failed:
        return replace(queued, committed=True, not_before=0.0, reason="")
    code = failed[uid]
    reason = f"the archive does not commit to keep it: {failure_words(code)}"
    if code == _NOT_THERE:
        return replace(
            queued, state=State.WAITING, attempts=queued.attempts + 1, checks=0, not_before=now + _ASKED_AGAIN_AFTER_S,
            status=code, reason=reason,
        )  # fmt: skip
    if code in _ASKED_AGAIN:
        return replace(queued, not_before=now + _ASKED_AGAIN_AFTER_S, status=code, reason=reason)
    return replace(queued, state=State.DEAD, status=code, reason=reason)
