"""Where a DICOMweb archive is and how it is spoken to: address, authentication, certificates, times, tries."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from renalct.core.errors import InputError

_WORTH_ANOTHER_TRY = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)


@dataclass(frozen=True)
class WebSettings:
    """Where a DICOMweb archive is, and how it is spoken to.

    `user` and `password` are sent as basic authentication, or `token` as a bearer token. `ca_file` holds the
    certificates that the archive's own is checked against; `client_certificate` is a PEM file with key, or without it
    when `client_key` is another. Requests that change nothing are tried `attempts` times, with growing pauses. Raises
    `InputError` for an address that is none.
    """

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    attempts: int = 3

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                "the address of the DICOMweb archive is none; give one like https://archive.example/dicom-web"
            )
        if parts.username or parts.password:
            raise InputError("the address of the DICOMweb archive holds a password; give user and password apart")
        if self.token and self.user:
            raise InputError("a token and a user are given for the DICOMweb archive; give one of them")
        for file in (self.ca_file, self.client_certificate, self.client_key):
            if file is not None and not file.is_file():
                raise InputError(f"there is no certificate file {file}; check the name")

    @property
    def place(self) -> str:
        """The archive's host and port, for messages."""
        return urlsplit(self.url).netloc


def client_of(settings: WebSettings) -> DICOMwebClient:
    """A client with a session of its own, which belongs to one thread."""
    session = requests.Session()
    retry = Retry(
        total=settings.attempts - 1,
        backoff_factor=0.3,
        backoff_jitter=0.2,
        status_forcelist=_WORTH_ANOTHER_TRY,
        allowed_methods={"GET"},
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, _Adapter(settings.ca_file, retry))
    if settings.user:
        session.auth = (settings.user, settings.password)
    if settings.client_certificate is not None:
        certificate, key = str(settings.client_certificate), settings.client_key
        session.cert = certificate if key is None else (certificate, str(key))
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else None
    timeout = (settings.connect_timeout_s, settings.read_timeout_s)
    client = DICOMwebClient(settings.url.rstrip("/"), session=session, headers=headers, timeout=timeout)
    client.set_http_retry_params(retry=False)
    return client


class _Adapter(HTTPAdapter):
    """Trusts the authorities of `ca_file` when it is given; requests itself prefers those of REQUESTS_CA_BUNDLE."""

    def __init__(self, ca_file: Path | None, retry: Retry) -> None:
        super().__init__(max_retries=retry)
        self._ca_file = ca_file

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """As requests does, but for whom is trusted."""
        if self._ca_file is not None:
            options["verify"] = str(self._ca_file)
        return super().send(request, **options)
