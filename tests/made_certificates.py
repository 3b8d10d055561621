"""Certificates of a made authority, for tests over TLS."""

import ssl
import subprocess
from pathlib import Path

from dicom_peers import program

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


def made_certificates(folder: Path) -> Path:
    """The folder, with ca.pem, other.pem (an authority that signed nothing), and server and client .pem and .key.

    The server's name is localhost; 127.0.0.1 is not in its certificate.
    """
    openssl = program("openssl", "apt-get install openssl")

    def run(*words):
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    for name in ("ca", "other"):
        run("req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN=authority {name}")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    for name in ("server", "client"):
        run("req", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names")  # fmt: skip
    return folder


def server_context(folder: Path, *, wants_client: bool = False) -> ssl.SSLContext:
    """How a server with its certificate speaks TLS; with `wants_client` only to who has one of the authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED if wants_client else ssl.CERT_NONE
    return context
