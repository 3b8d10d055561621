"""A DICOM node that fails as it is told to: it refuses, aborts, is silent, answers with any status; or it is sound."""

import ssl
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

import pydicom
from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

ABORT, CLOSE, SILENT = "abort", "close", "silent"
"""Instead of a status: abort the association, cut the connection, or answer only when nobody waits any more."""
OK = 0x0000


class FaultyNode:
    """A node on loopback. `answers` are used one for each C-STORE, then it is sound.

    It keeps what it accepted in `stored` (the bytes of the data set by SOP Instance UID, the first that came), and
    counts in `received` how often each came. `proposed` has the presentation contexts of each association.
    """

    def __init__(
        self,
        answers=(),
        *,
        ae_title="NODE",
        storage=None,
        syntaxes=(ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        tls: ssl.SSLContext | None = None,
        refuses_associations=0,
        forgets=(),
        commits=None,
    ):
        self.answers, self.forgets = deque(answers), set(forgets)
        self.ae_title, self.storage, self.syntaxes, self.tls = ae_title, storage, syntaxes, tls
        self.refuses_associations, self.commits = refuses_associations, commits
        self.stored: dict[str, bytes] = {}
        self.headers: dict[str, Dataset] = {}
        self.received: Counter[str] = Counter()
        self.proposed: list[list[tuple[str, tuple[str, ...]]]] = []
        self.asked: list[Dataset] = []
        self.connections = []
        self.end = threading.Event()
        self.port = 0

    def _on_requested(self, event):
        contexts = event.assoc.requestor.requested_contexts
        self.proposed.append([(cx.abstract_syntax, tuple(cx.transfer_syntax)) for cx in contexts])
        if self.storage is None:
            event.assoc.acceptor.supported_contexts = [
                *event.assoc.acceptor.supported_contexts,
                *(
                    build_context(cx.abstract_syntax, list(self.syntaxes))
                    for cx in contexts
                    if cx.abstract_syntax.startswith("1.2.840.10008.5.1.4.1.1.")
                ),
            ]
        if self.refuses_associations > 0:
            self.refuses_associations -= 1
            event.assoc.acse.send_reject(0x02, 0x03, 0x01)  # transient, presentation provider, congestion
            event.assoc.kill()

    def _on_store(self, event):
        uid = str(event.request.AffectedSOPInstanceUID)
        self.received[uid] += 1
        answer = self.answers.popleft() if self.answers else OK
        if answer == SILENT:
            self.end.wait(20)
            return 0xC000
        if answer == ABORT:
            event.assoc.abort()
            return 0xC000
        if answer == CLOSE:
            event.assoc.dul.socket.close()
            return 0xC000
        if answer == OK or answer & 0xF000 == 0xB000:
            if uid in self.forgets:
                self.forgets.discard(uid)
            else:
                self.stored.setdefault(uid, event.request.DataSet.getvalue())
                self.headers.setdefault(uid, event.dataset)
        return answer

    def _on_find(self, event):
        for uid, header in list(self.headers.items()):
            wanted = event.identifier
            if all(header[tag].value == wanted[tag].value for tag in ("StudyInstanceUID", "SeriesInstanceUID")):
                answer = Dataset()
                answer.QueryRetrieveLevel, answer.SOPInstanceUID = "IMAGE", uid
                yield 0xFF00, answer
        yield OK, None

    def _on_action(self, event):
        """Answer a request for commitment on a thread of its own, on the same association or on another."""
        self.asked.append(event.action_information)
        if self.commits is not None:
            threading.Thread(target=self.commits, args=(self, event.assoc, event.action_information)).start()
        return OK, None

    def report_of(self, request, *, failed=None) -> Dataset:
        """The N-EVENT-REPORT's data set for a request: what is stored is committed, but for what is in `failed`."""
        failed, report = failed or {}, Dataset()
        report.TransactionUID = request.TransactionUID
        report.ReferencedSOPSequence, report.FailedSOPSequence = [], []
        for item in request.ReferencedSOPSequence:
            uid = str(item.ReferencedSOPInstanceUID)
            reason = failed.get(uid, 0 if uid in self.stored else 0x0112)
            if reason:
                item.FailureReason = reason
            (report.FailedSOPSequence if reason else report.ReferencedSOPSequence).append(item)
        if not report.FailedSOPSequence:
            del report.FailedSOPSequence
        return report

    @contextmanager
    def running(self) -> Iterator["FaultyNode"]:
        """It listens within the block."""
        application = AE(ae_title=self.ae_title)
        application.require_called_aet = True
        application.network_timeout = 30
        application.add_supported_context(Verification)
        application.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        application.add_supported_context(StorageCommitmentPushModel)
        for uid in self.storage or ():
            application.add_supported_context(UID(uid), list(self.syntaxes))
        handlers = [
            (evt.EVT_CONN_OPEN, lambda event: self.connections.append(event.assoc.dul.socket.socket)),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_N_ACTION, self._on_action),
        ]
        server = application.start_server(
            ("127.0.0.1", self.port), block=False, ssl_context=self.tls, evt_handlers=handlers
        )
        self.port = server.socket.getsockname()[1]
        try:
            yield self
        finally:
            self.end.set()
            server.shutdown()
            for connection in self.connections:  # pynetdicom leaves those open that the peer has closed
                connection.close()


def data_set_of(path) -> bytes:
    """The bytes of a file after its meta information: what has to arrive."""
    meta = pydicom.filereader.read_file_meta_info(path)
    return path.read_bytes()[128 + 4 + 12 + meta.FileMetaInformationGroupLength :]
