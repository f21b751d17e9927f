"""What metrics ask of jobs that run or wait."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from symbiont.training.states import ACTIVE, WAITING
from symbiont.training.store import records, tables
from symbiont.training.store.erasures import Erasures
from symbiont.training.types import JobState, Progress, now

_J, _E = tables.jobs.c, tables.events.c


@dataclass(frozen=True)
class WatchedJob:
    """A job as metrics tell of it.

    Attributes:
        active: whether a worker has it, or is about to.
        trains: whether that worker makes steps, as it does not while it starts or judges.
        ranks: worker processes of an attempt.
        price: what one of them costs in an hour.
        seconds: with a worker, of all attempts.
        attempt_seconds: of these, in the attempt that runs.
    """

    id: str
    tenant: str
    active: bool
    ranks: int
    price: float
    seconds: float
    attempt_seconds: float
    progress: Progress | None
    trains: bool = False


class Watching(Erasures):
    """The jobs that have a worker, and how long others wait for one."""

    def watched(self, also: Collection[str] = ()) -> list[WatchedJob]:
        """Returns the jobs that have a worker or are about to, oldest first, and those of these ids."""
        active = [state.value for state in ACTIVE]
        query = select(tables.jobs).where(_J.state.in_(active) | _J.id.in_(also)).order_by(_J.number)
        time, jobs = now(), [records.job_of(row) for row in self._all(query)]
        return [
            WatchedJob(
                id=job.id,
                tenant=job.terms.tenant,
                active=job.state in ACTIVE,
                ranks=job.spec.ranks,
                price=job.price,
                seconds=(seconds := job.training_seconds(time)),
                attempt_seconds=seconds - job.used_seconds,
                progress=job.progress,
                trains=job.state is JobState.RUNNING,
            )
            for job in jobs
        ]

    def queue_seconds(self) -> float:
        """Returns how long the job that has waited longest for a place has done so; 0 where none does.

        It counts from when the job was queued last, or lost its worker: one that was paused for a week has not waited.
        Nor has one whose next attempt is not due yet.
        """
        time = now()
        waits = _J.state.in_([state.value for state in WAITING]) & (_J.retry_time.is_(None) | (_J.retry_time <= time))
        # Of its changes of state the last is the one into the state that it waits in.
        since = select(_J.retry_time, func.max(_E.time).label("moved")).join(tables.events, _E.job == _J.id)
        rows = self._all(since.where(waits, _E.kind == "state_change").group_by(_J.id, _J.retry_time))
        began = [max(row["moved"], row["retry_time"] or row["moved"]) for row in rows]
        return max((time - min(began)).total_seconds(), 0.0) if began else 0.0
