"""How a destination lets us in: certificates, passwords and tokens, read from files or variables when they are used."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from renalct.core.errors import InputError
from renalct.formats.dicom.web_settings import WebSettings


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Whose certificates are trusted, and ours. Without `ca_file` the authorities of the system are trusted.

    A server that shows no valid certificate for its name is never spoken to; there is no way to switch that off.
    `key_file` may be left out when `certificate_file` holds the key as well.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if self.key_file is not None and self.certificate_file is None:
            raise InputError("a key_file is given without a certificate_file; give both, or none")

    def context(self) -> ssl.SSLContext:
        """What a DICOM node is spoken to with. Raises `InputError` when a file is missing, or is no certificate."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file is not None:
                context.load_cert_chain(self.certificate_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"a certificate file cannot be used ({error.strerror or error}); check ca_file, certificate_file and "
                "key_file, which are PEM files"
            ) from error
        return context


@dataclass(frozen=True, kw_only=True)
class WebAccess:
    """The address of a DICOMweb archive, and where user, password or bearer token are found.

    Secrets are never values of ours: they are read from a file (its first line) or an environment variable each time
    that a connection is made, so that a renewed one is used at once. A secret goes over plain http to this computer
    only, unless `allow_plain_http` says that the way to the archive is protected by other means.
    """

    url: str
    user: str = ""
    password_file: Path | None = None
    password_variable: str = ""
    token_file: Path | None = None
    token_variable: str = ""
    allow_plain_http: bool = False
    tls: Tls = Tls()

    def __post_init__(self) -> None:
        WebSettings(self.url)
        has_password = self.password_file is not None or bool(self.password_variable)
        has_token = self.token_file is not None or bool(self.token_variable)
        if has_password != bool(self.user):
            raise InputError(f"{self.place} needs a user and a password_file or password_variable, or none of them")
        if has_token and has_password:
            raise InputError(f"a token and a password are given for {self.place}; give one of them")
        if (self.password_file and self.password_variable) or (self.token_file and self.token_variable):
            raise InputError(f"the secret for {self.place} is in a file and in a variable; give one of them")
        if (has_password or has_token) and not self.allow_plain_http and _is_readable_on_the_way(self.url):
            raise InputError(
                f"a {'token' if has_token else 'password'} for {self.place} would go over plain http, where whoever is "
                "on the way can read it; give an https address, or set allow_plain_http where something else protects "
                "the way"
            )

    @property
    def place(self) -> str:
        """The archive's host and port, for messages."""
        return urlsplit(self.url).netloc

    def settings(self, *, connect_timeout_s: float, answer_timeout_s: float) -> WebSettings:
        """What the DICOMweb client needs, with the secrets of now. Raises `InputError` when one is not there."""
        return WebSettings(
            self.url,
            user=self.user,
            password=_secret(self.password_file, self.password_variable),
            token=_secret(self.token_file, self.token_variable),
            ca_file=self.tls.ca_file,
            client_certificate=self.tls.certificate_file,
            client_key=self.tls.key_file,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=answer_timeout_s,
        )


def _is_readable_on_the_way(url: str) -> bool:
    """Whether what is sent leaves this computer unencrypted."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    return parts.scheme == "http" and not is_here


def _secret(file: Path | None, variable: str) -> str:
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, ValueError) as error:
            raise InputError(f"the file of a secret, {file.name}, cannot be read; check its name and rights") from error
    if variable:
        value = os.environ.get(variable, "")
        if not value:
            raise InputError(f"the environment variable {variable} is not set; it holds the password or token")
        return value
    return ""
