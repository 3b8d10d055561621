"""A DICOMweb archive that gives prepared answers, for what real ones rarely do."""

import json
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from renalct.formats.dicom.web import DicomWeb, WebSettings


class Scripted(ThreadingHTTPServer):
    """An archive that gives prepared answers, (status, JSON or text), one after the other, and keeps the requests."""

    def __init__(self, *answers, tls=None):
        self.answers, self.requests = deque(answers), []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "https" if tls else "http"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.thread.join()
        self.server_close()

    def handle_error(self, *_):
        """Nothing: a client that trusts nobody ends the connection."""

    @property
    def url(self):
        """The address of its DICOMweb services."""
        host = "127.0.0.1" if self.scheme == "http" else "localhost"
        return f"{self.scheme}://{host}:{self.server_address[1]}/dicom-web"

    def client(self, **settings):
        return DicomWeb(WebSettings(self.url, **settings))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization")))
        status, answer = self.server.answers.popleft()
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # nobody waits any more
            self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        """Nothing: tests are silent."""


class Never:
    """Answers that come when nobody waits any more."""

    def __init__(self):
        self.end = threading.Event()

    def popleft(self):
        self.end.wait(10)
        return 200, []
