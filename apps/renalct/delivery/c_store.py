"""Objects to a DICOM node by C-STORE: one association for many, an outcome for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from renalct.core.errors import InputError
from renalct.delivery.association import associated
from renalct.delivery.destinations import DimseDestination
from renalct.delivery.queue_records import Queued
from renalct.delivery.statuses import Outcome, PeerUnavailable, Verdict, outcome_of

MOST_AT_ONCE = 100
"""Objects of one association; each may need a presentation context of its own, and 128 are the most."""
_SLOWEST_BYTES_PER_S = 100_000
_UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_WORDS_OF_REJECTION = {3: "does not take {kind}", 4: "does not take {kind} in {syntax}"}
"""PS3.8 Table 9-18; what is not here (a person, no reason) may pass."""


def store_by_dimse(
    destination: DimseDestination, objects: Sequence[Queued], *, content: Callable[[Queued], Path]
) -> Iterator[tuple[Queued, Outcome]]:
    """Each object with what became of it, as the answers come; those that the association did not reach are left out.

    At most `MOST_AT_ONCE` objects; `content` gives the file of each. Only the presentation contexts are proposed that
    they need: for each SOP class one with the file's transfer syntax and, when it is not compressed, Implicit VR Little
    Endian, which everybody understands (PS3.5 10.1). Raises `PeerUnavailable` when there is no association, or it ends
    before its time; then the object on its way has had its outcome.
    """
    with associated(destination, needed_contexts(objects)) as association:
        for queued in objects:
            refused = _refused_context(association, queued)
            if refused is not None:
                yield queued, refused
                continue
            association.dimse_timeout = destination.answer_timeout_s + queued.size_bytes / _SLOWEST_BYTES_PER_S
            try:
                outcome = _stored(association, queued, content(queued))
            except InputError as error:
                outcome = Outcome(Verdict.REFUSED, words=str(error))
            yield queued, outcome
            if not association.is_established:
                raise PeerUnavailable(outcome.words)


def needed_contexts(objects: Sequence[Queued]) -> list[PresentationContext]:
    """The presentation contexts that these objects need, each once."""
    pairs = {(queued.instance.sop_class_uid, queued.instance.transfer_syntax_uid): None for queued in objects}
    return [build_context(sop_class, _proposed(UID(syntax))) for sop_class, syntax in pairs]


def _proposed(syntax: UID) -> list[str | UID]:
    return [syntax, *(each for each in _UNCOMPRESSED[1:] if syntax in _UNCOMPRESSED and each != syntax)]


def _stored(association: Association, queued: Queued, path: Path) -> Outcome:
    # pynetdicom sends a file as it is, in pieces, only under this setting of the whole process. It concerns nothing
    # but objects that are given as paths; read into memory and written anew, a value could change.
    _config.STORE_SEND_CHUNKED_DATASET = True
    try:
        as_it_is = any(
            context.abstract_syntax == queued.instance.sop_class_uid
            and context.transfer_syntax[0] == queued.instance.transfer_syntax_uid
            for context in association.accepted_contexts
        )
        answer = association.send_c_store(path if as_it_is else pydicom.dcmread(path))
    except (ValueError, AttributeError, KeyError, TypeError, NotImplementedError) as error:
        return Outcome(Verdict.REFUSED, words=f"it cannot be sent as DICOM ({type(error).__name__})")
    except RuntimeError:
        return Outcome(Verdict.TRY_AGAIN, words="ended the association")
    if "Status" in answer:
        return outcome_of(int(answer.Status))
    by_peer = association.acse.is_aborted("a-abort") or association.is_released
    return Outcome(
        Verdict.TRY_AGAIN, words="aborted the association" if by_peer else "did not answer in time, or was cut off"
    )


def _refused_context(association: Association, queued: Queued) -> Outcome | None:
    """What is told when the peer takes no presentation context for an object; None when it takes one."""
    sop_class, syntax = queued.instance.sop_class_uid, queued.instance.transfer_syntax_uid
    of_class = [each for each in association.accepted_contexts if each.abstract_syntax == sop_class]
    if any(each.transfer_syntax[0] in _proposed(UID(syntax)) for each in of_class):
        return None
    reasons = [each.result or 0 for each in association.rejected_contexts if each.abstract_syntax == sop_class]
    words = _WORDS_OF_REJECTION.get(max(reasons, default=0))
    if words is None:
        return Outcome(Verdict.TRY_AGAIN, words=f"rejects {queued.instance.kind} without a reason")
    return Outcome(Verdict.REFUSED, words=words.format(kind=queued.instance.kind, syntax=UID(syntax).name))
