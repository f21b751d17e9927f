"""Follows the events of a job over broken streams: what to ask next, and when it is over."""

import grpc

from symbiont.api.training.v1.training_job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_SUCCEEDED,
    JobState,
    TrainingEvent,
    WatchTrainingJobRequest,
)
from symbiont.client.errors import UnavailableError, error_of
from symbiont.client.names import full_name
from symbiont.client.retry import Retry

END_STATES = frozenset({JOB_STATE_SUCCEEDED, JOB_STATE_CANCELLED, JOB_STATE_FAILED})
# A stopping service cancels its streams; a killed one drops them.
_INTERRUPTED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class Watch:
    """Position of one watcher in the events of a job; the sync and the asyncio client drive it the same way."""

    def __init__(self, job: str, after_event_id: int, retry: Retry) -> None:
        self.job = full_name("jobs", job)
        self.ended = False
        self._last = after_event_id
        self._retry = retry

    def request(self) -> WatchTrainingJobRequest:
        """Returns the request for everything that was not seen yet."""
        return WatchTrainingJobRequest(name=self.job, after_event_id=self._last)

    def is_new(self, event: TrainingEvent) -> bool:
        """Takes note of an event; returns False for one seen before."""
        self._retry.reset()
        if event.event_id <= self._last:
            return False
        self._last = event.event_id
        self.ended = event.WhichOneof("event") == "state_change" and has_ended(event.state_change.new_state)
        return True

    def pause_after(self, error: grpc.RpcError | None) -> float:
        """Returns the seconds after which to ask again, once a stream has ended without the job having ended.

        Raises:
            RequestError: the stream's error is final, or the service stayed away for too long.
        """
        if error is not None and error.code() not in _INTERRUPTED:
            raise error_of(error) from None
        delay = self._retry.delay()
        if delay is None:
            raise error_of(error) if error else UnavailableError(grpc.StatusCode.UNAVAILABLE, "the stream keeps ending")
        return delay


def has_ended(state: JobState.ValueType) -> bool:
    """Whether a job in this state does nothing more."""
    return state in END_STATES
