"""What workers report, and what their loss, means for a job: a report and what it changes are one transaction."""

from dataclasses import asdict, replace
from datetime import timedelta

from sqlalchemy import func, insert, select

from symbiont.common.errors import AlreadyExists, FailedPrecondition
from symbiont.training import types
from symbiont.training.retries import judge
from symbiont.training.states import ACTIVE
from symbiont.training.store import records, tables
from symbiont.training.store.change import Change
from symbiont.training.store.checkpoints import Checkpoints
from symbiont.training.types import FailureKind, JobState


class Reports(Checkpoints):
    """Takes reports, each once, and only of the current attempt."""

    # Attempts in a row that may end without a checkpoint.
    max_lost = 5

    def take(self, message: types.WorkerReport) -> types.Job:
        """Applies one report of a worker, once.

        Raises:
            FailedPrecondition: the attempt is not the current one any more (the fence).
        """
        # Two jobs of one model that end at once must not make versions of the same number.
        with self._change(message.job, alone=isinstance(message.report, types.Done)) as change:
            row = change.row
            if message.attempt != row["attempt"] or (change.state not in ACTIVE and message.seq > row["last_seq"]):
                raise FailedPrecondition(
                    f"attempt {message.attempt} of jobs/{message.job} is over (the job is {change.state}, "
                    f"attempt {row['attempt']})",
                    reason="ATTEMPT_FENCED",
                )
            if message.seq and message.seq <= row["last_seq"]:
                return change.job
            if change.state in ACTIVE:
                change.set(heard_time=change.time)
            if message.seq:
                change.set(last_seq=message.seq)
            self._apply(change, message.report)
            return change.job

    def lose_attempt(self, identifier: str, attempt: int, reason: str) -> types.Job | None:
        """Records that the worker of an attempt is gone: tried again, or the end of the job.

        Returns None when the attempt's last report came first, so that there is nothing to recover.
        """
        with self._change(identifier) as change:
            if change.row["attempt"] != attempt or change.state not in ACTIVE:
                return None
            self._failed(change, types.Failure(FailureKind.INFRA, reason))
            return change.job

    def _apply(self, change: Change, report: types.Report) -> None:
        match report:
            case types.Hello():
                self._recognise(change, report)
                if change.state is JobState.STARTING:
                    change.move(JobState.RUNNING, f"worker process {report.pid} reports")
            case types.Progress():
                change.set(progress=records.body(report))
                change.record(report)
            case types.CheckpointSaved():
                self._add_checkpoint(change, report)
            case types.EvaluationStarted():
                if change.state is not JobState.CANCELLING:
                    change.move(JobState.EVALUATING, _why_evaluating(change))
            case types.Evaluation():
                change.set(evaluation=records.body(report))
                change.record(report)
            case types.LogLine() | types.Metrics() | types.Warning():
                change.record(report)
            case types.Failure():
                self._failed(change, report)
            case types.Stopped():
                self._go_on_later(change, "the worker stopped as asked")
            case types.Done():
                self._finish(change, report)

    def _recognise(self, change: Change, hello: types.Hello) -> None:
        """Binds the attempt to the first process that speaks for it: one that was launched twice must not run twice."""
        known = change.row["worker"]
        if known and hello.instance != known:
            raise FailedPrecondition(
                f"attempt {change.row['attempt']} of jobs/{change.id} is another process's: this one must stop",
                reason="ATTEMPT_FENCED",
            )
        change.set(worker=hello.instance)

    def _failed(self, change: Change, failure: types.Failure) -> None:
        row = change.row
        if change.state is JobState.CANCELLING and not row["finishing"]:
            change.move(JobState.CANCELLED, failure.message)
            return
        verdict = judge(failure, row, self.max_lost)
        if verdict.failure:
            self._end_in_vain(change, verdict.failure)
            return
        if verdict.micro_batches != row["micro_batches"]:
            text = f"{failure.message}; each step is computed in {verdict.micro_batches} parts from now on"
            change.record(types.Warning("HALVED_BATCH", text))
        lost = row["lost_in_a_row"] + (failure.kind is FailureKind.INFRA)
        change.set(micro_batches=verdict.micro_batches, lost_in_a_row=lost)
        self._go_on_later(change, failure.message, verdict.delay_seconds)

    def _go_on_later(self, change: Change, reason: str, delay: float = 0.0) -> None:
        """Puts a job whose worker is gone where it belongs now."""
        finishing = change.row["finishing"]
        if change.state is JobState.CANCELLING and not finishing:
            change.move(JobState.CANCELLED, reason)
        elif finishing and not change.has_checkpoint:
            self._end_without_version(change)
        elif change.state is JobState.PAUSING:
            change.move(JobState.PAUSED, reason)
        else:
            change.set(retry_time=change.time + timedelta(seconds=delay) if delay else None)
            change.move(JobState.RECOVERING, reason)

    def _end_without_version(self, change: Change) -> None:
        finishing = change.row["finishing"]
        if finishing == JobState.CANCELLED:
            what = "base" if change.row["spec"].get("derived_base") else "version"
            change.move(JobState.CANCELLED, f"there was no checkpoint yet to make a {what} of")
        else:
            why = f"{why_over(change)}, before the first checkpoint: nothing came of it"
            change.fail(FailureKind(finishing), why)

    def _finish(self, change: Change, done: types.Done) -> None:
        finishing = change.row["finishing"]
        if change.state is JobState.CANCELLING and not finishing:
            change.move(JobState.CANCELLED, "the work was done already, and is dropped")
            return
        if change.row["reproduction"]:
            self._reproduced(change, done)
            return
        try:
            name = self._add_made(change, done)
        except AlreadyExists as exc:
            why = f"{exc}, since the job began: submit it again with another name"
            self._end_in_vain(change, types.Failure(FailureKind.CONFIG, why))
            return
        version = change.row["model_version"]
        if not finishing:
            change.move(JobState.SUCCEEDED, f"made {name}", version)
        elif finishing == JobState.CANCELLED:
            change.move(JobState.CANCELLED, f"made {name} of what was learned", version)
        else:
            text = f"{why_over(change)}: {name} was made of the best checkpoint"
            change.set(failure=records.body(types.Failure(FailureKind(finishing), text)))
            change.move(JobState.FAILED, text, version)

    def _end_in_vain(self, change: Change, failure: types.Failure) -> None:
        if change.state is JobState.CANCELLING:
            change.move(JobState.CANCELLED, failure.message)
        else:
            change.fail(failure.kind, failure.message)

    def _add_made(self, change: Change, done: types.Done) -> str:
        """Registers what the job has made; returns its name."""
        if not change.row["spec"].get("derived_base"):
            version = self._add_version(change, done)
            change.set(model_version=version)
            return version
        base = self._add_base(change, done)
        change.set(derived_base=base)
        return base

    def _add_base(self, change: Change, done: types.Done) -> str:
        spec, inputs = change.row["spec"], change.row["inputs"]
        named = tables.bases.c.id == spec["base_model"].removeprefix("bases/")
        parent = records.base_of(dict(change.db.execute(select(tables.bases).where(named)).mappings().one()))
        base = replace(
            parent,
            id=spec["derived_base"].removeprefix("bases/"),
            source=types.Source("training_job", f"jobs/{change.id}"),
            digest=done.base_digest,
            tokenizer_digest=inputs["tokenizer_digest"],
            parameter_count=done.parameter_count,
            quantized_digest="",
            parent=parent.id,
            parent_digest=inputs["base_digest"],
        )
        return f"bases/{self._insert_base(change.db, base).id}"

    def _reproduced(self, change: Change, done: types.Done) -> None:
        made = change.row["reproduction"] | {"bundle_digest": done.bundle_digest} | asdict(done.compared)
        change.set(reproduction=made)
        version, finishing = made["model_version"], change.row["finishing"]
        if finishing:
            what = f"{version} was not made again to its end"
            change.move(JobState.CANCELLED, what) if finishing == JobState.CANCELLED else change.fail(
                FailureKind(finishing), f"{why_over(change)}: {what}"
            )
        elif made["same_bundle"]:
            change.move(JobState.SUCCEEDED, f"made {version} again: the same bundle, byte for byte")
        else:
            same = "the same weights in another bundle" if made["same_weights"] else "other weights"
            change.move(JobState.SUCCEEDED, f"made {version} again, with {same}")

    def _add_version(self, change: Change, done: types.Done) -> str:
        db, row = change.db, change.row
        model = row["spec"]["model"].removeprefix("models/")
        if db.execute(select(tables.models).where(tables.models.c.id == model)).first() is None:
            db.execute(insert(tables.models).values(id=model, create_time=change.time))
        c = tables.versions.c
        number = (db.execute(select(func.max(c.number)).where(c.model == model)).scalar() or 0) + 1
        values = {
            "model": model,
            "number": number,
            "bundle_digest": done.bundle_digest,
            "base_model": row["spec"]["base_model"].removeprefix("bases/"),
            # Workers of releases before did not say it: their bundles live on the job's base.
            "base_digest": done.base_digest or row["inputs"]["base_digest"],
            "tokenizer_digest": row["inputs"]["tokenizer_digest"],
            "job": change.id,
            "evaluation": row["evaluation"],
            "evaluation_digest": done.evaluation_digest,
            "create_time": change.time,
        }
        db.execute(insert(tables.versions).values(values))
        return f"models/{model}/versions/{number}"


def _why_evaluating(change: Change) -> str:
    match change.row["finishing"]:
        case "":
            pausing = change.state is JobState.PAUSING
            return "all steps are done" + (": there is nothing left to pause" if pausing else "")
        case _:
            return "the best checkpoint is judged and stored"


def why_over(change: Change) -> str:
    """Says why a job that may train no more may not."""
    row = change.row
    if row["finishing"] == FailureKind.TIMEOUT:
        return f"the deadline of {row['budget']['deadline_seconds']:g} s after its creation has passed"
    budget, used = row["budget"] or {}, change.job.training_seconds(change.time)
    by_cost = budget.get("training_seconds") is None or row["max_seconds"] < budget["training_seconds"]
    what = f"cost {budget.get('cost')}" if by_cost else f"{budget['training_seconds']:g} s of training"
    return f"the budget of {what} is used up after {used:.0f} s with a worker"
