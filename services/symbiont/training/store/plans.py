"""What plans foretold, so that a job's time can be held against it."""

from sqlalchemy import insert, select

from symbiont.training.store import tables
from symbiont.training.store.queue import Queue
from symbiont.training.types import now

_P = tables.plans.c


class Plans(Queue):
    """The latest plan of each spec."""

    def add_plan(self, spec_digest: str, seconds: float) -> None:
        """Records the training time that a plan foretold, in seconds."""
        with self._write() as db:
            db.execute(insert(tables.plans).values(spec_digest=spec_digest, seconds=seconds, create_time=now()))

    def planned_seconds(self, spec_digest: str) -> float | None:
        """Returns what the latest plan of a spec foretold, in seconds."""
        query = select(_P.seconds).where(_P.spec_digest == spec_digest).order_by(_P.number.desc()).limit(1)
        rows = self._all(query)
        return rows[0]["seconds"] if rows else None
