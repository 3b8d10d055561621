"""Objects to a DICOMweb archive by STOW-RS: one request for each, so that each has an outcome of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path

from renalct.core.errors import InputError, TransferError
from renalct.delivery.queue_records import Queued
from renalct.delivery.statuses import Outcome, PeerUnavailable, Verdict, outcome_of, warning_words
from renalct.formats.dicom.web import DicomWeb, StoredInstance
from renalct.formats.dicom.web_answers import http_status, is_untrusted

_ABOUT_THE_OBJECT = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
_ABOUT_US = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def store_by_web(
    client: DicomWeb, objects: Sequence[Queued], *, content: Callable[[Queued], Path]
) -> Iterator[tuple[Queued, Outcome]]:
    """Each object with what became of it, as the answers come; `content` gives its file.

    Raises `PeerUnavailable` when the archive cannot be reached, does not let us in, or has a failure of its own; then
    the object on its way has had its outcome.
    """
    for queued in objects:
        try:
            (stored,) = client.store([content(queued)])
        except InputError as error:
            yield queued, Outcome(Verdict.REFUSED, words=str(error))
        except TransferError as error:
            status = http_status(error)
            if status in _ABOUT_THE_OBJECT:
                yield queued, Outcome(Verdict.REFUSED, int(status), f"the archive refuses it (HTTP {int(status)})")
                continue
            barred = status in _ABOUT_US or is_untrusted(error)
            problem = PeerUnavailable(f"cannot be used: {error}", needs_a_person=barred)
            yield queued, Outcome(Verdict.TRY_AGAIN, status or 0, problem.reason)
            raise problem from error
        else:
            yield queued, _outcome(stored)


def _outcome(stored: StoredInstance) -> Outcome:
    """What a stored or refused instance means; a failure without a code is a refusal, a warning of any code is none."""
    if stored.is_stored:
        return Outcome(Verdict.STORED, stored.status, warning_words(stored.status) if stored.status else "")
    return outcome_of(stored.status) if stored.status else Outcome(Verdict.REFUSED, words=stored.reason)
