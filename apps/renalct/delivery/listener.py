"""The DICOM node that receives: C-ECHO, and C-STORE of all that a CT study brings, into an inbox."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from pydicom import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from renalct.core.errors import InputError, RenalctError
from renalct.delivery.inbox import Inbox, Reception
from renalct.delivery.listening_server import AssociationServer, tls_context
from renalct.delivery.received_file import CT_CLASSES, Refused, answer, received_instance
from renalct.delivery.service_settings import ListenerSettings

_log = logging.getLogger(__name__)

CT_TRANSFER_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
    RLELossless,
)
"""What CT images are taken in: every transfer syntax that can be without loss and that renalct decodes.

A sender that has others decompresses, and an image that was lossy once says so in its header.
"""

_KEPT_ONLY = (*CT_TRANSFER_SYNTAXES, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)
"""What other objects of a study are taken in: they are kept beside the images, and their pixels never decoded."""

SUCCESS = 0x0000
DUPLICATE_INSTANCE = 0x0111
OUT_OF_RESOURCES = 0xA700
_LONGEST_PDU = 1 << 18
_LOOK_S = 0.1

_ANSWERS = {
    Reception.STORED: (SUCCESS, ""),
    Reception.DUPLICATE: (SUCCESS, ""),
    Reception.CONFLICT: (DUPLICATE_INSTANCE, "another data set with this SOP Instance UID is kept"),
    Reception.FULL: (OUT_OF_RESOURCES, "the queue is full; send again later"),
}


Reports = Callable[[evt.Event], tuple[int, None]]
"""Takes the report of an archive about storage commitment (N-EVENT-REPORT); returns the status to answer with."""


class Listener:
    """Receives into an inbox from `start` to `stop`. `port` is the one that it listens on.

    Status of a C-STORE: 0000 when the instance is durable here or was before; 0111 when another data set is kept under
    its SOP Instance UID; A700 when there is no room, or the disk cannot be written; A900 and C000 for a data set that
    does not match its request or cannot be read. A SOP class that is no storage class gets no presentation context.
    With `reports` archives may answer requests for storage commitment here.
    """

    def __init__(self, inbox: Inbox, settings: ListenerSettings, *, reports: Reports | None = None) -> None:
        self._inbox = inbox
        self._settings = settings
        self._reports = reports
        self._server: ThreadedAssociationServer | None = None
        self._gate = threading.Lock()
        self._visits: WeakKeyDictionary[Association, _Visit] = WeakKeyDictionary()

    @property
    def port(self) -> int:
        """The port, which is another one than that of the settings if that is 0. Only while it listens."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Listen. Raises `InputError` when the port cannot be had, or a certificate is none."""
        settings = self._settings
        try:
            self._server = application_entity(self._settings, with_reports=self._reports is not None).make_server(
                (settings.host, settings.port),
                ssl_context=None if settings.tls is None else tls_context(settings.tls),
                evt_handlers=self._handlers(),
                server_class=AssociationServer,
            )
        except OSError as error:
            raise InputError(
                f"port {settings.port} cannot be listened on ({error.strerror or error}); choose another by --port, "
                "or stop the program that has it"
            ) from error
        assert self._server is not None
        threading.Thread(target=self._server.serve_forever, name="renalct-listener", daemon=True).start()

    def stop(self, *, grace_s: float = 0.0) -> None:
        """Listen no more; associations that are open may go on for `grace_s`, and are then aborted."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        until = time.monotonic() + grace_s
        while server.active_associations and time.monotonic() < until:
            time.sleep(_LOOK_S)
        for association in server.active_associations:
            association.abort()

    def _handlers(self) -> list[Any]:
        reports = self._reports
        return [
            *([] if reports is None else [(evt.EVT_N_EVENT_REPORT, reports)]),
            (evt.EVT_C_ECHO, lambda event: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_RELEASED, lambda event: self._ended(event, broken=False)),
            (evt.EVT_CONN_CLOSE, lambda event: self._ended(event, broken=True)),
        ]

    def _store(self, event: evt.Event) -> Dataset:
        """The answer to a C-STORE request. Nothing is acknowledged that is not durable, and nothing is raised."""
        visit = self._visit(event.assoc)
        try:
            instance = received_instance(event)
            visit.studies.add(instance.study_instance_uid)
            reception = self._inbox.receive(instance)
            status, comment = _ANSWERS[reception]
            kind = reception.value
        except Refused as refusal:
            status, comment, kind = refusal.status, str(refusal), "refused"
        except RenalctError as error:
            _log.error("an instance could not be kept: %s", error)
            status, comment, kind = OUT_OF_RESOURCES, "the disk cannot be written; send again later", "unwritten"
        except Exception as error:
            _log.error("an instance could not be kept: a bug in renalct (%s)", type(error).__name__)
            status, comment, kind = OUT_OF_RESOURCES, "unforeseen; send again later", "unwritten"
        visit.counts[kind] += 1
        return answer(status, comment)

    def _visit(self, association: Association) -> _Visit:
        with self._gate:
            return self._visits.setdefault(association, _Visit())

    def _ended(self, event: evt.Event, *, broken: bool) -> None:
        """Tell the inbox. After a release the connection is closed as well, which may be told of first."""
        with self._gate:
            visit = self._visits.get(event.assoc)
            if visit is None or (broken and not visit.is_open):
                return
            visit.is_open = False
            elsewhere = {study for other in self._visits.values() if other.is_open for study in other.studies}
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(visit.counts.items()))
        _log.info("%s association from %s: %s", "broken" if broken else "ended", event.assoc.requestor.ae_title, told)
        try:
            self._inbox.ended(visit.studies - elsewhere, broken=broken)
        except RenalctError as error:
            _log.error("the end of an association could not be noted: %s", error)


def application_entity(settings: ListenerSettings, *, with_reports: bool) -> AE:
    """What the listener accepts: the presentation contexts, the AE titles, the times. `Listener` says what it does."""
    entity = AE(settings.ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(settings.calling)
    entity.maximum_associations = settings.max_associations
    entity.maximum_pdu_size = _LONGEST_PDU
    entity.acse_timeout = settings.negotiation_s
    entity.dimse_timeout = settings.idle_s
    entity.network_timeout = settings.idle_s
    entity.add_supported_context(Verification)
    if with_reports:
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
    for context in AllStoragePresentationContexts:
        sop_class = str(context.abstract_syntax)
        syntaxes = list(CT_TRANSFER_SYNTAXES) if sop_class in CT_CLASSES else list(_KEPT_ONLY)
        entity.add_supported_context(sop_class, syntaxes)
    return entity


class _Visit:
    """What one association brought."""

    def __init__(self) -> None:
        self.is_open = True
        self.studies: set[str] = set()
        self.counts: Counter[str] = Counter()
