"""How long a follower looks for a service that went away."""

from typing import Any

import grpc
import pytest

from support.clock import Clock
from symbiont.api.training.v1.training_job_pb2 import JOB_STATE_RUNNING, ReadTrainingLogRequest, ReadTrainingLogResponse
from symbiont.client.errors import NotFoundError, RequestError, UnavailableError
from symbiont.client.retry import Retry
from symbiont.client.watching import UP_S, LogReading, Watch

AWAY = UnavailableError(grpc.StatusCode.UNAVAILABLE, "away")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Watch:
    return Watch("j1", 0, Retry(10, clock), clock)


def test_a_stream_that_was_up_for_a_while_had_a_service(clock: Clock, watch: Watch) -> None:
    for _ in range(3):
        watch.request()
        clock.now += UP_S
        watch.pause_after(AWAY)


def test_streams_that_fail_at_once_use_the_patience_up(clock: Clock, watch: Watch) -> None:
    for seconds in (0, 9):
        watch.request()
        clock.now += seconds
        watch.pause_after(AWAY)
    watch.request()
    clock.now += 9
    with pytest.raises(UnavailableError):
        watch.pause_after(AWAY)


def test_a_job_that_is_answered_for_has_a_service(clock: Clock, watch: Watch) -> None:
    for _ in range(30):
        watch.request()
        watch.note_state(JOB_STATE_RUNNING)
        clock.now += watch.pause_after(None)
    assert not watch.ended


@pytest.mark.parametrize("follow", [Watch, LogReading])
def test_a_final_error_is_raised(clock: Clock, follow: Any) -> None:
    retry = Retry(10, clock)
    following = Watch("j1", 0, retry) if follow is Watch else LogReading(ReadTrainingLogRequest(name="jobs/j1"), retry)
    with pytest.raises(NotFoundError):
        following.pause_after(NotFoundError(grpc.StatusCode.NOT_FOUND, "none"))
    assert following.pause_after(RequestError(grpc.StatusCode.CANCELLED, "stops")) > 0


def test_a_log_is_read_on_from_where_it_broke(clock: Clock) -> None:
    asked = ReadTrainingLogRequest(name="jobs/j1", tail_bytes=9, follow=True)
    reading = LogReading(asked, Retry(10, clock), clock)
    assert reading.request() == asked
    assert reading.chunk_of(ReadTrainingLogResponse(attempt=2, offset=100, chunk=b"step 3")) == b"step 3"
    assert reading.request() == ReadTrainingLogRequest(name="jobs/j1", attempt=2, offset=106, follow=True)
