"""A C-STORE request as a file to keep: its identifiers checked, its data set untouched."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from typing import Any

import pydicom
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage
from pynetdicom.events import Event

from renalct.delivery.inbox import Received

CT_CLASSES = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)

CANNOT_UNDERSTAND = 0xC000
DOES_NOT_MATCH = 0xA900
_LONGEST_UID = 64
_KEYWORDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID")


class Refused(Exception):
    """A request that cannot be kept: its status (PS3.4 B.2.3) and the comment that goes with it."""

    def __init__(self, status: int, comment: str) -> None:
        super().__init__(comment)
        self.status = status


def received_instance(event: Event) -> Received:
    """The instance of a C-STORE request, as it goes into the inbox. Raises `Refused`.

    The file has the data set byte by byte as it came. It needs a StudyInstanceUID, and the class and instance that
    the request says; nothing else of it is looked at.
    """
    content, file = event.encoded_dataset(include_meta=False), event.encoded_dataset()
    try:
        header = pydicom.dcmread(BytesIO(file), stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        sop_class, sop_instance, study = (_uid(header, keyword) for keyword in _KEYWORDS)
    except Refused:
        raise
    except Exception as error:  # pydicom and zlib raise many types on damaged data
        raise Refused(CANNOT_UNDERSTAND, "the data set cannot be read") from error
    request: Any = event.request
    if sop_class != str(request.AffectedSOPClassUID):
        raise Refused(DOES_NOT_MATCH, "the SOP Class UID is not that of the request")
    if sop_instance != str(request.AffectedSOPInstanceUID):
        raise Refused(DOES_NOT_MATCH, "the SOP Instance UID is not that of the request")
    hashed = sha256(f"{event.context.transfer_syntax}\0".encode())
    hashed.update(content)
    return Received(study, sop_instance, hashed.hexdigest(), file, is_ct=sop_class in CT_CLASSES)


def answer(status: int, comment: str = "") -> Dataset:
    """A response's status with its comment, which has 64 characters at most."""
    response = Dataset()
    response.Status = status
    if comment:
        response.ErrorComment = comment[:64]
    return response


def _uid(header: Dataset, keyword: str) -> str:
    """The bytes of an attribute as text; pydicom is not asked for its value, for it warns of unusual ones."""
    tag = Tag(keyword)
    element: Any = header.get_item(tag) if tag in header else None
    value = getattr(element, "value", None)
    text = value.decode("ascii") if isinstance(value, bytes) else str(value or "")
    text = text.rstrip("\0 ").lstrip()
    if not 0 < len(text) <= _LONGEST_UID or not text.isprintable():
        raise Refused(CANNOT_UNDERSTAND, f"there is no {keyword} of 1 to {_LONGEST_UID} characters")
    return text
