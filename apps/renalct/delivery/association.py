"""An association with a DICOM node for as long as a block runs, or the reason why there is none."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from renalct.core.errors import InputError
from renalct.delivery.destinations import DimseDestination
from renalct.delivery.statuses import PeerUnavailable

_REJECTED_FOR_GOOD = 0x01
_NOT_FOR_US = {  # result source and diagnostic, PS3.8 Table 9-21
    (1, 3): "does not know our AE title {calling!r}; add it there",
    (1, 7): "is not called {called!r}; correct the AE title",
    (3, 1): "is congested",
    (3, 2): "has no association to spare",
}

Handler = tuple[evt.EventType, Callable[[evt.Event], Any]]


@contextmanager
def associated(
    destination: DimseDestination, contexts: Sequence[PresentationContext], *, handlers: Sequence[Handler] = ()
) -> Iterator[Association]:
    """An association; released when the block ends or is left early, aborted when it raises.

    It may be one on which no context at all was accepted: then it is not established, and has `rejected_contexts`.
    Raises `PeerUnavailable` when there is none.
    """
    application = _Node(ae_title=destination.calling_ae_title)
    application.connection_timeout = destination.connect_timeout_s
    application.acse_timeout = destination.answer_timeout_s
    application.dimse_timeout = destination.answer_timeout_s
    application.network_timeout = destination.answer_timeout_s
    patience = (evt.EVT_CONN_OPEN, _limit_waiting, [destination.answer_timeout_s])
    association = application.associate(
        _address(destination),
        destination.port,
        contexts=list(contexts),
        ae_title=destination.ae_title,
        tls_args=_tls(destination),
        evt_handlers=[patience, *handlers],
    )
    if not association.is_established and not association.rejected_contexts:
        raise _why_not(destination, association)
    try:
        yield association
    except GeneratorExit:
        association.release()
        raise
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _limit_waiting(event: evt.Event, seconds: float) -> None:
    """Let no single write or read of the connection wait longer: a peer that stops reading would hold us for ever."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.settimeout(seconds)


def _address(destination: DimseDestination) -> str:
    """The numerical address of the host, the older kind where it has both: pynetdicom takes any name for the newer."""
    try:
        found = socket.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise PeerUnavailable(f"has a host name that is not known ({error.strerror})") from error
    addresses = sorted(found, key=lambda each: each[0] != socket.AF_INET)
    return str(addresses[0][4][0])


def _tls(destination: DimseDestination) -> tuple[ssl.SSLContext, str] | None:
    if destination.tls is None:
        return None
    try:
        return destination.tls.context(), destination.host
    except InputError as error:
        raise PeerUnavailable(f"cannot be spoken to: {error}", needs_a_person=True) from error


def _why_not(destination: DimseDestination, association: Association) -> PeerUnavailable:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        source, diagnostic = int(answer.result_source or 0), int(answer.diagnostic or 0)
        words = _NOT_FOR_US.get((source, diagnostic), "rejects our association ({reason})")
        return PeerUnavailable(
            words.format(
                calling=destination.calling_ae_title, called=destination.ae_title, reason=answer.reason_str.lower()
            ),
            needs_a_person=answer.result == _REJECTED_FOR_GOOD,
        )
    connection = association.dul.socket
    return _problem_of(connection.failure if isinstance(connection, _Connection) else None, destination)


class _Connection(AssociationSocket):
    """A connection that keeps why it failed, and is closed then; pynetdicom does neither where nobody answers."""

    failure: OSError | None = None

    def _shutdown_socket(self) -> None:
        failure, connection = sys.exc_info()[1], self.socket
        if isinstance(failure, OSError) and not self._is_connected:
            self.failure = failure
        super()._shutdown_socket()
        if connection is not None:
            connection.close()


class _Node(AE):
    def _create_socket(
        self, assoc: Association, address: AddressInformation, tls_args: tuple[ssl.SSLContext, str] | None
    ) -> AssociationSocket:
        connection = _Connection(assoc, address=address)
        connection.tls_args = tls_args
        return connection


def _problem_of(failure: OSError | None, destination: DimseDestination) -> PeerUnavailable:
    if failure is None:
        certificate = ", or wants a certificate that we do not have" if destination.tls is not None else ""
        return PeerUnavailable(f"ended the connection, or did not answer our request in time{certificate}")
    if isinstance(failure, ssl.SSLCertVerificationError):
        return PeerUnavailable(
            f"shows a certificate that is not trusted ({failure.verify_message}); check ca_file and the host name",
            needs_a_person=True,
        )
    if isinstance(failure, ssl.SSLError):
        return PeerUnavailable(
            f"does not speak TLS with us ({failure.reason or 'no handshake'}); check its port and our certificate",
            needs_a_person=True,
        )
    if isinstance(failure, TimeoutError):
        return PeerUnavailable("does not answer in time")
    return PeerUnavailable(f"cannot be reached ({failure.strerror or 'no connection'})")
