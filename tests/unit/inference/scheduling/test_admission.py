"""Who could not be answered in time is turned away at the door, and nobody else."""

from collections.abc import Callable
from typing import Any

import pytest

from symbiont.common.errors import DeadlineExceeded, ResourceExhausted
from symbiont.inference.scheduling.admission import Admission, estimate
from symbiont.inference.scheduling.call import Call, Entry, Turn
from symbiont.inference.scheduling.pace import Pace
from symbiont.inference.scheduling.queue import FairQueue, Weights
from symbiont.inference.types import Priority

BOUND = 10_000


class Door:
    """An empty queue of a host that computes 1,000 tokens a second, at the time 100."""

    tokens_in_flight = 0
    tokens_parked = 0

    def __init__(self, clock: Any, metrics: Any) -> None:
        self.queue, self.pace = FairQueue(Weights(), 64), Pace()
        self.admission = Admission(self.queue, self.pace, self, BOUND, clock, metrics)
        for _ in range(3):
            self.pace.note(1000, 1.0, 1.0, full=True)

    def wait(self, call: Call) -> None:
        self.queue.add(Entry(call, range(len(call.rows)), 64))


@pytest.fixture
def door(clock: Any, scheduling_metrics: Any) -> Door:
    return Door(clock, scheduling_metrics)


def turn(seconds: float, tenant: str = "t", priority: Priority = Priority.INTERACTIVE) -> Turn:
    return Turn(tenant, priority, 100 + seconds)


def refused(door: Door, wanted: Turn, tokens: int = 10) -> ResourceExhausted:
    with pytest.raises(ResourceExhausted) as caught:
        door.admission.check(wanted, 1, tokens, 0.75)
    return caught.value


def test_nobody_in_the_way(door: Door) -> None:
    # More than can be done in time; it may try.
    door.admission.check(turn(0.1), 1, BOUND - 1)


async def test_who_would_wait_too_long_is_refused_with_a_time(door: Door, call: Callable[..., Call]) -> None:
    door.wait(call(*[10] * 200, expires=101.0))
    error = refused(door, turn(2.0))
    assert error.reason == "WAIT_TOO_LONG"
    # Two seconds wait, one and a half may be waited.
    assert error.retry_after_s == pytest.approx(0.5, abs=0.1)
    door.admission.check(turn(4.0), 1, 10, 0.75)


async def test_what_is_in_flight_and_what_is_expected_count(door: Door) -> None:
    door.tokens_in_flight = 1000
    assert refused(door, turn(0.5)).reason == "WAIT_TOO_LONG"
    door.admission.check(turn(4.0), 1, 10, 0.75)
    with door.admission.expecting(turn(30.0), 1, 5000):
        assert door.admission.expected == 5000
        assert refused(door, turn(4.0)).reason == "WAIT_TOO_LONG"
    door.admission.check(turn(4.0), 1, 10, 0.75)
    assert (door.admission.expected, len(door.admission._expected)) == (0, 0)


async def test_another_tenants_backlog_is_not_in_the_way(door: Door, call: Callable[..., Call]) -> None:
    door.wait(call(*[10] * 700, tenant="greedy", expires=101.0))
    door.admission.check(turn(1.0, "modest"), 1, 10, 0.75)
    assert refused(door, turn(1.0, "greedy")).reason == "WAIT_TOO_LONG"


async def test_a_short_deadline_passes_the_long_ones_of_its_tenant(door: Door, call: Callable[..., Call]) -> None:
    door.wait(call(*[10] * 500, expires=130.0))
    door.admission.check(turn(1.0), 1, 10, 0.75)


async def test_a_full_queue_leaves_room_for_others(door: Door, call: Callable[..., Call]) -> None:
    door.wait(call(*[10] * 800, tenant="greedy", expires=1000.0))
    error = refused(door, turn(900.0, "greedy"), 1000)
    assert error.reason == "QUEUE_FULL"
    door.admission.check(turn(900.0, "modest"), 1, 1000)
    door.tokens_parked = 2000
    assert refused(door, turn(900.0, "modest")).reason == "QUEUE_FULL"


def test_who_comes_too_late_is_counted(door: Door, prometheus: Any) -> None:
    with pytest.raises(DeadlineExceeded):
        door.admission.check(turn(0.0), 3, 10)
    assert prometheus.get_sample_value("symbiont_inference_expired_rows_total", {"stage": "admission"}) == 3


@pytest.mark.parametrize(
    ("texts", "most", "tokens"),
    [([], 0, 0), (["four letters"], 0, 5), (["x" * 4000], 64, 64), (["x" * 4000], 0, 1002), (["中文"], 0, 3)],
)
def test_tokens_are_estimated_by_bytes(texts: list[str], most: int, tokens: int) -> None:
    assert estimate(texts, most) == tokens
