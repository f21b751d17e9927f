"""Which state of a job may follow which: the one table."""

from symbiont.common.errors import FailedPrecondition
from symbiont.training.types import JobState as S

TRANSITIONS: dict[S, frozenset[S]] = {
    S.QUEUED: frozenset({S.STARTING, S.CANCELLED, S.FAILED}),
    S.STARTING: frozenset({S.RUNNING, S.RECOVERING, S.CANCELLING, S.FAILED}),
    S.RUNNING: frozenset({S.EVALUATING, S.RECOVERING, S.CANCELLING, S.FAILED}),
    S.RECOVERING: frozenset({S.STARTING, S.CANCELLED, S.FAILED}),
    S.EVALUATING: frozenset({S.SUCCEEDED, S.RECOVERING, S.CANCELLING, S.FAILED}),
    # A worker may have finished before it heard of the cancellation: the caller still asked for nothing to come of it.
    S.CANCELLING: frozenset({S.CANCELLED}),
    S.SUCCEEDED: frozenset(),
    S.CANCELLED: frozenset(),
    S.FAILED: frozenset(),
}

# States in which a worker process exists, or is about to.
ACTIVE = (S.STARTING, S.RUNNING, S.EVALUATING, S.CANCELLING)
WAITING = (S.QUEUED, S.RECOVERING)


def check_transition(job: str, old: S, new: S) -> None:
    """Raises FailedPrecondition when `new` may not follow `old`."""
    if new not in TRANSITIONS[old]:
        raise FailedPrecondition(f"jobs/{job} is {old}: it cannot become {new}", reason="JOB_STATE")
