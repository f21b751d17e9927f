"""Rows of many calls go to a host in few requests, and every caller gets its own back."""

import asyncio
import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from symbiont.common.errors import (
    DeadlineExceeded,
    IntegrityError,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine.row import HostAnswer, Times
from symbiont.inference.metrics import SchedulingMetrics
from symbiont.inference.scheduling.lane import LaneLimits
from symbiont.inference.scheduling.pace import Sizes
from symbiont.inference.scheduling.scheduler import Scheduler
from symbiont.inference.types import Priority

BASE = "a" * 64
LIMITS = LaneLimits(
    in_flight=2, batch_rows=8, sizes=Sizes(least=200, first=200, most=200), quantum=64, bundles=4, loads=1
)


class Bench:
    """A scheduler before a host that answers by hand."""

    def __init__(self, host: Any, metrics: Any, prometheus: CollectorRegistry, rows: Any, settle: Any, clock: Any):
        self.host, self.rows, self.settle, self.clock = host, rows, settle, clock
        self.prometheus = prometheus
        self.scheduler = Scheduler(host, LIMITS, metrics, clock)

    async def ask(self, *lengths: int, bundle: str = "", timeout_s: float = 60.0, **turn: Any) -> asyncio.Task[Any]:
        """Sends a call; its answers are the lengths of its rows."""
        call = self.scheduler.infer_rows(
            BASE, self.rows(*lengths, bundle=bundle), timeout_s=timeout_s, request_id=f"r{lengths[0]}", **turn
        )
        task = asyncio.create_task(call)
        await self.settle()
        return task

    async def answer(self, index: int = -1, **times: float) -> None:
        self.host.sent[index].answer(**times)
        await self.settle()

    @property
    def lane(self) -> Any:
        return self.scheduler.lanes[0]

    def counted(self, name: str, **labels: str) -> float | None:
        return self.prometheus.get_sample_value(f"symbiont_inference_{name}", labels)

    def is_empty(self) -> bool:
        lane = self.lane
        waiting = lane.queue.tokens, lane.queue.rows, lane.queue.tenants, lane.queue.remembered
        return waiting == (0,) * 4 and (lane.parking.rows, lane.calls, lane.in_flight) == (0, 0, 0)


@pytest.fixture
def bench(
    host: Any, scheduling_metrics: Any, prometheus: Any, rows: Any, settle: Callable[[], Any], clock: Any
) -> Bench:
    return Bench(host, scheduling_metrics, prometheus, rows, settle, clock)


def values(task: asyncio.Task[HostAnswer]) -> list[float]:
    return [float(row[0]) for row in task.result().rows]  # type: ignore[index]


async def test_one_call_goes_at_once(bench: Bench) -> None:
    task = await bench.ask(3, 5)
    (sent,) = bench.host.sent
    assert (sent.lengths, sent.request_id) == ([3, 5], "r3")
    assert sent.timeout_s == pytest.approx(60)
    bench.clock.now += 0.25
    await bench.answer(queued=0.5, computed=0.125)
    assert values(task) == [3, 5]
    assert task.result().times == Times(0.5, 0.125)
    assert bench.is_empty()


async def test_the_time_of_a_request_is_told_in_parts(bench: Bench) -> None:
    await bench.ask(50, 50, tenant="known")
    bench.clock.now += 1
    await bench.answer(queued=0.5, computed=0.125)
    parts = {part: bench.counted("request_seconds_sum", part=part) for part in ("queue", "compute", "way")}
    assert parts == {"queue": 0.5, "compute": 0.125, "way": 0.375}
    # Two of eight rows, a hundred of two hundred tokens.
    assert bench.counted("request_fill_ratio_sum") == 0.5
    assert bench.counted("tenant_rows_total", tenant="known") == 2


async def test_a_host_that_has_nothing_to_do_hides_none_that_is_full(bench: Bench) -> None:
    calls = [bench.scheduler.infer_rows("b" * 64, bench.rows(1), timeout_s=60.0, request_id="")]
    calls += [bench.scheduler.infer_rows(BASE, bench.rows(100), timeout_s=60.0, request_id="") for _ in range(9)]
    tasks = [asyncio.create_task(call) for call in calls]
    await bench.settle()
    idle, full = bench.scheduler.lanes
    assert (idle.queue.tokens, full.queue.tokens, bench.counted("queue_wait_seconds")) == (0, 700, 0)
    for lane, tokens in ((full, 100), (idle, 10_000)):
        for _ in range(3):
            lane.pace.note(tokens, 1.0, 1.0, full=True)
    assert bench.counted("queue_wait_seconds") == pytest.approx(7)
    for task in tasks:
        task.cancel()
    await bench.settle()
    assert bench.counted("queue_wait_seconds") == 0


async def test_no_rows_are_no_request(bench: Bench) -> None:
    assert (await bench.scheduler.infer_rows(BASE, [], timeout_s=1, request_id="")).rows == []
    assert bench.host.sent == []


async def test_calls_that_wait_share_a_request(bench: Bench) -> None:
    first, second = await bench.ask(1), await bench.ask(2)
    waiting = [await bench.ask(10 + i, 20 + i) for i in range(6)]
    assert [sent.lengths for sent in bench.host.sent] == [[1], [2]]
    assert bench.counted("queue_rows", priority="interactive") == 12
    assert bench.counted("requests_in_flight") == 2
    bench.clock.now += 1
    await bench.answer(0)
    # Eight rows, or two hundred tokens.
    assert bench.host.sent[2].lengths == [10, 20, 11, 21, 12, 22, 13, 23]
    assert bench.host.sent[2].request_id == "r10+3"
    await bench.answer(1)
    await bench.answer(2, queued=0.5)
    await bench.answer(3)
    assert values(first) + values(second) == [1, 2]
    assert [values(task) for task in waiting] == [[10 + i, 20 + i] for i in range(6)]
    # Its own second in the queue here and half a second there.
    assert waiting[0].result().times.queued == pytest.approx(1.5)
    assert bench.counted("request_rows_count") == 4
    assert bench.counted("request_tokens_sum") == 1 + 2 + sum(30 + 2 * i for i in range(6))
    assert bench.is_empty()


async def test_calls_of_the_same_moment_go_together(bench: Bench) -> None:
    calls = [bench.scheduler.infer_rows(BASE, bench.rows(n), timeout_s=1, request_id="") for n in (1, 2, 3)]
    tasks = [asyncio.create_task(call) for call in calls]
    await bench.settle()
    assert [sent.lengths for sent in bench.host.sent] == [[1, 2, 3]]
    await bench.answer()
    assert [values(task) for task in tasks] == [[1], [2], [3]]


async def test_a_call_that_waits_in_two_places_expires_once_and_harms_nobody(bench: Bench) -> None:
    """As a shadow has it: rows of a bundle that is in memory, and of one that is being loaded."""
    await bench.ask(20, bundle="a")
    await bench.answer()
    await bench.ask(20, bundle="b")
    loading = len(bench.host.sent) - 1
    busy = [await bench.ask(20, bundle="a") for _ in range(2)]
    rows = [*bench.rows(20, bundle="a"), *bench.rows(21, bundle="b")]
    both = asyncio.create_task(bench.scheduler.infer_rows(BASE, rows, timeout_s=20, request_id="both"))
    await bench.settle()
    other = await bench.ask(30, 31, bundle="a", tenant="other")
    await bench.answer(loading)
    assert (bench.lane.queue.rows, bench.lane.parking.rows) == (4, 0)
    bench.clock.now += 21
    for sent in range(loading + 1, loading + 3):
        await bench.answer(sent)
    assert [sent.lengths for sent in bench.host.sent[loading + 3 :]] == [[30, 31]]
    await bench.answer()
    assert values(other) == [30, 31]
    with pytest.raises(DeadlineExceeded):
        await both
    assert [values(task) for task in busy] == [[20]] * 2
    assert bench.counted("expired_rows_total", stage="queue") == 2
    assert bench.is_empty()


async def test_a_large_call_goes_in_parts_between_others(bench: Bench) -> None:
    large = await bench.ask(*[16] * 20, tenant="large")
    assert [len(sent.rows) for sent in bench.host.sent] == [8, 8]
    small = await bench.ask(5, tenant="small")
    await bench.answer(0)
    assert sorted(bench.host.sent[2].lengths) == [5, 16, 16, 16, 16]
    await bench.answer(2)
    assert values(small) == [5]
    await bench.answer(1)
    assert values(large) == [16] * 20
    assert bench.is_empty()


@pytest.fixture
def small_queue(bench: Bench) -> Bench:
    """Calls wait in parts of 50 tokens."""
    bench.scheduler._limits = replace(LIMITS, queued_tokens=400)
    return bench


async def test_a_call_of_more_than_the_queue_takes_keeps_nobody_out(small_queue: Bench) -> None:
    bench, lengths = small_queue, [16, 20, 60, *[17] * 40]
    large = await bench.ask(*lengths, tenant="large")
    others, answered = [], 0
    while not large.done():
        # Who asks is let in whenever it comes, which raises where it is not.
        others.append(await bench.ask(5, tenant="other"))
        assert bench.lane.queue.tokens <= 50 + 5 * len(others)
        for sent in bench.host.sent[answered:]:
            sent.answer()
            answered += 1
        await bench.settle()
    assert values(large) == lengths
    while not all(other.done() for other in others):
        bench.host.sent[answered].answer()
        answered += 1
        await bench.settle()
    assert [values(other) for other in others] == [[5]] * len(others)
    assert len(others) > 10
    assert bench.is_empty()


async def test_what_of_a_call_was_to_come_later_expires_with_what_waits(small_queue: Bench) -> None:
    bench = small_queue
    for length in (1, 2):
        await bench.ask(length)
    large = await bench.ask(*[25] * 10, timeout_s=5)
    bench.clock.now += 10
    await bench.answer(0)
    with pytest.raises(DeadlineExceeded):
        await large
    assert bench.counted("expired_rows_total", stage="queue") == 10


async def test_a_flood_leaves_a_place_to_whoever_comes_by(bench: Bench) -> None:
    limits = replace(LIMITS, shared=Sizes(least=16, first=16, most=16))
    bench.scheduler = Scheduler(bench.host, limits, SchedulingMetrics(CollectorRegistry()), bench.clock)
    flood = await bench.ask(*[16] * 40, tenant="flood")
    # Alone, it gets what fits.
    assert [len(sent.rows) for sent in bench.host.sent] == [8, 8]
    neighbour = await bench.ask(5, tenant="neighbour")
    await bench.answer(0)
    # Rows of the neighbour go alone, before the flood's.
    assert (bench.host.sent[2].lengths, bench.host.sent[2].spare) == ([5], 0)
    await bench.answer(2)
    assert values(neighbour) == [5]
    # One request of the flood is in flight, and it gets no second one: the neighbour may come again, and finds a place.
    assert len(bench.host.sent) == 3
    again = await bench.ask(7, tenant="neighbour")
    assert bench.host.sent[3].lengths == [7]
    await bench.answer(1)
    # A small one, which leaves a lane.
    assert (bench.host.sent[4].lengths, bench.host.sent[4].spare) == ([16], 1)
    await bench.answer(3)
    assert values(again) == [7]
    bench.clock.now += 6
    await bench.answer(4)
    assert [len(sent.rows) for sent in bench.host.sent[5:]] == [8, 8]
    for index in range(5, 8):
        await bench.answer(index)
    assert values(flood) == [16] * 40


async def test_nothing_is_left_to_others_where_no_lane_is_to_spare(bench: Bench) -> None:
    limits = replace(LIMITS, shared=Sizes(least=16, first=16, most=16), spare_lanes=0)
    bench.scheduler = Scheduler(bench.host, limits, SchedulingMetrics(CollectorRegistry()), bench.clock)
    await bench.ask(*[16] * 40, tenant="flood")
    await bench.ask(5, tenant="neighbour")
    await bench.answer(0)
    assert sorted(bench.host.sent[2].lengths) == [5, *[16] * 7]
    assert {sent.spare for sent in bench.host.sent} == {0}


async def test_models_of_callers_without_a_tenant_leave_each_other_nothing(bench: Bench) -> None:
    limits = replace(LIMITS, shared=Sizes(least=16, first=16, most=16))
    bench.scheduler = Scheduler(bench.host, limits, SchedulingMetrics(CollectorRegistry()), bench.clock)
    await bench.ask(*[16] * 40, tenant="mood", is_named=False)
    await bench.ask(5, tenant="intent", is_named=False)
    await bench.answer(0)
    assert sorted(bench.host.sent[2].lengths) == [5, *[16] * 7]


async def test_what_goes_aside_says_nothing_of_how_fast_a_host_is(bench: Bench) -> None:
    limits = replace(LIMITS, shared=Sizes(least=16, first=16, most=16))
    bench.scheduler = Scheduler(bench.host, limits, SchedulingMetrics(CollectorRegistry()), bench.clock)
    await bench.ask(*[16] * 400, tenant="flood")
    await bench.ask(1, tenant="neighbour")
    for _ in range(200):
        sent = next(index for index, one in enumerate(bench.host.sent) if not one.reply.done())
        bench.clock.now += 0.0 if set(bench.host.sent[sent].lengths) == {1} else 0.1
        await bench.answer(sent)
        await bench.ask(1, tenant="neighbour")
    # Sixteen tokens in a tenth of a second, however fast the neighbour's are.
    (lane,) = bench.scheduler.lanes
    assert lane.pace.tokens_per_s == pytest.approx(160, rel=0.3)


async def test_where_many_wait_requests_are_as_large_as_ever(bench: Bench) -> None:
    limits = replace(LIMITS, shared=Sizes(least=16, first=16, most=16))
    bench.scheduler = Scheduler(bench.host, limits, SchedulingMetrics(CollectorRegistry()), bench.clock)
    first = [await bench.ask(16, tenant=f"t{n}") for n in range(2)]
    waiting = [await bench.ask(16, 16, tenant=f"t{n}") for n in range(4)]
    await bench.answer(0)
    assert len(bench.host.sent[2].rows) == 8
    await bench.answer(1)
    await bench.answer(2)
    assert all(task.done() for task in (*first, *waiting))


async def test_the_more_urgent_goes_first(bench: Bench) -> None:
    for length in (1, 2):
        await bench.ask(length)
    for length in range(10, 20):
        await bench.ask(length, priority=Priority.BATCH)
    await bench.ask(50, priority=Priority.INTERACTIVE)
    await bench.answer(0)
    assert bench.host.sent[2].lengths[0] == 50
    assert bench.counted("wait_seconds_count", priority="interactive") == 3


async def test_every_row_has_its_own_error(bench: Bench) -> None:
    task, other = await bench.ask(1, 2), await bench.ask(3)
    good = np.array([7], np.float32)
    expired = DeadlineExceeded("too late")
    bench.host.sent[0].reply.set_result(HostAnswer([IntegrityError("damaged"), expired], Times()))
    bench.host.sent[1].reply.set_result(HostAnswer([good], Times()))
    await bench.settle()
    assert [type(row) for row in task.result().rows] == [IntegrityError, DeadlineExceeded]
    assert values(other) == [7]
    assert bench.counted("expired_rows_total", stage="host") == 1


@pytest.mark.parametrize("error", [Unavailable("away"), ResourceExhausted("full"), SymbiontError("broken")])
async def test_a_request_that_fails_fails_its_calls_alone(bench: Bench, error: SymbiontError) -> None:
    tasks = [await bench.ask(1), await bench.ask(2), await bench.ask(3)]
    bench.host.sent[0].fail(error)
    await bench.settle()
    assert tasks[0].exception() is error
    await bench.answer(1)
    await bench.answer(2)
    assert [values(task) for task in tasks[1:]] == [[2], [3]]
    assert bench.is_empty()


async def test_a_large_call_that_fails_sends_no_more(bench: Bench) -> None:
    task = await bench.ask(*[16] * 40)
    bench.host.sent[0].fail(Unavailable("away"))
    await bench.settle()
    assert isinstance(task.exception(), Unavailable)
    await bench.answer(1)
    assert len(bench.host.sent) == 2
    assert bench.is_empty()


async def test_parked_rows_of_a_call_that_failed_keep_no_bundle_from_being_loaded(bench: Bench) -> None:
    plain, cold = await bench.ask(1), await bench.ask(*[16] * 20, bundle="new")
    # At one moment, as when a server dies: the lane goes on before the callers hear of it.
    for sent in bench.host.sent:
        sent.fail(Unavailable("away"))
    await bench.settle()
    assert isinstance(plain.exception(), Unavailable)
    assert isinstance(cold.exception(), Unavailable)
    again = await bench.ask(5, bundle="new")
    await bench.answer()
    assert values(again) == [5]
    assert bench.is_empty()


async def test_rows_of_a_bundle_that_must_be_loaded_hold_up_nobody(bench: Bench) -> None:
    cold = await bench.ask(5, bundle="new")
    more = await bench.ask(6, bundle="new")
    other = await bench.ask(7, bundle="newer")
    plain = [await bench.ask(1), await bench.ask(2)]
    # One load at a time; two other requests beside it.
    assert [sent.lengths for sent in bench.host.sent] == [[5], [1], [2]]
    assert bench.counted("parked_rows") == 2
    await bench.answer(1)
    await bench.answer(2)
    assert [values(task) for task in plain] == [[1], [2]]
    await bench.answer(0)
    # What waited for it goes as any other row; the next one is loaded.
    assert sorted(sent.lengths for sent in bench.host.sent[3:]) == [[6], [7]]
    await bench.answer(3)
    await bench.answer(4)
    assert values(cold) + values(more) + values(other) == [5, 6, 7]
    mixed = await bench.ask(8, bundle="new")
    assert bench.host.sent[-1].lengths == [8]
    await bench.answer()
    assert values(mixed) == [8]
    assert bench.is_empty()


async def test_a_bundle_that_cannot_be_loaded_is_tried_by_each(bench: Bench) -> None:
    tasks = [await bench.ask(5, bundle="bad"), await bench.ask(6, bundle="bad")]
    for index in (0, 1):
        bench.host.sent[index].reply.set_result(HostAnswer([IntegrityError("bad")], Times()))
        await bench.settle()
    assert [type(task.result().rows[0]) for task in tasks] == [IntegrityError] * 2
    assert bench.is_empty()


async def test_ten_thousand_callers_go_and_leave_nothing(bench: Bench) -> None:
    busy = [await bench.ask(1), await bench.ask(2)]
    tasks = []
    for number in range(10_000):
        call = bench.scheduler.infer_rows(
            BASE,
            bench.rows(3, bundle="cold" if number % 4 == 0 else ""),
            timeout_s=9,
            request_id="",
            tenant=str(number),
        )
        tasks.append(asyncio.create_task(call))
    await bench.settle()
    # One request of the cold bundle is on its way.
    assert len(bench.host.sent) == 3
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for index in range(3):
        await bench.answer(index)
    assert [values(task) for task in busy] == [[1], [2]]
    assert len(bench.host.sent) == 3
    assert bench.counted("cancelled_rows_total") == 10_000 - len(bench.host.sent[2].rows)
    assert bench.counted("wasted_rows_total") == len(bench.host.sent[2].rows)
    assert bench.counted("expired_rows_total", stage="queue") == 0
    assert bench.is_empty()
    tasks.clear()
    gc.collect()
    assert len(asyncio.all_tasks()) == 1


async def test_rows_that_expire_in_the_queue_are_not_sent(bench: Bench) -> None:
    await bench.ask(1)
    await bench.ask(2)
    late, later = await bench.ask(3, 4, timeout_s=5), await bench.ask(5, timeout_s=50)
    bench.clock.now += 10
    await bench.answer(0)
    assert bench.host.sent[2].lengths == [5]
    with pytest.raises(DeadlineExceeded):
        await late
    assert bench.counted("expired_rows_total", stage="queue") == 2
    await bench.answer(1)
    await bench.answer(2)
    assert values(later) == [5]
    assert bench.is_empty()


async def test_the_time_of_a_caller_ends_whatever_the_host_does(bench: Bench) -> None:
    for length in (1, 2):
        await bench.ask(length)
    task = await bench.ask(3, timeout_s=0.01)
    bench.clock.now += 0.01
    with pytest.raises(DeadlineExceeded):
        await task
    assert bench.counted("expired_rows_total", stage="queue") == 1
    assert bench.lane.queue.rows == 0


async def test_rows_whose_time_ends_at_the_host_are_counted_there(bench: Bench) -> None:
    large, other = await bench.ask(*[16] * 20), await bench.ask(3)
    assert [len(sent.rows) for sent in bench.host.sent] == [8, 8]
    bench.host.sent[0].fail(DeadlineExceeded("Triton did not answer in time"))
    await bench.settle()
    assert isinstance(large.exception(), DeadlineExceeded)
    # The last four of them waited still.
    assert [bench.counted("expired_rows_total", stage=stage) for stage in ("host", "queue")] == [8, 4]
    await bench.answer(1)
    await bench.answer(2)
    assert values(other) == [3]
    assert bench.is_empty()


async def test_a_silent_host_is_asked_whether_it_lives_before_it_gets_more(bench: Bench) -> None:
    bench.host.ready = False
    tasks = [await bench.ask(1), await bench.ask(2)]
    for sent in bench.host.sent[:2]:
        sent.fail(DeadlineExceeded("Triton did not answer in time"))
    await bench.settle()
    assert [type(task.exception()) for task in tasks] == [DeadlineExceeded] * 2
    waiting = [await bench.ask(3), await bench.ask(4)]
    assert (len(bench.host.sent), bench.lane.stalled) == (2, True)
    assert not await bench.scheduler.host_ready(BASE)
    bench.host.ready = True
    assert not await bench.scheduler.host_ready(BASE)
    async with asyncio.timeout(60):
        while len(bench.host.sent) < 3:  # noqa: ASYNC110, it looks for itself
            await asyncio.sleep(0.02)
    # One request shows whether it answers; both rows are in it.
    assert bench.host.sent[2].lengths == [3, 4]
    await bench.answer()
    assert [values(task) for task in waiting] == [[3], [4]]
    assert (bench.lane.stalled, await bench.scheduler.host_ready(BASE)) == (False, True)
    assert bench.counted("stalls_total") == 1
    await asyncio.sleep(0.6)
    assert bench.is_empty()


async def test_a_call_that_would_wait_too_long_is_refused_before_its_tokens_are_made(bench: Bench) -> None:
    tasks = [await bench.ask(50, 50, tenant="known")]
    for _ in range(3):
        bench.lane.pace.note(100, 1.0, 1.0, full=True)
    asked = bench.scheduler.expecting(BASE, 1, 10, timeout_s=1, tenant="x", priority=Priority.INTERACTIVE)
    with pytest.raises(ResourceExhausted) as caught, asked:
        raise AssertionError("it was let in")
    assert caught.value.retry_after_s
    with pytest.raises(ResourceExhausted):
        await bench.scheduler.infer_rows(BASE, bench.rows(10), timeout_s=0.5, request_id="")
    with bench.scheduler.expecting(BASE, 1, 10, timeout_s=9, tenant="x", priority=Priority.INTERACTIVE):
        pass
    await bench.answer()
    assert values(tasks[0]) == [50, 50]
    assert bench.counted("tenant_tokens_total", tenant="known") == 100
    assert bench.is_empty()
