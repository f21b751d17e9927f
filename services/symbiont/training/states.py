"""Which state of a job may follow which: the one table."""

from symbiont.common.errors import FailedPrecondition
from symbiont.training.types import JobState as S

TRANSITIONS: dict[S, frozenset[S]] = {
    S.VALIDATING: frozenset({S.QUEUED, S.PAUSED, S.CANCELLED, S.FAILED}),
    # A job goes back to QUEUED when a caller wants its work kept and no worker has it.
    S.QUEUED: frozenset({S.STARTING, S.PAUSED, S.CANCELLED, S.FAILED}),
    S.STARTING: frozenset({S.RUNNING, S.RECOVERING, S.PAUSING, S.CANCELLING, S.FAILED}),
    S.RUNNING: frozenset({S.EVALUATING, S.RECOVERING, S.PAUSING, S.CANCELLING, S.FAILED}),
    S.RECOVERING: frozenset({S.STARTING, S.PAUSED, S.QUEUED, S.CANCELLED, S.FAILED}),
    # A worker that was past its last step when it was asked to stop goes on to the end: there is nothing to pause.
    S.PAUSING: frozenset({S.PAUSED, S.EVALUATING, S.CANCELLING, S.FAILED}),
    S.PAUSED: frozenset({S.QUEUED, S.CANCELLED, S.FAILED}),
    S.EVALUATING: frozenset({S.SUCCEEDED, S.RECOVERING, S.PAUSING, S.CANCELLING, S.CANCELLED, S.FAILED}),
    # A worker may have finished before it heard of the cancellation: the caller still asked for nothing to come of it.
    # RECOVERING: its work is to be kept, and its worker was lost before it could.
    S.CANCELLING: frozenset({S.CANCELLED, S.RECOVERING}),
    S.SUCCEEDED: frozenset(),
    S.CANCELLED: frozenset(),
    S.FAILED: frozenset(),
}

# States in which a worker process exists, or is about to.
ACTIVE = (S.STARTING, S.RUNNING, S.EVALUATING, S.PAUSING, S.CANCELLING)
WAITING = (S.QUEUED, S.RECOVERING)
# States in which the worker trains no more: neither a budget nor a deadline changes what becomes of the job.
ENDING = (S.EVALUATING, S.CANCELLING)


def check_transition(job: str, old: S, new: S) -> None:
    """Raises FailedPrecondition when `new` may not follow `old`."""
    if new not in TRANSITIONS[old]:
        raise FailedPrecondition(f"jobs/{job} is {old}: it cannot become {new}", reason="JOB_STATE")
