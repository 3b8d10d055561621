"""The page: prose from ``statement.md``, tables from the code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from pydicom.uid import UID
from pynetdicom import PYNETDICOM_IMPLEMENTATION_UID, PYNETDICOM_IMPLEMENTATION_VERSION

from renalct import __version__
from renalct.delivery.c_store import MOST_AT_ONCE
from renalct.delivery.conformance.attributes import attributes_of
from renalct.delivery.conformance.network import (
    Context,
    accepted_beside,
    accepted_images,
    accepted_services,
    listening,
    proposed_to_ask,
    proposed_to_store,
    sop_class_name,
    store_outcomes,
)
from renalct.delivery.conformance.specimens import KINDS, Specimens, label_map_specimen, made_specimens
from renalct.delivery.conformance.terminology import TEMPLATES, private_codes, templates_of
from renalct.delivery.destinations import DimseDestination
from renalct.delivery.service_settings import DICOM_PORT, ListenerSettings
from renalct.formats.dicom.codes import PRIVATE_SCHEME
from renalct.formats.dicom.written import Role

_PROSE = Path(__file__).parent / "statement.md"


def conformance_statement() -> str:
    """The DICOM conformance statement in Markdown, laid out as PS3.2; the same for the same code."""
    specimens = made_specimens()
    entity = listening()
    destination = DimseDestination(name="pacs", host="pacs", port=104, ae_title="PACS")
    store = proposed_to_store({**specimens[0].objects, "label_map": label_map_specimen()})
    return Template(_PROSE.read_text(encoding="utf-8")).substitute(
        version=__version__,
        services=_services(store, entity_contexts=(*accepted_services(entity), *accepted_images(entity))),
        beside_count=str(len(accepted_beside(entity))),
        created=_created(specimens[0]),
        implementation_uid=PYNETDICOM_IMPLEMENTATION_UID,
        implementation_version=PYNETDICOM_IMPLEMENTATION_VERSION,
        most_at_once=str(MOST_AT_ONCE),
        calling=destination.calling_ae_title,
        connect_timeout=f"{destination.connect_timeout_s:g}",
        answer_timeout=f"{destination.answer_timeout_s:g}",
        proposed_to_store=_contexts(store, "SCU"),
        proposed_to_ask=_contexts(proposed_to_ask(), "SCU"),
        store_outcomes=_table(
            ("Status", "What renalct does", "Words"),
            ((f"{status:04X}", each.verdict.value, each.words or "-") for status, each in store_outcomes()),
        ),
        ae_title=ListenerSettings().ae_title,
        port=str(DICOM_PORT),
        max_pdu=str(entity.maximum_pdu_size),
        max_associations=str(entity.maximum_associations),
        idle=f"{ListenerSettings().idle_s:g}",
        accepted_services=_contexts(accepted_services(entity), "SCP"),
        accepted_images=_contexts(accepted_images(entity), "SCP"),
        beside_syntaxes=_syntaxes(accepted_beside(entity)[0].transfer_syntax_uids),
        beside=", ".join(context.name for context in accepted_beside(entity)),
        attributes="\n\n".join(_attributes(kind, specimens) for kind in KINDS),
        scheme=PRIVATE_SCHEME,
        private_codes=_table(
            ("Code value", "Scheme", "Code meaning"),
            ((f"`{code.value}`", PRIVATE_SCHEME, code.meaning) for code in private_codes()),
        ),
        templates=_table(
            ("Object", "Templates"),
            (
                (KINDS[kind], ", ".join(f"TID {t} {TEMPLATES[t]}" for t in used))
                for kind, document in specimens[0].objects.items()
                if (used := templates_of(document))
            ),
        ),
    )


def _services(store: Sequence[Context], *, entity_contexts: Sequence[Context]) -> str:
    """Each SOP class with the roles in it."""
    scu = {context.sop_class_uid for context in (*store, *proposed_to_ask())}
    scp = {context.sop_class_uid for context in entity_contexts}
    rows = sorted(
        (sop_class_name(uid), "yes" if uid in scu else "no", "yes" if uid in scp else "no") for uid in scu | scp
    )
    return _table(("SOP class", "SCU", "SCP"), rows)


def _created(specimens: Specimens) -> str:
    numbers = {role.value[0]: role.value[1] for role in Role}
    rows = (
        (
            KINDS[kind],
            UID(written.SOPClassUID).name,
            written.Modality,
            f"{written.SeriesNumber}, {numbers.get(written.SeriesNumber, written.SeriesDescription)}",
        )
        for kind, written in specimens.objects.items()
    )
    return _table(("Object", "SOP class", "Modality", "Series number and description"), rows)


def _contexts(contexts: Iterable[Context], role: str) -> str:
    rows = (
        (context.name, f"`{context.sop_class_uid}`", _syntaxes(context.transfer_syntax_uids), role)
        for context in contexts
    )
    return _table(("SOP class", "UID", "Transfer syntaxes", "Role"), rows)


def _syntaxes(syntaxes: Iterable[UID]) -> str:
    return "; ".join(f"{syntax.name} `{syntax}`" for syntax in syntaxes)


def _attributes(kind: str, specimens: Sequence[Specimens]) -> str:
    rows = (
        (
            f"{'>' * each.depth}{each.name}",
            f"`{each.tag}`",
            each.vr,
            each.value.replace("|", "/"),
            each.presence.value,
            each.origin.value,
        )
        for each in attributes_of(kind, specimens)
    )
    return f"#### {KINDS[kind]}\n\n" + _table(("Attribute", "Tag", "VR", "Value", "Presence", "Source"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
