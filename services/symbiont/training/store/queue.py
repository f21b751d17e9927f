"""Which job gets the next free place, and which controller looks after which worker."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select, update

from symbiont.common.encryption import tenant_of
from symbiont.common.errors import TenantShredded
from symbiont.training import types
from symbiont.training.states import ACTIVE, ENDING, WAITING
from symbiont.training.store import tables
from symbiont.training.store.change import Change
from symbiont.training.store.sealed import sealed_for
from symbiont.training.store.steering import Steering
from symbiont.training.types import JobState, now

_J = tables.jobs.c
_IS_ACTIVE = _J.state.in_([state.value for state in ACTIVE])
_TRAINS = _J.state.in_([state.value for state in JobState if not state.ended and state not in ENDING])


@dataclass(frozen=True)
class Places:
    """How many jobs may have a worker at a time: in all, and of one tenant (0: as many as there are places)."""

    total: int = 1
    per_tenant: int = 0


class ShreddedJob(Exception):
    """The next job that waits is of a tenant whose keys were destroyed; `args` has its id."""


@dataclass(frozen=True)
class ActiveJob:
    """What looking after a worker takes; no payload of the job."""

    id: str
    attempt: int
    state: JobState
    owner: str
    attempt_time: datetime
    heard_time: datetime | None
    finishing: str
    used_seconds: float
    max_seconds: float | None


class Queue(Steering):
    """The durable queue, by priority and age, and the leases of controllers on the jobs that have workers."""

    def claim(self, owner: str, lease_seconds: float, places: Places) -> types.Job | None:
        """Gives the next job that waits the place that is free, or returns None where there is none of either.

        Raises ShreddedJob where it is one that nobody can read: it is to be given up.

        STARTING with a new attempt number is the intent to launch, and is committed before the launch. Jobs that lost
        their worker go first, then those of higher priority, then the older ones.
        """
        with self._write() as db:
            query = select(_J.tenant, func.count().label("count")).where(_IS_ACTIVE).group_by(_J.tenant)
            busy = Counter({row["tenant"]: row["count"] for row in db.execute(query).mappings()})
            if busy.total() >= places.total:
                return None
            full = [t for t, count in busy.items() if places.per_tenant and count >= places.per_tenant]
            row = self._first_waiting(db, full)
            if row is None:
                return None
            try:
                return self._begin(db, row, owner, lease_seconds)
            except TenantShredded as exc:
                raise ShreddedJob(row["id"]) from exc

    def begin_attempt(self, identifier: str, owner: str = "", lease_seconds: float = 0) -> types.Job:
        """Begins the next attempt of one job, whatever the places."""
        with self._write_row() as db:
            return self._begin(db, self._job_row(db, identifier, lock=True), owner, lease_seconds)

    def _first_waiting(self, db: Connection, full: list[str]) -> dict[str, Any] | None:
        ready = _J.retry_time.is_(None) | (_J.retry_time <= now())
        for state in reversed(WAITING):
            waits = (_J.state == state.value) & ready & _J.tenant.not_in(full)
            # Two steps that the index answers each: the highest priority, then the oldest of it.
            highest = db.execute(select(func.max(_J.priority)).where(waits)).scalar()
            if highest is not None:
                query = select(tables.jobs).where(waits, _J.priority == highest).order_by(_J.number).limit(1)
                row = db.execute(query.with_for_update(skip_locked=True)).mappings().first()
                if row is not None:
                    return dict(row)
        return None

    def _begin(self, db: Connection, row: dict[str, Any], owner: str, lease_seconds: float) -> types.Job:
        change = Change(db, row)
        attempt = row["attempt"] + 1
        change.set(attempt=attempt, last_seq=0, attempt_time=change.time, progress=None, retry_time=None)
        change.set(owner=owner, lease_time=self._lease_time(db, lease_seconds), heard_time=None, worker="")
        change.set(start_time=row["start_time"] or change.time)
        change.move(JobState.STARTING, f"attempt {attempt}")
        with sealed_for(tenant_of(change.id)):
            self._flush(change)
        return change.job

    def active(self) -> list[ActiveJob]:
        """Returns the jobs that have a worker, or are about to."""
        columns = (_J.id, _J.attempt, _J.state, _J.owner, _J.attempt_time, _J.heard_time)
        more = (_J.finishing, _J.used_seconds, _J.max_seconds)
        rows = self._all(select(*columns, *more).where(_IS_ACTIVE).order_by(_J.number))
        return [ActiveJob(**{**row, "state": JobState(row["state"])}) for row in rows]

    def in_state(self, state: JobState, limit: int = 100) -> list[str]:
        """Returns the ids of jobs in a state, oldest first."""
        query = select(_J.id).where(_J.state == state.value).order_by(_J.number).limit(limit)
        return [row["id"] for row in self._all(query)]

    def past_deadline(self) -> list[str]:
        """Returns the ids of jobs that train, or wait to, and should have ended."""
        query = select(_J.id).where(_TRAINS, _J.deadline < now(), _J.finishing == "")
        return [row["id"] for row in self._all(query)]

    # Leases: who looks after a worker. Times are those of the database, where controllers share one.

    def renew(self, owner: str, lease_seconds: float) -> None:
        """Prolongs the leases of a controller."""
        with self._write_row() as db:
            mine = _IS_ACTIVE & (_J.owner == owner)
            db.execute(update(tables.jobs).where(mine).values(lease_time=self._lease_time(db, lease_seconds)))

    def adopt(self, owner: str, lease_seconds: float, *, everyone: bool = False) -> list[tuple[str, int]]:
        """Takes over the jobs whose controller has let its lease run out, or `everyone`'s; returns (job, attempt)."""
        with self._write() as db:
            lapsed = _J.lease_time.is_(None) | (_J.lease_time < self._clock(db))
            theirs = _IS_ACTIVE & (_J.owner != owner)
            query = select(_J.id, _J.attempt).where(theirs if everyone else theirs & lapsed)
            found = [
                (row["id"], row["attempt"]) for row in db.execute(query.with_for_update(skip_locked=True)).mappings()
            ]
            for identifier, _ in found:
                # A worker could not be heard while nobody listened: its silence counts from now on.
                values = {"owner": owner, "lease_time": self._lease_time(db, lease_seconds), "heard_time": now()}
                db.execute(update(tables.jobs).where(_J.id == identifier).values(values))
            return found

    def _lease_time(self, db: Connection, seconds: float) -> datetime:
        return self._clock(db) + timedelta(seconds=seconds)

    def _clock(self, db: Connection) -> datetime:
        return db.execute(select(func.clock_timestamp())).scalar_one() if self.shared else now()
