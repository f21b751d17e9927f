"""Which jobs a tracker has still something to hear of, and which controller tells it."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, or_, select, true, update

from symbiont.training.store import tables
from symbiont.training.store.plans import Plans

_J, _T, _E, _K = tables.jobs.c, tables.tracked.c, tables.events.c, tables.trackers.c
_SAVED, _WITH_STEP = ("checkpoint_saved",), ("checkpoint_saved", "progress", "metrics")


@dataclass(frozen=True)
class News:
    """A job that a tracker has something to hear of: after event `told`, and that it has `ended`."""

    job: str
    told: int
    ended: bool


class Tracked(Plans):
    """A row for each tracker and job, from when the tracker first looks until it has heard of the job's end.

    Only one controller tells a tracker of a job: its lease says until when. `tracker` is its word in the settings.
    """

    def track_new_jobs(self, tracker: str) -> None:
        """Gives every new job its row. A tracker that was never seen before begins with the jobs that are open."""
        with self._read() as db:
            if self._known(db, tracker) == self._newest(db):
                return
        with self._write() as db:
            known, newest = self._known(db, tracker), self._newest(db)
            new = _J.end_time.is_(None) if known is None else _J.number > known
            rows = select(literal(tracker), _J.id, literal(0), literal("")).where(new)
            db.execute(insert(tables.tracked).from_select(["tracker", "job", "event", "owner"], rows))
            if known is None:
                db.execute(insert(tables.trackers).values(name=tracker, number=newest))
            else:
                db.execute(update(tables.trackers).where(_K.name == tracker).values(number=newest))

    def _known(self, db: Connection, tracker: str) -> int | None:
        number: int | None = db.execute(select(_K.number).where(_K.name == tracker)).scalar()
        return number

    def _newest(self, db: Connection) -> int:
        return db.execute(select(func.max(_J.number))).scalar() or 0

    def untold(self, tracker: str, owner: str, *, alone: bool = False) -> list[News]:
        """Returns the jobs that a controller may tell a tracker of and that have news, oldest first.

        A job is told of from its first start on, or when it has ended without one.
        """
        begun = _J.start_time.is_not(None) | _J.end_time.is_not(None)
        news = (_J.last_event > _T.event) | _J.end_time.is_not(None)
        columns = _T.job, _T.event.label("told"), _J.end_time.is_not(None).label("ended")
        with self._read() as db:
            free = self._free(db, owner, alone=alone)
            query = select(*columns).join(tables.jobs, _J.id == _T.job).where(_T.tracker == tracker, begun, news, free)
            return [
                News(row["job"], row["told"], row["ended"]) for row in db.execute(query.order_by(_J.number)).mappings()
            ]

    def begin_telling(self, tracker: str, job: str, owner: str, lease_seconds: float, *, alone: bool = False) -> bool:
        """Takes the lease of a job; False where another controller has it. `alone` says that there is no other."""
        with self._write_row() as db:
            where = _one(tracker, job) & self._free(db, owner, alone=alone)
            values = {"owner": owner, "lease_time": self._lease_time(db, lease_seconds)}
            return bool(db.execute(update(tables.tracked).where(where).values(values)).rowcount)

    def keep_telling(self, owner: str, lease_seconds: float) -> set[tuple[str, str]]:
        """Prolongs a controller's leases; returns (tracker, job) of those it has."""
        with self._write_row() as db:
            mine = _T.owner == owner
            values = {"lease_time": self._lease_time(db, lease_seconds)}
            db.execute(update(tables.tracked).where(mine).values(values))
            return {
                (row["tracker"], row["job"]) for row in db.execute(select(_T.tracker, _T.job).where(mine)).mappings()
            }

    def told(self, tracker: str, job: str, owner: str, event: int) -> bool:
        """Records that a tracker was told up to an event; False where another controller has the lease by now."""
        with self._write_row() as db:
            where = _one(tracker, job) & (_T.owner == owner)
            return bool(db.execute(update(tables.tracked).where(where).values(event=event)).rowcount)

    def told_all(self, tracker: str, job: str, owner: str) -> None:
        """Takes a job from the list of a tracker that knows of its end."""
        with self._write_row() as db:
            db.execute(delete(tables.tracked).where(_one(tracker, job) & (_T.owner == owner)))

    def stop_telling(self, tracker: str, owner: str) -> None:
        """Leaves the jobs of a controller to the others."""
        with self._write_row() as db:
            where = (_T.tracker == tracker) & (_T.owner == owner)
            db.execute(update(tables.tracked).where(where).values(owner="", lease_time=None))

    def _free(self, db: Connection, owner: str, *, alone: bool) -> ColumnElement[bool]:
        if alone:
            return true()
        return or_(_T.owner.in_(("", owner)), _T.lease_time.is_(None), _T.lease_time < self._clock(db))

    def steps_at(self, job: str, event: int) -> tuple[int, int]:
        """Returns how far a training was with an event: its step, and that of the checkpoint before; 0 for none."""
        with self._read() as db:
            saved = self._last(db, job, event, _SAVED)
            last = self._last(db, job, event, _WITH_STEP)
            attempt = db.execute(select(_E.attempt).where(_E.job == job, _E.id == event)).scalar()
        checkpoint = saved["body"]["step"] if saved else 0
        # An attempt of which no step is known begins where its checkpoint was.
        return (last["body"]["step"] if last and last["attempt"] == attempt else checkpoint), checkpoint

    def _last(self, db: Connection, job: str, event: int, kinds: tuple[str, ...]) -> dict[str, Any] | None:
        query = select(_E.attempt, _E.body).where(_E.job == job, _E.id <= event, _E.kind.in_(kinds))
        row = db.execute(query.order_by(_E.id.desc()).limit(1)).mappings().first()
        return dict(row) if row is not None else None


def _one(tracker: str, job: str) -> ColumnElement[bool]:
    return (_T.tracker == tracker) & (_T.job == job)
