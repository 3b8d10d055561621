"""Results handed on by a host that runs once and ends: queued, sent, and an error when something was not taken."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from renalct.core.errors import TransferError
from renalct.delivery.destinations import read_destinations
from renalct.delivery.outbox import Outbox
from renalct.delivery.sending import SendSummary, deliver

_NAMED_AT_MOST = 3


class HostSending:
    """Sends files to the destinations of a file or address, through a queue. Used in a ``with``.

    With a folder for the queue what is not delivered stays there, and `renalct send --queue` goes on with it; without
    one the queue is gone afterwards, and the results themselves are what is left.
    """

    def __init__(self, destinations: str, *, outbox: Path | None = None, wait_s: float = 60.0) -> None:
        self._destinations = read_destinations(destinations)
        self._outbox_folder = outbox
        self._wait_s = wait_s
        self._closing = ExitStack()
        self._outbox: Outbox | None = None

    def __enter__(self) -> HostSending:
        folder = self._outbox_folder
        if folder is None:
            folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="renalct-outbox-")))
        self._outbox = Outbox(folder)
        self._closing.callback(self._outbox.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def send(self, files: tuple[Path, ...], study: str) -> None:
        """Nothing, when every file was delivered to every destination.

        Raises `TransferError` that names what was not, with the reasons that the destinations gave.
        """
        assert self._outbox is not None
        summary = deliver(self._outbox, files, self._destinations, study=study, wait_s=self._wait_s)
        if not summary.is_complete:
            raise TransferError(self._sentence(summary))

    def _sentence(self, summary: SendSummary) -> str:
        left = len(summary.undelivered) + len(summary.dead)
        named = "; ".join(summary.reasons[:_NAMED_AT_MOST]) or "no answer yet"
        kept = "they wait in the queue: renalct send goes on" if self._outbox_folder else "renalct send sends them"
        return f"{left} objects were not delivered ({named}); the results are kept, and {kept}"
