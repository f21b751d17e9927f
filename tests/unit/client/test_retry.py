"""Delays grow, stay bounded, and end."""

import itertools
from typing import Any

import grpc
import pytest

from support.clock import Clock
from symbiont.client.retry import LONGEST_DELAY_S, Retry


def test_delays_double_and_end_with_the_patience() -> None:
    clock = Clock()
    retry = Retry(20, clock)
    delays = []
    while (delay := retry.delay()) is not None:
        delays.append(delay)
        clock.now += delay
    assert 0.05 <= delays[0] <= 0.1
    assert delays[-1] <= LONGEST_DELAY_S
    assert all(later > earlier * 0.45 for earlier, later in itertools.pairwise(delays))
    assert sum(delays) < 20 <= sum(delays) + LONGEST_DELAY_S


def test_patience_begins_with_the_first_failure() -> None:
    clock = Clock()
    retry = Retry(1, clock)
    clock.now += 60
    assert retry.delay() is not None
    clock.now += 2
    assert retry.delay() is None


def test_an_answer_starts_over() -> None:
    clock = Clock()
    retry = Retry(1, clock)
    retry.delay()
    clock.now += 2
    assert retry.delay() is None
    retry.reset()
    assert retry.delay() is not None


def test_a_peer_that_answers_beside_the_matter_is_not_pressed() -> None:
    retry = Retry(60, Clock())
    delays = []
    for _ in range(8):
        delay = retry.delay()
        assert delay is not None
        delays.append(delay)
        retry.answered()
    assert delays[-1] >= LONGEST_DELAY_S / 2


class Failed(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, pushback: str | None = None) -> None:
        self._code, self._pushback = code, pushback

    def code(self) -> grpc.StatusCode:
        return self._code

    def trailing_metadata(self) -> Any:
        return (("grpc-retry-pushback-ms", self._pushback),) if self._pushback else None


@pytest.mark.parametrize(
    ("code", "pushback", "least"),
    [
        (grpc.StatusCode.UNAVAILABLE, None, 0.05),
        (grpc.StatusCode.CANCELLED, None, 0.05),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "700", 0.7),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "1", 0.05),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "20000", None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "-1", None),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, None, None),
        (grpc.StatusCode.NOT_FOUND, "700", None),
    ],
)
def test_what_is_sent_again_and_when(code: grpc.StatusCode, pushback: str | None, least: float | None) -> None:
    delay = Retry(10, Clock()).delay_after(Failed(code, pushback))
    assert (delay is None) == (least is None)
    assert delay is None or least is None or least <= delay <= 1.5 * max(least, 0.1)
