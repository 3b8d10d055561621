"""The server behind the listener: pynetdicom's, in which no peer can keep others waiting; and TLS."""

from __future__ import annotations

import logging
import socket
import ssl
from contextlib import suppress
from socketserver import BaseServer
from typing import Any

from pynetdicom.transport import ThreadedAssociationServer

from renalct.core.errors import InputError
from renalct.delivery.service_settings import TLSFiles

_log = logging.getLogger(__name__)


class _Connection(socket.socket):
    """A socket that is closed when pynetdicom closes it: that does so only after a `shutdown` without an error."""

    def shutdown(self, how: int) -> None:
        """End the connection, if the peer has not done so."""
        with suppress(OSError):
            super().shutdown(how)


class _TLSConnection(ssl.SSLSocket):
    """The same for TLS."""

    def shutdown(self, how: int) -> None:
        """End the connection, if the peer has not done so."""
        with suppress(OSError):
            super().shutdown(how)


class AssociationServer(ThreadedAssociationServer):
    """pynetdicom's server, in which no peer can keep others waiting.

    There, the TLS handshake is made where connections are accepted, one after the other, and a read of a started
    message waits for ever; here each connection has its times, and its handshake in a thread of its own.
    """

    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection, with its time limit."""
        assert self.socket is not None
        accepted, address = self.socket.accept()
        client = _Connection(fileno=accepted.detach())
        client.settimeout(self.ae.network_timeout)
        return client, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Begin an association on a connection, after the handshake where TLS is spoken."""
        if self.ssl_context is not None:
            request.settimeout(self.ae.acse_timeout)
            request = self.ssl_context.wrap_socket(request, server_side=True)
            request.settimeout(self.ae.network_timeout)
        super().finish_request(request, client_address)

    def shutdown(self) -> None:
        """Accept no more. Associations that are open go on."""
        BaseServer.shutdown(self)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that fails before an association begins is no concern of ours."""
        _log.info("a connection ended before it was an association")


def tls_context(files: TLSFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer (BCP 195, PS3.15 B.9). Raises `InputError` for files that are no certificate and key."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.ca)
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"the certificate {files.certificate} or its key cannot be used ({error}); give PEM files that belong "
            "together"
        ) from error
    context.sslsocket_class = _TLSConnection
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_NONE if files.ca is None else ssl.CERT_REQUIRED
    return context
