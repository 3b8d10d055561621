"""What the network services propose and accept, asked of the code that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from renalct.delivery.c_store import needed_contexts
from renalct.delivery.instances import Instance
from renalct.delivery.listener import application_entity
from renalct.delivery.queue_records import Queued, State
from renalct.delivery.received_file import CT_CLASSES
from renalct.delivery.service_settings import ListenerSettings
from renalct.delivery.statuses import Outcome, outcome_of
from renalct.formats.dicom.seg_reading import LABELMAP_STORAGE

_STORE_STATUSES = (
    0x0000, 0x0001, 0x0107, 0x0110, 0x0111, 0x0116, 0x0117, 0x0122, 0x0124, 0x0210, 0x0211, 0x0212, 0x0213, 0xA700,
    0xA900, 0xB000, 0xB006, 0xB007, 0xC000, 0xFE00,
)  # fmt: skip
"""Of PS3.4 Table B.2-1 and of PS3.7 Annex C; of a range its first."""


@dataclass(frozen=True)
class Context:
    """A presentation context by names: the abstract syntax, and the transfer syntaxes in the order of preference."""

    sop_class_uid: UID
    transfer_syntax_uids: tuple[UID, ...]

    @property
    def name(self) -> str:
        """The name of the SOP class."""
        return sop_class_name(self.sop_class_uid)


def sop_class_name(uid: UID) -> str:
    """The name of a SOP class in PS3.6, also of the one that is newer than pydicom's list."""
    return "Label Map Segmentation Storage" if uid == LABELMAP_STORAGE else str(uid.name)


def proposed_to_store(objects: Mapping[str, Dataset]) -> tuple[Context, ...]:
    """The presentation contexts that `renalct send` proposes for these objects, each once, by name of the SOP class."""
    found: dict[tuple[UID, tuple[UID, ...]], Context] = {}
    for each in objects.values():
        for context in needed_contexts([_queued(each)]):
            key = (UID(str(context.abstract_syntax)), tuple(UID(str(s)) for s in context.transfer_syntax))
            found[key] = Context(*key)
    return tuple(sorted(found.values(), key=lambda context: context.name))


def proposed_to_ask() -> tuple[Context, ...]:
    """What is proposed to ask for storage commitment, and to ask by C-FIND what is there."""
    classes = (StorageCommitmentPushModel, StudyRootQueryRetrieveInformationModelFind)
    contexts = [build_context(each) for each in classes]
    return tuple(Context(UID(str(c.abstract_syntax)), tuple(UID(str(s)) for s in c.transfer_syntax)) for c in contexts)


def listening() -> AE:
    """The application entity of `renalct serve` with its usual settings."""
    return application_entity(ListenerSettings(), with_reports=True)


def accepted_images(entity: AE) -> tuple[Context, ...]:
    """The contexts of the CT images, that can be analysed."""
    return tuple(context for context in _supported(entity) if context.sop_class_uid in CT_CLASSES)


def accepted_beside(entity: AE) -> tuple[Context, ...]:
    """The contexts of the other objects of a study, that are kept beside the images and not read."""
    others = {*CT_CLASSES, Verification, StorageCommitmentPushModel}
    return tuple(context for context in _supported(entity) if context.sop_class_uid not in others)


def accepted_services(entity: AE) -> tuple[Context, ...]:
    """The contexts that are no storage: verification, and reports on storage commitment."""
    services = (Verification, StorageCommitmentPushModel)
    return tuple(context for context in _supported(entity) if context.sop_class_uid in services)


def store_outcomes() -> tuple[tuple[int, Outcome], ...]:
    """Statuses that an archive may answer a C-STORE with, and what `renalct send` makes of each."""
    return tuple((status, outcome_of(status)) for status in _STORE_STATUSES)


def _supported(entity: AE) -> tuple[Context, ...]:
    contexts = [
        Context(UID(str(each.abstract_syntax)), tuple(UID(str(s)) for s in each.transfer_syntax))
        for each in entity.supported_contexts
    ]
    return tuple(sorted(contexts, key=lambda context: context.name))


def _queued(written: Dataset) -> Queued:
    instance = Instance(
        str(written.SOPInstanceUID),
        str(written.SOPClassUID),
        str(written.file_meta.TransferSyntaxUID),
        str(written.StudyInstanceUID),
        str(written.SeriesInstanceUID),
        str(written.Modality),
    )
    return Queued(1, "", instance, "", 0, "", State.WAITING, 0.0, 0.0)
