"""One change of a job: what it sets and the events that it leaves, written together at the end of its transaction."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, update

from symbiont.training import types
from symbiont.training.states import ACTIVE, check_transition
from symbiont.training.store import records, tables
from symbiont.training.types import JobState, now


class Change:
    """A job's row, locked, and what is to become of it."""

    def __init__(self, db: Connection, row: dict[str, Any]) -> None:
        self.db = db
        self.row = row
        self.time = now()
        self._values: dict[str, Any] = {}
        self._events: list[dict[str, Any]] = []

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.row["id"])

    @property
    def state(self) -> JobState:
        """The state as changed so far."""
        return JobState(self.row["state"])

    @property
    def job(self) -> types.Job:
        """The job as changed so far."""
        return records.job_of(self.row)

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return bool(self.row["checkpoint_digest"])

    def set(self, **values: Any) -> None:
        """Sets columns."""
        self.row.update(values)
        self._values.update(values)

    def record(self, body: types.EventBody) -> None:
        """Leaves an event."""
        number = self.row["last_event"] + 1
        self.set(last_event=number)
        kind, values = records.event_kind(body), records.body(body)
        event = {"id": number, "time": self.time, "attempt": self.row["attempt"], "kind": kind, "body": values}
        self._events.append({"job": self.id, **event})

    def move(self, state: JobState, reason: str, version: str = "") -> None:
        """Changes the state and leaves the event.

        Raises:
            FailedPrecondition: the table of transitions does not allow it.
        """
        old = self.state
        check_transition(self.id, old, state)
        if old in ACTIVE and state not in ACTIVE:
            self._release_worker()
        self.set(state=state.value, **({"end_time": self.time} if state.ended else {}))
        self.record(types.StateChange(old, state, reason, version))

    def fail(self, kind: types.FailureKind, message: str) -> None:
        """Ends the job as failed."""
        self.set(failure=records.body(types.Failure(kind, message)))
        self.move(JobState.FAILED, message)

    def _release_worker(self) -> None:
        since: datetime | None = self.row["attempt_time"]
        used = (self.time - since).total_seconds() if since else 0.0
        seconds = self.row["used_seconds"] + max(used, 0.0)
        self.set(used_seconds=seconds, attempt_time=None, owner="", lease_time=None, heard_time=None)

    def flush(self) -> bool:
        """Writes everything; returns whether there is news for whoever follows the job."""
        if self._values:
            self.db.execute(update(tables.jobs).where(tables.jobs.c.id == self.id).values(self._values))
        if self._events:
            self.db.execute(insert(tables.events), self._events)
        return bool(self._events) or "finishing" in self._values
