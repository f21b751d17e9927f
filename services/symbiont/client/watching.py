"""Follows the events of a job, or its log, over broken streams: what to ask next, and when it is over."""

import time
from collections.abc import Callable

import grpc

from symbiont.api.training.v1.training_job_pb2 import (
    JOB_STATE_CANCELLED,
    JOB_STATE_FAILED,
    JOB_STATE_SUCCEEDED,
    JobState,
    ReadTrainingLogRequest,
    ReadTrainingLogResponse,
    TrainingEvent,
    WatchTrainingJobRequest,
)
from symbiont.client.errors import RequestError, UnavailableError
from symbiont.client.names import full_name
from symbiont.client.retry import Retry

END_STATES = frozenset({JOB_STATE_SUCCEEDED, JOB_STATE_CANCELLED, JOB_STATE_FAILED})
# A stopping service cancels its streams; a killed one drops them.
_INTERRUPTED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
# A stream that lasted this long had a service at its other end: keepalive ends one without sooner.
UP_S = 30.0


class _Following:
    """What is taken up again; the sync and the asyncio client drive it the same way."""

    def __init__(self, retry: Retry, clock: Callable[[], float] = time.monotonic) -> None:
        self._retry = retry
        self._clock = clock
        self._begun = clock()

    def pause_after(self, error: RequestError | None) -> float:
        """Returns the seconds after which to ask again, once a stream has ended before its time.

        Raises:
            RequestError: the stream's error is final, or the service stayed away for too long.
        """
        if error is not None and error.code not in _INTERRUPTED:
            raise error
        if self._clock() - self._begun >= UP_S:
            self._retry.reset()
        delay = self._retry.delay()
        if delay is None:
            raise error or UnavailableError(grpc.StatusCode.UNAVAILABLE, "the stream keeps ending")
        return delay


class Watch(_Following):
    """Position of one watcher in the events of a job."""

    def __init__(
        self, job: str, after_event_id: int, retry: Retry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(retry, clock)
        self.job = full_name("jobs", job)
        self.ended = False
        self._last = after_event_id

    def request(self) -> WatchTrainingJobRequest:
        """Returns the request for everything that was not seen yet."""
        self._begun = self._clock()
        return WatchTrainingJobRequest(name=self.job, after_event_id=self._last)

    def is_new(self, event: TrainingEvent) -> bool:
        """Takes note of an event; returns False for one seen before."""
        self._retry.reset()
        if event.event_id <= self._last:
            return False
        self._last = event.event_id
        self.ended = event.WhichOneof("event") == "state_change" and has_ended(event.state_change.new_state)
        return True

    def note_state(self, state: JobState.ValueType) -> None:
        """Takes note of what the job itself says, after a stream that ended."""
        self._retry.answered()
        self.ended = has_ended(state)


class LogReading(_Following):
    """Position of one reader in the log of an attempt."""

    def __init__(
        self, request: ReadTrainingLogRequest, retry: Retry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(retry, clock)
        self._request = request

    def request(self) -> ReadTrainingLogRequest:
        """Returns the request for everything that was not read yet."""
        self._begun = self._clock()
        return self._request

    def chunk_of(self, message: ReadTrainingLogResponse) -> bytes:
        """Returns the bytes of a message, and takes note of where they end."""
        self._retry.reset()
        self._request = ReadTrainingLogRequest(
            name=self._request.name,
            attempt=message.attempt,
            offset=message.offset + len(message.chunk),
            follow=self._request.follow,
        )
        return message.chunk


def has_ended(state: JobState.ValueType) -> bool:
    """Whether a job in this state does nothing more."""
    return state in END_STATES
