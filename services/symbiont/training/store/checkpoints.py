"""Checkpoints on record: which are the latest and the best, and which are of no more use."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from symbiont.training import types
from symbiont.training.store import records, tables
from symbiont.training.store.change import Change
from symbiont.training.store.jobs import JobTable
from symbiont.training.types import JobState

_C, _J = tables.checkpoints.c, tables.jobs.c


class Checkpoints(JobTable):
    """A row for each checkpoint that is kept; the job's row says which is the latest and which the best."""

    def checkpoints(self, job: str) -> list[types.Checkpoint]:
        """Returns the checkpoints of a job, by step."""
        best = self.job(job).best_digest
        rows = self._all(select(tables.checkpoints).where(_C.job == job).order_by(_C.step))
        return [records.checkpoint_of(row, best) for row in rows]

    def _add_checkpoint(self, change: Change, saved: types.CheckpointSaved) -> None:
        values = {"digest": saved.digest, "attempt": change.row["attempt"], "create_time": change.time}
        where = (_C.job == change.id, _C.step == saved.step)
        loss = saved.evaluation_loss
        # An attempt that had to start over comes by the same steps again.
        if not change.db.execute(
            update(tables.checkpoints).where(*where).values(**values, evaluation_loss=loss)
        ).rowcount:
            row = {"job": change.id, "step": saved.step, "evaluation_loss": loss, **values}
            change.db.execute(insert(tables.checkpoints).values(row))
        change.set(checkpoint_digest=saved.digest, lost_in_a_row=0)
        best = change.row["best_loss"]
        if loss is None or best is None or loss < best:
            # Without a judgement the latest is the best that is known.
            change.set(best_digest=saved.digest, best_loss=loss)
        change.record(saved)

    def useless_checkpoints(self, ended_before: datetime, limit: int = 1000) -> list[tuple[str, int, str]]:
        """Returns (job, step, digest) of checkpoints that nobody will need.

        Of a job that may go on the latest and the best are kept; of one that has ended likewise until `ended_before`,
        and as long as an alias points at what it made; of one that was cancelled for good, and of a plan, nothing.
        """
        aliased = (
            select(tables.versions.c.job)
            .join(
                tables.aliases,
                (tables.aliases.c.model == tables.versions.c.model)
                & (tables.aliases.c.number == tables.versions.c.number),
            )
            .scalar_subquery()
        )
        dropped = (_J.state == JobState.CANCELLED) & (_J.model_version == "") & (_J.derived_base == "")
        over = _J.end_time.is_not(None) & ((_J.end_time < ended_before) | dropped) & _J.id.not_in(aliased)
        passed = (_C.digest != _J.checkpoint_digest) & (_C.digest != _J.best_digest)
        query = (
            select(_C.job, _C.step, _C.digest)
            .join(tables.jobs, _J.id == _C.job)
            .where(passed | over)
            .order_by(_C.job, _C.step)
            .limit(limit)
        )
        return [(row["job"], row["step"], row["digest"]) for row in self._all(query)]

    def forget_checkpoint(self, job: str, step: int, digest: str) -> bool:
        """Takes a checkpoint off the record; False when it has been replaced in the meantime."""
        with self._write() as db:
            where: Any = (_C.job == job) & (_C.step == step) & (_C.digest == digest)
            return bool(db.execute(delete(tables.checkpoints).where(where)).rowcount)

    def known_checkpoints(self) -> set[str]:
        """Returns the digests of all checkpoints on record."""
        recorded = {row["digest"] for row in self._all(select(_C.digest))}
        return recorded | {row["checkpoint_digest"] for row in self._all(select(_J.checkpoint_digest))}
