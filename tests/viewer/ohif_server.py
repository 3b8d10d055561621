"""The prebuilt OHIF viewer on one origin with a DICOMweb archive: its pages, and /dicom-web forwarded."""

import json
import mimetypes
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent
PAGES = HERE / "node_modules" / "@ohif" / "app" / "dist"
SERVICES = "/dicom-web"
CONFIGURATION = {
    "name": "renalct",
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showCPUFallbackMessage": False,
    "strictZSpacingForVolumeViewport": True,
    "investigationalUseDialog": {"option": "never"},
    "disableConfirmationPrompts": True,
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "wadoUriRoot": "/wado",
                "qidoRoot": SERVICES,
                "wadoRoot": SERVICES,
                "qidoSupportsIncludeField": False,
                "supportsReject": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "omitQuotationForMultipartRequest": True,
            },
        }
    ],
}
TYPES = {".wasm": "application/wasm", ".js": "text/javascript"}


@contextmanager
def ohif(archive: str) -> Iterator[str]:
    """The address of the viewer, which shows what the archive with this DICOMweb address holds."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.archive = archive
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = urlsplit(self.path).path
        if path.startswith(SERVICES):
            self._answer(*self._forwarded())
        elif path == "/app-config.js":
            self._answer(200, f"window.config = {json.dumps(CONFIGURATION)};".encode(), "text/javascript")
        else:
            file = (PAGES / path.lstrip("/")).resolve()
            if not file.is_relative_to(PAGES.resolve()) or not file.is_file():
                file = PAGES / "index.html"
            kind = TYPES.get(file.suffix) or mimetypes.guess_type(file)[0] or "application/octet-stream"
            self._answer(200, file.read_bytes(), kind)

    def _forwarded(self) -> tuple[int, bytes, str]:
        asked = self.server.archive + self.path.removeprefix(SERVICES)
        request = urllib.request.Request(asked, headers={"Accept": self.headers.get("Accept", "*/*")})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), answer.headers.get("Content-Type", "application/octet-stream")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), "text/plain"

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: the requests of a page are many."""
