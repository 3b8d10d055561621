"""Whether what was sent is really there: the archive is asked by QIDO-RS, or a DICOM node by C-FIND."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from http import HTTPStatus

from pydicom import Dataset
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as StudyRootFind  # type: ignore[attr-defined]

from renalct.core.errors import InputError, TransferError
from renalct.delivery.access import WebAccess
from renalct.delivery.association import associated
from renalct.delivery.destinations import Destination, DimseDestination, WebDestination
from renalct.delivery.queue_records import Queued
from renalct.delivery.statuses import PeerUnavailable
from renalct.formats.dicom.web import DicomWeb
from renalct.formats.dicom.web_answers import http_status

_PENDING = (0xFF00, 0xFF01)


def is_checked(destination: Destination) -> bool:
    """Whether the destination is asked if objects are there."""
    if isinstance(destination, WebDestination):
        return destination.check
    return destination.find or destination.qido is not None


def found_at(destination: Destination, objects: Sequence[Queued]) -> frozenset[str]:
    """The SOP Instance UIDs of the objects that are there. Raises `PeerUnavailable` when nobody can be asked."""
    wanted = {(each.instance.study_instance_uid, each.instance.series_instance_uid) for each in objects}
    access = destination.web if isinstance(destination, WebDestination) else destination.qido
    if access is not None:
        client = web_client(access, destination)
        found = {uid for study, series in sorted(wanted) for uid in _listed(client, study, series)}
    else:
        assert isinstance(destination, DimseDestination)
        found = set(_found(destination, sorted(wanted)))
    return frozenset(found & {each.instance.sop_instance_uid for each in objects})


def web_client(access: WebAccess, destination: Destination) -> DicomWeb:
    """The client of an archive, with the secrets of now. Raises `PeerUnavailable` when one is missing."""
    try:
        settings = access.settings(
            connect_timeout_s=destination.connect_timeout_s, answer_timeout_s=destination.answer_timeout_s
        )
    except InputError as error:
        raise PeerUnavailable(f"cannot be spoken to: {error}", needs_a_person=True) from error
    return DicomWeb(settings)


def _listed(client: DicomWeb, study: str, series: str) -> tuple[str, ...]:
    try:
        return client.instances(study, series)
    except TransferError as error:
        status = http_status(error)
        if status == HTTPStatus.NOT_FOUND:  # how some archives say that they have nothing of it
            return ()
        barred = status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
        raise PeerUnavailable(f"cannot be asked what it has: {error}", needs_a_person=barred) from error


def _found(destination: DimseDestination, wanted: Sequence[tuple[str, str]]) -> Iterator[str]:
    with associated(destination, [build_context(StudyRootFind)]) as association:
        if not association.is_established:
            raise PeerUnavailable("does not take C-FIND; use another check, or none", needs_a_person=True)
        for study, series in wanted:
            query = Dataset()
            query.QueryRetrieveLevel = "IMAGE"
            query.StudyInstanceUID, query.SeriesInstanceUID, query.SOPInstanceUID = study, series, ""
            for status, answer in association.send_c_find(query, StudyRootFind):
                code = int(status.Status) if "Status" in status else -1
                if code in _PENDING and answer is not None:
                    yield str(answer.get("SOPInstanceUID", ""))
                elif code != 0:
                    told = f"status {code:04X}" if code > 0 else "no answer; does it let our AE title ask?"
                    raise PeerUnavailable(f"cannot be asked by C-FIND what it has ({told})")
