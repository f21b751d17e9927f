"""Jobs with their events: a change of state and its event are one transaction, as are a report and what it changes."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from symbiont.common.errors import AlreadyExists, FailedPrecondition, NotFound
from symbiont.training import records, tables, types
from symbiont.training.registry import Registry
from symbiont.training.spec import TrainingSpec
from symbiont.training.states import ACTIVE, WAITING, check_transition
from symbiont.training.types import JobState, now


class Store(Registry):
    """The durable state of the training service: the registry, and the jobs that fill it."""

    def add_job(
        self, spec: TrainingSpec, inputs: types.Inputs, request_id: str, request_digest: str
    ) -> tuple[types.Job, bool]:
        """Queues a job, or returns the one that the same request made before; the flag says whether it is new."""
        with self._write() as db:
            if request_id:
                row = db.execute(select(tables.jobs).where(tables.jobs.c.request_id == request_id)).mappings().first()
                if row is not None and row["request_digest"] != request_digest:
                    raise AlreadyExists(
                        f"request id {request_id!r} was used for another job: jobs/{row['id']}",
                        field="request_id",
                        reason="REQUEST_ID_REUSED",
                    )
                if row is not None:
                    return records.job_of(dict(row)), False
            identifier = f"job-{uuid.uuid4().hex[:12]}"
            values = {
                "id": identifier,
                "request_id": request_id or None,
                "request_digest": request_digest,
                "state": JobState.QUEUED.value,
                "attempt": 0,
                "last_seq": 0,
                "last_event": 0,
                "lost_in_a_row": 0,
                "spec": spec.model_dump(mode="json", exclude_none=True),
                "inputs": records.body(inputs),
                "checkpoint_digest": "",
                "model_version": "",
                "create_time": now(),
            }
            db.execute(insert(tables.jobs).values(values))
            return records.job_of(self._job_row(db, identifier)), True

    def job(self, identifier: str) -> types.Job:
        """Returns a job."""
        with self._read() as db:
            return records.job_of(self._job_row(db, identifier))

    def jobs(self, query: types.JobQuery, after: int | None, limit: int) -> list[tuple[int, types.Job]]:
        """Returns jobs in the order of the query, each with its number; `after` is the number of the last one seen."""
        c = tables.jobs.c
        select_jobs = select(tables.jobs).order_by(c.number if query.oldest_first else c.number.desc()).limit(limit)
        if after is not None:
            select_jobs = select_jobs.where(c.number > after if query.oldest_first else c.number < after)
        if query.states:
            select_jobs = select_jobs.where(c.state.in_([state.value for state in query.states]))
        if query.model:
            select_jobs = select_jobs.where(c.spec["model"].as_string() == f"models/{query.model}")
        return [(row["number"], records.job_of(row)) for row in self._all(select_jobs)]

    def count_by_state(self) -> dict[JobState, int]:
        """Returns how many jobs are in each state."""
        query = select(tables.jobs.c.state, func.count().label("count")).group_by(tables.jobs.c.state)
        counted = {row["state"]: row["count"] for row in self._all(query)}
        return {state: counted.get(state.value, 0) for state in JobState}

    def waiting(self, limit: int) -> list[str]:
        """Returns the ids of jobs that wait for a worker, oldest first."""
        return self._ids(WAITING, limit)

    def active(self) -> list[tuple[str, int, datetime]]:
        """Returns (job, attempt, time of its launch) of the jobs that have a worker, or are about to."""
        c = tables.jobs.c
        query = select(c.id, c.attempt, c.attempt_time).where(c.state.in_([s.value for s in ACTIVE]))
        return [(row["id"], row["attempt"], row["attempt_time"]) for row in self._all(query)]

    def begin_attempt(self, identifier: str) -> types.Job:
        """Writes the intent to launch the next attempt: STARTING, with a new attempt number."""
        with self._write() as db:
            row = self._job_row(db, identifier)
            values = {"attempt": row["attempt"] + 1, "last_seq": 0, "attempt_time": now(), "progress": None}
            self._update(db, identifier, **values, start_time=row["start_time"] or values["attempt_time"])
            self._move(db, identifier, JobState.STARTING, f"attempt {values['attempt']}")
            return records.job_of(self._job_row(db, identifier))

    def lose_attempt(self, identifier: str, attempt: int, reason: str, limit: int) -> types.Job | None:
        """Records that the worker of an attempt is gone: RECOVERING, or the end of the job.

        A job fails when `limit` workers were lost in a row without a checkpoint in between. Returns None when the
        attempt's last report came first, so that there is nothing to recover.
        """
        with self._write() as db:
            row = self._job_row(db, identifier)
            state, lost = JobState(row["state"]), row["lost_in_a_row"] + 1
            if row["attempt"] != attempt or state not in ACTIVE:
                return None
            if state is JobState.CANCELLING:
                self._move(db, identifier, JobState.CANCELLED, reason)
            elif lost >= limit:
                text = f"{reason}; {limit} in a row without a checkpoint are the limit"
                self._update(db, identifier, failure=records.body(types.Failure(types.FailureKind.INFRA, text)))
                self._move(db, identifier, JobState.FAILED, text)
            else:
                self._update(db, identifier, lost_in_a_row=lost)
                self._move(db, identifier, JobState.RECOVERING, reason)
            return records.job_of(self._job_row(db, identifier))

    def cancel(self, identifier: str, reason: str) -> types.Job:
        """Cancels a job: CANCELLED when no worker has it, else CANCELLING.

        Raises:
            FailedPrecondition: it has ended.
        """
        with self._write() as db:
            state = JobState(self._job_row(db, identifier)["state"])
            if state.ended:
                raise FailedPrecondition(f"jobs/{identifier} has ended: {state}", reason="JOB_ENDED")
            if state is not JobState.CANCELLING:
                self._move(db, identifier, JobState.CANCELLING if state in ACTIVE else JobState.CANCELLED, reason)
            return records.job_of(self._job_row(db, identifier))

    def move(self, identifier: str, state: JobState, reason: str) -> types.Job:
        """Changes a job's state and records the event.

        Raises:
            FailedPrecondition: the state table does not allow it.
        """
        with self._write() as db:
            self._move(db, identifier, state, reason)
            return records.job_of(self._job_row(db, identifier))

    def take(self, message: types.WorkerReport) -> types.Job:
        """Applies one report of a worker, once.

        Raises:
            FailedPrecondition: the attempt is not the current one any more (the fence).
        """
        with self._write() as db:
            row = self._job_row(db, message.job)
            state = JobState(row["state"])
            if message.attempt != row["attempt"] or (state not in ACTIVE and message.seq > row["last_seq"]):
                raise FailedPrecondition(
                    f"attempt {message.attempt} of jobs/{message.job} is over (the job is {state}, "
                    f"attempt {row['attempt']})",
                    reason="ATTEMPT_FENCED",
                )
            if message.seq == 0 or message.seq > row["last_seq"]:
                if message.seq:
                    self._update(db, message.job, last_seq=message.seq)
                self._apply(db, row, state, message.report)
            return records.job_of(self._job_row(db, message.job))

    def events(self, job: str, after: int, limit: int = 500) -> list[types.Event]:
        """Returns events of a job after an id, in order."""
        c = tables.events.c
        query = select(tables.events).where(c.job == job, c.id > after).order_by(c.id).limit(limit)
        return [records.event_of(row) for row in self._all(query)]

    # How reports change a job.

    def _apply(self, db: Connection, row: records.Row, state: JobState, report: types.Report) -> None:
        job = row["id"]
        match report:
            case types.Hello():
                if state is JobState.STARTING:
                    self._move(db, job, JobState.RUNNING, f"worker process {report.pid} reports")
            case types.Heartbeat():
                pass
            case types.Progress():
                self._update(db, job, progress=records.body(report))
                self._record(db, job, report)
            case types.CheckpointSaved():
                self._update(db, job, checkpoint_digest=report.digest, lost_in_a_row=0)
                self._record(db, job, report)
            case types.EvaluationStarted():
                if state is not JobState.CANCELLING:
                    self._move(db, job, JobState.EVALUATING, "all steps are done")
            case types.Evaluation():
                self._update(db, job, evaluation=records.body(report))
                self._record(db, job, report)
            case types.LogLine():
                self._record(db, job, report)
            case types.Failure():
                self._update(db, job, failure=records.body(report))
                self._move(
                    db, job, JobState.FAILED if state is not JobState.CANCELLING else JobState.CANCELLED, report.message
                )
            case types.Stopped():
                after = JobState.CANCELLED if state is JobState.CANCELLING else JobState.RECOVERING
                self._move(db, job, after, "the worker stopped as asked")
            case types.Done():
                self._finish(db, row, state, report)

    def _finish(self, db: Connection, row: records.Row, state: JobState, done: types.Done) -> None:
        if state is JobState.CANCELLING:
            self._move(db, row["id"], JobState.CANCELLED, "the work was done already, and is dropped")
            return
        model = row["spec"]["model"].removeprefix("models/")
        if db.execute(select(tables.models).where(tables.models.c.id == model)).first() is None:
            db.execute(insert(tables.models).values(id=model, create_time=now()))
        c = tables.versions.c
        number = (db.execute(select(func.max(c.number)).where(c.model == model)).scalar() or 0) + 1
        db.execute(
            insert(tables.versions).values(
                model=model,
                number=number,
                bundle_digest=done.bundle_digest,
                base_model=row["spec"]["base_model"].removeprefix("bases/"),
                base_digest=row["inputs"]["base_digest"],
                tokenizer_digest=row["inputs"]["tokenizer_digest"],
                job=row["id"],
                evaluation=row["evaluation"],
                create_time=now(),
            )
        )
        name = f"models/{model}/versions/{number}"
        self._update(db, row["id"], model_version=name)
        self._move(db, row["id"], JobState.SUCCEEDED, f"made {name}", name)

    def _move(self, db: Connection, job: str, state: JobState, reason: str, version: str = "") -> None:
        old = JobState(self._job_row(db, job)["state"])
        check_transition(job, old, state)
        self._update(db, job, state=state.value, **({"end_time": now()} if state.ended else {}))
        self._record(db, job, types.StateChange(old, state, reason, version))

    def _record(self, db: Connection, job: str, body: types.EventBody) -> None:
        row = self._job_row(db, job)
        number = row["last_event"] + 1
        self._update(db, job, last_event=number)
        kind = records.event_kind(body)
        db.execute(
            insert(tables.events).values(
                job=job, id=number, time=now(), attempt=row["attempt"], kind=kind, body=records.body(body)
            )
        )

    def _job_row(self, db: Connection, identifier: str) -> dict[str, Any]:
        row = db.execute(select(tables.jobs).where(tables.jobs.c.id == identifier)).mappings().first()
        if row is None:
            raise NotFound(f"jobs/{identifier} does not exist", field="name")
        return dict(row)

    def _update(self, db: Connection, job: str, **values: Any) -> None:
        db.execute(update(tables.jobs).where(tables.jobs.c.id == job).values(values))

    def _ids(self, states: Sequence[JobState], limit: int) -> list[str]:
        c = tables.jobs.c
        query = select(c.id).where(c.state.in_([s.value for s in states])).order_by(c.number).limit(limit)
        return [row["id"] for row in self._all(query)]
