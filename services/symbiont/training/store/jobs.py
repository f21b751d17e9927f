"""Jobs and their events: a change of state and its event are one transaction."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, func, insert, select

from symbiont.common.access.views import beside
from symbiont.common.encryption import tenant_of
from symbiont.common.errors import AlreadyExists, NotFound
from symbiont.common.resources import MARK
from symbiont.training import types
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import records, tables
from symbiont.training.store.change import Change
from symbiont.training.store.database import readable
from symbiont.training.store.registry import Registry
from symbiont.training.store.sealed import Shredded, sealed_for
from symbiont.training.types import JobState, now

_J = tables.jobs.c
_ENDED = [state.value for state in JobState if state.ended]


class JobTable(Registry):
    """Jobs as they are created, read and listed; `_change` is how everything else changes one."""

    def add_job(
        self,
        spec: TrainingSpec,
        inputs: types.Inputs,
        request_id: str,
        request_digest: str,
        terms: types.Terms = types.Terms(),  # noqa: B008, frozen
        *,
        price: float = 0.0,
        estimated_seconds: float | None = None,
        reproduces: types.ModelVersion | None = None,
        principal: str = "",
    ) -> tuple[types.Job, bool]:
        """Adds a job, or returns the one that the same request made before; the flag says whether it is new.

        `reproduces` is the version that it makes again, `principal` who asks for it.
        """
        with self._write() as db:
            made = self._made_before(db, request_id, request_digest)
            if made:
                return made, False
            if spec.derived_base:
                self._check_free(db, spec.derived_base)
            identifier = beside(spec.dataset, f"job-{uuid.uuid4().hex[:12]}")
            values = {
                "id": identifier,
                "request_id": request_id or None,
                "request_digest": request_digest,
                "state": JobState.VALIDATING.value,
                "attempt": 0,
                "last_seq": 0,
                "last_event": 0,
                "lost_in_a_row": 0,
                "spec": spec.model_dump(mode="json", exclude_none=True),
                "inputs": records.body(inputs),
                "checkpoint_digest": "",
                "model_version": "",
                "micro_batches": spec.hyperparameters.accumulation_steps,
                "price": price,
                "principal": principal,
                "create_time": now(),
                "estimated_seconds": estimated_seconds,
                "model": spec.model or "",
                "makes_base": spec.derived_base or "",
                "reproduces": reproduces.name if reproduces else "",
                "reproduction": reproduces and {"model_version": reproduces.name, "job": reproduces.job},
                **records.terms_columns(terms, spec.ranks, price),
            }
            with sealed_for(tenant_of(identifier)):
                db.execute(insert(tables.jobs).values(values))
            return records.job_of(self._job_row(db, identifier)), True

    def _check_free(self, db: Connection, name: str) -> None:
        """Sees to it that nobody has the name of a base, nor is about to make one of that name."""
        making = select(_J.id).where(_J.state.not_in(_ENDED), _J.makes_base == name)
        if db.execute(select(tables.bases).where(tables.bases.c.id == name.removeprefix("bases/"))).first():
            problem = f"{name} exists"
        elif maker := db.execute(making).first():
            problem = f"jobs/{maker.id} is about to make {name}"
        else:
            return
        raise AlreadyExists(
            f"{problem}: choose another name", field="training_job.spec.derived_base", reason="BASE_EXISTS"
        )

    def made_before(self, request_id: str, digest: str) -> types.Job | None:
        """Returns the job that the same request made before; AlreadyExists where another one made it."""
        with self._read() as db:
            return self._made_before(db, request_id, digest)

    def _made_before(self, db: Connection, request_id: str, digest: str) -> types.Job | None:
        if not request_id:
            return None
        row = db.execute(select(tables.jobs).where(_J.request_id == request_id)).mappings().first()
        if row is not None and row["request_digest"] != digest:
            raise AlreadyExists(
                f"request id {request_id!r} was used for another job: jobs/{row['id']}",
                field="request_id",
                reason="REQUEST_ID_REUSED",
            )
        return records.job_of(dict(row)) if row is not None else None

    def job(self, identifier: str) -> types.Job:
        """Returns a job."""
        with self._read() as db:
            return records.job_of(self._job_row(db, identifier))

    def jobs(self, query: types.JobQuery, after: int | None, limit: int) -> list[tuple[int, types.Job]]:
        """Returns jobs in the order of the query, each with its number; `after` is the number of the last one seen."""
        c = _J
        select_jobs = select(tables.jobs).order_by(c.number if query.oldest_first else c.number.desc()).limit(limit)
        if query.states:
            select_jobs = select_jobs.where(c.state.in_([state.value for state in query.states]))
        if query.owner is not None:
            owned = c.id.like(f"{query.owner}{MARK}%")
            select_jobs = select_jobs.where(owned if query.owner else c.id.not_like(f"%{MARK}%"))
        if query.model:
            select_jobs = select_jobs.where(c.model == f"models/{query.model}")
        found: list[tuple[int, types.Job]] = []
        with self._read() as db:
            while len(found) < limit:
                page = select_jobs
                if after is not None:
                    page = page.where(c.number > after if query.oldest_first else c.number < after)
                rows = db.execute(page).mappings().all()
                found += [(row["number"], records.job_of(row)) for row in readable(rows)]
                if len(rows) < limit:
                    break
                # Some may be of a tenant whose keys were destroyed: a short page would end the list.
                after = rows[-1]["number"]
        return found[:limit]

    def reproductions(self, model_version: str) -> list[types.Job]:
        """Returns the jobs that have made a version again, or tried to, oldest first."""
        query = select(tables.jobs).where(_J.reproduces == model_version)
        return [records.job_of(row) for row in self._all(query.order_by(_J.number))]

    def count_by_state(self) -> dict[JobState, int]:
        """Returns how many jobs are in each state."""
        query = select(_J.state, func.count().label("count")).group_by(_J.state)
        counted = {row["state"]: row["count"] for row in self._all(query)}
        return {state: counted.get(state.value, 0) for state in JobState}

    def events(self, job: str, after: int, limit: int = 500) -> list[types.Event]:
        """Returns events of a job after an id, in order."""
        c = tables.events.c
        query = select(tables.events).where(c.job == job, c.id > after).order_by(c.id).limit(limit)
        return [records.event_of(row) for row in self._all(query)]

    def give_up(self, identifier: str) -> None:
        """Ends a job of a tenant whose keys were destroyed; one that has ended stays as it is."""
        why = "the keys of its tenant were destroyed"
        # Nobody can write for that tenant any more.
        with self._change(identifier, owner="") as change:
            if change.state is JobState.CANCELLING:
                change.move(JobState.CANCELLED, why)
            elif not change.state.ended:
                change.fail(types.FailureKind.DATA, why)

    def delete_dataset(self, identifier: str) -> types.Dataset:
        """Removes a dataset from the registry.

        Raises:
            NotFound: no such dataset.
            FailedPrecondition: a job that has not ended works on it.
        """
        with self._write() as db:
            dataset = self.dataset(identifier)
            query = select(_J.id, _J.inputs).where(_J.state.not_in(_ENDED))
            rows = db.execute(query).mappings()
            mine = (row for row in rows if not isinstance(row["inputs"], Shredded))
            users = [row["id"] for row in mine if dataset.digest in records.inputs_of(row["inputs"]).datasets]
            self._remove_dataset(db, dataset, users)
            return dataset

    @contextmanager
    def _change(self, identifier: str, *, alone: bool = False, owner: str | None = None) -> Iterator[Change]:
        """Locks a job, and writes what the block has changed when it ends; an error in it leaves all as it was.

        `alone` is for a change that also counts across rows. What the block writes is encrypted for `owner`, by
        default for whoever owns the job.
        """
        owner = tenant_of(identifier) if owner is None else owner
        with sealed_for(owner), self._write() if alone else self._write_row() as db:
            change = Change(db, self._job_row(db, identifier, lock=True))
            yield change
            self._flush(change)

    def _flush(self, change: Change) -> None:
        if change.flush():
            self._tell(change.db, change.id)

    def _job_row(self, db: Connection, identifier: str, *, lock: bool = False) -> dict[str, Any]:
        query = select(tables.jobs).where(_J.id == identifier)
        row = db.execute(query.with_for_update() if lock else query).mappings().first()
        if row is None:
            raise NotFound(f"jobs/{identifier} does not exist", field="name")
        return dict(row)
