"""What a DICOMweb archive answers, understood: the outcome of each stored instance, and refusals as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from urllib3.exceptions import ReadTimeoutError

from renalct.core.errors import TransferError

_FAILURES = {  # failure reasons of PS3.18 Table 10.5.3-1 and of the Storage Service Class, PS3.4 Table B.2-1
    0xA700: "out of resources",
    0xA900: "the object does not match its class",
    0xC000: "the object cannot be understood",
    0x0110: "processing failure",
    0x0112: "no such instance",
    0x0119: "conflicts with what is stored",
    0x0122: "the archive does not store this kind of object",
    0x0124: "not authorized",
    0x0131: "the user is not known",
}


@dataclass(frozen=True)
class StoredInstance:
    """What became of an instance that was sent: `reason` is empty when the archive has stored it.

    `status` is the code of PS3.18 Table 10.5.3-1: of the failure, or of a warning about what was stored.
    """

    sop_instance_uid: str
    reason: str = ""
    status: int = field(default=0, compare=False)

    @property
    def is_stored(self) -> bool:
        """Whether the archive has it."""
        return not self.reason


@contextmanager
def told(place: str, doing: str) -> Iterator[None]:
    """Within it, what goes wrong becomes a `TransferError` that says what was tried."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise TransferError(
            f"the certificate of {place} could not be checked; give the file of its authority as ca_file"
        ) from error
    except requests.HTTPError as error:
        raise TransferError(_refusal(place, doing, error.response)) from error
    except requests.exceptions.JSONDecodeError as error:
        raise TransferError(_no_dicomweb(place, doing)) from error
    except requests.RequestException as error:
        if _is_timeout(error):
            raise TransferError(f"{place} did not answer in time to {doing}; try again later") from error
        raise TransferError(f"{place} cannot be reached to {doing}; check the address and the network") from error
    except (ValueError, KeyError, TypeError, AttributeError, InvalidDicomError) as error:
        raise TransferError(_no_dicomweb(place, doing)) from error


def stored_instances(client: DICOMwebClient, datasets: Sequence[Dataset]) -> tuple[StoredInstance, ...]:
    """What became of each data set that was sent, in their order. Raises as requests does."""
    answer = _stored(client, datasets)
    failed: Sequence[Dataset] = answer.get("FailedSOPSequence") or ()
    taken: Sequence[Dataset] = answer.get("ReferencedSOPSequence") or ()
    failures = {str(item.ReferencedSOPInstanceUID): int(item.get("FailureReason") or 0) for item in failed}
    warnings = {str(item.ReferencedSOPInstanceUID): int(item.get("WarningReason") or 0) for item in taken}
    return tuple(
        StoredInstance(uid, failure_words(failures[uid]), failures[uid])
        if uid in failures
        else StoredInstance(uid, status=warnings.get(uid, 0))
        for uid in (str(dataset.SOPInstanceUID) for dataset in datasets)
    )


def http_status(error: TransferError) -> HTTPStatus | None:
    """The status with which the archive refused; None when it did not answer at all, or with something else."""
    cause = error.__cause__
    if not isinstance(cause, requests.HTTPError) or cause.response is None:
        return None
    try:
        return HTTPStatus(cause.response.status_code)
    except ValueError:
        return None


def is_untrusted(error: TransferError) -> bool:
    """Whether the archive's certificate, or ours, was the reason."""
    return isinstance(error.__cause__, requests.exceptions.SSLError)


def _stored(client: DICOMwebClient, datasets: Sequence[Dataset]) -> Dataset:
    """The archive's answer with the outcome per instance, which it may send along with a refusal."""
    try:
        return client.store_instances(datasets)
    except requests.HTTPError as error:
        answer = _outcome_in(error.response)
        if answer is None:
            raise
        return answer


def _outcome_in(response: requests.Response | None) -> Dataset | None:
    """The outcome per instance in a refusal; None when there is none."""
    if response is None or "json" not in response.headers.get("Content-Type", ""):
        return None
    try:
        answer = Dataset.from_json(response.json())
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return answer if "FailedSOPSequence" in answer else None


def failure_words(code: int) -> str:
    """What a failure status says, with the code."""
    known = _FAILURES.get(code) or _FAILURES.get(code & 0xFF00) or _FAILURES.get(code & 0xF000)
    return f"{known or 'refused'} ({code:04X})"


def _is_timeout(error: requests.RequestException) -> bool:
    """Whether nobody answered in time; after several tries requests calls that a failed connection."""
    tried = error.args[0] if error.args else None
    return isinstance(error, requests.Timeout) or isinstance(getattr(tried, "reason", None), ReadTimeoutError)


def _no_dicomweb(place: str, doing: str) -> str:
    return f"{place} answered a request to {doing} with something that is no DICOMweb; check the address"


def _refusal(place: str, doing: str, response: requests.Response | None) -> str:
    status = response.status_code if response is not None else 0
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return f"{place} does not let us {doing} (HTTP {status}); check user, password or token"
    if status == HTTPStatus.NOT_FOUND:
        return f"{place} knows nothing of a request to {doing} (HTTP 404); check the address, or whether it was deleted"
    return f"{place} refused to {doing} (HTTP {status}); look into its log"
