"""What metrics ask of jobs that run or wait."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from symbiont.training.states import ACTIVE
from symbiont.training.store import records, tables
from symbiont.training.store.erasures import Erasures
from symbiont.training.types import JobState, Progress, now

_J = tables.jobs.c


@dataclass(frozen=True)
class WatchedJob:
    """A job as metrics tell of it.

    Attributes:
        active: whether a worker has it, or is about to.
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
            )
            for job in jobs
        ]

    def queue_seconds(self) -> float:
        """Returns the age of the oldest job that waits for a place; 0 where none does."""
        query = select(func.min(_J.create_time).label("oldest")).where(_J.state == JobState.QUEUED.value)
        (row,) = self._all(query)
        return max((now() - row["oldest"]).total_seconds(), 0.0) if row["oldest"] else 0.0
