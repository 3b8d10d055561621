"""How a service is: what it received, what waits, runs, is done or failed, what is being sent, and the last error."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from renalct.core.errors import InputError
from renalct.delivery.inbox_state import DATABASE, InboxState, RunState
from renalct.delivery.outbox import Outbox
from renalct.delivery.queue_records import Counts
from renalct.delivery.service import LISTENING, OUTBOX, is_served
from renalct.delivery.study_line import LAST_ERROR
from renalct.runs.status import Outcome

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ServiceStatus:
    """The state of a service's folder at one moment.

    `received` counts the instances that were ever acknowledged and are remembered, `receiving` the studies of which
    more may come; `waiting`, `running`, `analysed`, `done`, `failed` and `superseded` the runs in that state. Of those
    done, `no_kidney` found none and `refused` could not be analysed. `queue` is what is being sent, by destination.
    """

    is_running: bool
    ae_title: str
    port: int
    since: float
    received: int
    held_files: int
    held_bytes: int
    receiving: int
    waiting: int
    running: int
    analysed: int
    done: int
    failed: int
    superseded: int
    no_kidney: int
    refused: int
    queue: tuple[Counts, ...]
    last_error: str
    last_error_at: float
    last_error_study: str

    def to_json(self) -> dict[str, Any]:
        """The status as JSON values. Within a schema version keys are only added."""
        values = asdict(self)
        values["queue"] = [asdict(counts) for counts in self.queue]
        return {"schema_version": SCHEMA_VERSION, **values}


def service_status(folder: Path) -> ServiceStatus:
    """How the service of a folder is, whether it runs or not. Raises `InputError` for a folder of none."""
    if not (folder / DATABASE).is_file():
        raise InputError(f"{folder} is not the folder of a renalct serve; give the one that it was started with")
    state, outbox = InboxState(folder), Outbox(folder / OUTBOX)
    try:
        with state.database.snapshot() as db:
            received = db.execute("SELECT count(*) FROM instances").fetchone()[0]
            files, size = db.execute("SELECT files, bytes FROM held").fetchone()
            receiving = db.execute("SELECT count(*) FROM studies WHERE due_at IS NOT NULL").fetchone()[0]
            rows = db.execute("SELECT state, outcome, count(*) FROM runs GROUP BY state, outcome").fetchall()
        states, outcomes = Counter[str](), Counter[str]()
        for run_state, outcome, count in rows:
            states[run_state] += count
            outcomes[outcome] += count
        listening = json.loads(state.fact(LISTENING) or "{}")
        error = json.loads(state.fact(LAST_ERROR) or "{}")
        return ServiceStatus(
            is_running=is_served(folder),
            ae_title=listening.get("ae_title", ""),
            port=listening.get("port", 0),
            since=listening.get("since", 0.0),
            received=received,
            held_files=files,
            held_bytes=size,
            receiving=receiving,
            **{run_state.value: states[run_state] for run_state in RunState},
            no_kidney=outcomes[Outcome.NO_KIDNEY],
            refused=outcomes[Outcome.REFUSED],
            queue=outbox.counts(),
            last_error=error.get("what", ""),
            last_error_at=error.get("at", 0.0),
            last_error_study=error.get("study", ""),
        )
    finally:
        state.close()
        outbox.close()
