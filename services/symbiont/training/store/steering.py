"""What callers, budgets and deadlines ask of a job."""

from symbiont.common.errors import FailedPrecondition
from symbiont.training import types
from symbiont.training.states import ACTIVE, ENDING
from symbiont.training.store.change import Change
from symbiont.training.store.reports import Reports, why_over
from symbiont.training.types import FailureKind, JobState

_NO_WORKER = (JobState.VALIDATING, JobState.QUEUED, JobState.RECOVERING, JobState.PAUSED)


class Steering(Reports):
    """Pauses, resumes, cancels and finishes jobs, and lets those go that are whole."""

    def validated(self, identifier: str, failure: types.Failure | None) -> types.Job:
        """Queues a job that was checked, or ends it."""
        with self._change(identifier) as change:
            if change.state is JobState.VALIDATING:
                if failure:
                    change.fail(failure.kind, failure.message)
                else:
                    change.move(JobState.QUEUED, "what it works on is there and whole")
            return change.job

    def reject(self, identifier: str, failure: types.Failure) -> types.Job:
        """Ends a waiting job that cannot be started any more."""
        with self._change(identifier) as change:
            if change.state in _NO_WORKER:
                change.fail(failure.kind, failure.message)
            return change.job

    def pause(self, identifier: str, reason: str) -> types.Job:
        """Pauses a job: at once when no worker has it, else PAUSING.

        Raises:
            FailedPrecondition: it has ended, is being cancelled, or has done its last step.
        """
        with self._change(identifier) as change:
            self._check_open(change)
            state = change.state
            if change.row["finishing"]:
                raise FailedPrecondition(
                    f"jobs/{identifier} is being finished: it trains no more", reason="JOB_FINISHING"
                )
            if state in ENDING:
                raise FailedPrecondition(f"jobs/{identifier} is {state}: it ends soon", reason="JOB_STATE")
            if state not in (JobState.PAUSING, JobState.PAUSED):
                change.move(JobState.PAUSING if state in ACTIVE else JobState.PAUSED, reason)
            return change.job

    def resume(self, identifier: str, reason: str) -> types.Job:
        """Queues a paused job again.

        Raises:
            FailedPrecondition: it is not paused.
        """
        with self._change(identifier) as change:
            if change.state is not JobState.PAUSED:
                hint = ": wait until it is PAUSED" if change.state is JobState.PAUSING else ""
                raise FailedPrecondition(f"jobs/{identifier} is {change.state}, not PAUSED{hint}", reason="JOB_STATE")
            change.set(lost_in_a_row=0, retry_time=None)
            change.move(JobState.QUEUED, reason)
            return change.job

    def cancel(self, identifier: str, reason: str, *, keep: bool = False) -> types.Job:
        """Cancels a job: CANCELLED when no worker has it, else CANCELLING.

        With `keep` its best checkpoint is first made a version; where no worker has it, it is queued for that.

        Raises:
            FailedPrecondition: it has ended.
        """
        with self._change(identifier) as change:
            self._check_open(change)
            if not keep:
                change.set(finishing="")
            elif change.state is not JobState.CANCELLING:
                change.set(finishing=JobState.CANCELLED.value)
            if change.state in ACTIVE:
                if change.state is not JobState.CANCELLING:
                    change.move(JobState.CANCELLING, f"{reason}, keeping its work" if keep else reason)
            elif keep and change.has_checkpoint:
                self._queue_to_finish(change, f"{reason}; what was learned waits for a worker to make a version of it")
            else:
                change.move(JobState.CANCELLED, f"{reason}; there was no checkpoint to keep" if keep else reason)
            return change.job

    def use_up(self, identifier: str, kind: FailureKind) -> types.Job:
        """Ends the training of a job whose budget is used up (BUDGET) or whose deadline has passed (TIMEOUT)."""
        with self._change(identifier) as change:
            state = change.state
            if change.row["finishing"] or state.ended or state in ENDING:
                return change.job
            change.set(finishing=kind.value)
            if state is JobState.PAUSING:
                # The checkpoint that it is about to make is judged by the next worker.
                return change.job
            if state in ACTIVE:
                change.record(types.Warning("BUDGET_USED_UP", f"{why_over(change)}: the worker is told to finish"))
            elif change.has_checkpoint:
                self._queue_to_finish(change, why_over(change))
            else:
                self._end_without_version(change)
            return change.job

    def _queue_to_finish(self, change: Change, reason: str) -> None:
        change.set(retry_time=None)
        if change.state is JobState.QUEUED:
            change.record(types.LogLine(reason))
        else:
            change.move(JobState.QUEUED, reason)

    def _check_open(self, change: Change) -> None:
        if change.state.ended:
            raise FailedPrecondition(f"jobs/{change.id} has ended: {change.state}", reason="JOB_ENDED")
