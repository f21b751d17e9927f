"""Scheduling under load, in virtual time: what is asked, what is computed, and for whom, to the row."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from support.virtual_time import run_virtually
from symbiont.common.errors import DeadlineExceeded, ResourceExhausted
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference.metrics import SchedulingMetrics
from symbiont.inference.scheduling.lane import LaneLimits
from symbiont.inference.scheduling.queue import Weights
from symbiont.inference.scheduling.scheduler import Scheduler
from symbiont.inference.types import Priority

BASE, TOKENS = "a" * 64, 20
# A request takes so long, and each of its tokens so much longer: 200 rows a second at most, one by one 83.
OVERHEAD_S, TOKEN_S = 0.007, 0.00025


@dataclass
class SlowHost:
    """A host that forgets no request, even where nobody waits any more.

    It computes one after another, or, where it `joins`, all that wait at a time, as Triton does.
    """

    joins: bool = False
    slower: float = 1.0
    # Whether Triton notices that it hangs.
    noticed: bool = True
    computed: int = 0
    requests: int = 0
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: list[tuple[int, Sequence[Row], "asyncio.Future[HostAnswer]"]] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.hung.set()

    async def host_ready(self, base_digest: str) -> bool:
        return self.hung.is_set() or not self.noticed

    async def ensure_host(self, base_digest: str) -> None:
        pass

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float, request_id: str, spare: int = 0
    ) -> HostAnswer:
        self.requests += 1
        answer: asyncio.Future[HostAnswer] = asyncio.get_running_loop().create_future()
        self._waiting.append((self.requests, rows, answer))
        asyncio.get_running_loop().create_task(self._compute())
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(answer)
        except TimeoutError as exc:
            raise DeadlineExceeded("Triton did not answer in time") from exc

    async def _compute(self) -> None:
        async with self._turn:
            await self.hung.wait()
            batch = self._waiting[:] if self.joins else self._waiting[:1]
            del self._waiting[: len(batch)]
            if not batch:
                return
            rows = sum(len(rows) for _, rows, _ in batch)
            seconds = (OVERHEAD_S + TOKEN_S * TOKENS * rows) * self.slower
            await asyncio.sleep(seconds)
        self.computed += rows
        for _, rows_of_one, answer in batch:
            answer.set_result(HostAnswer([np.zeros(1, np.float32)] * len(rows_of_one), Times(0.0, seconds)))
            # One is on its way a little longer than the other.
            await asyncio.sleep(0.0005)


class World:
    """A scheduler before a slow host, and what became of the calls."""

    def __init__(self, weights: Weights | None = None, *, joins: bool = False) -> None:
        self.host, self.registry = SlowHost(joins), CollectorRegistry()
        self.now = asyncio.get_running_loop().time
        metrics = SchedulingMetrics(self.registry)
        limits = LaneLimits(weights=weights or Weights())
        self.scheduler = Scheduler(self.host, limits, metrics, self.now)
        self.answered: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {"answered": [], "refused": [], "late": []}

    async def ask(self, rows: int, seconds: float, tenant: str = "t", **turn: Any) -> None:
        began = self.now()
        given = [Row(np.zeros(TOKENS, np.int32))] * rows
        try:
            await self.scheduler.infer_rows(BASE, given, timeout_s=seconds, request_id="", tenant=tenant, **turn)
            outcome = "answered"
            self.answered[tenant] += rows
        except ResourceExhausted:
            outcome = "refused"
        except DeadlineExceeded:
            outcome = "late"
        self.outcomes[outcome] += rows
        self.seconds[outcome].append(self.now() - began)

    async def open(self, per_second: float, rows: int, deadline: float, seconds: float, tenant: str = "t") -> None:
        """Calls at a rate, whatever becomes of them."""
        async with asyncio.TaskGroup() as group:
            for _ in range(int(per_second * seconds)):
                group.create_task(self.ask(rows, deadline, tenant))
                await asyncio.sleep(1 / per_second)

    async def closed(self, callers: int, rows: int, seconds: float, tenant: str = "t", **turn: Any) -> None:
        """Callers that ask again when they have their answer."""
        end = self.now() + seconds

        async def ask() -> None:
            while self.now() < end:
                await self.ask(rows, 60.0, tenant, **turn)

        await asyncio.gather(*(ask() for _ in range(callers)))

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"symbiont_inference_{name}", labels) or 0.0

    def rests(self) -> bool:
        lane = self.scheduler.lanes[0]
        waiting = lane.queue.tokens, lane.queue.rows, lane.queue.tenants, lane.queue.remembered, lane.parking.rows
        return waiting == (0,) * 5 and (lane.calls, lane.in_flight, lane.admission.expected) == (0, 0, 0)


async def peak(callers: int, rows: int, *, joins: bool = False) -> float:
    world = World(joins=joins)
    began = world.now()
    await world.closed(callers, rows, 20.0)
    return world.answered.total() / (world.now() - began)


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize(("rows", "deadline"), [(1, 0.8), (4, 2.0), (16, 1.0), (16, 10.0), (16, 30.0)])
def test_goodput_holds_when_ten_times_more_is_asked(rows: int, deadline: float, joins: bool) -> None:
    async def run() -> None:
        most = await peak(64, rows, joins=joins)
        world = World(joins=joins)
        seconds = max(10.0, 2 * deadline)
        await world.open(10 * most / rows, rows, deadline, seconds)
        assert world.answered.total() >= 0.9 * most * seconds
        # Little was computed in vain, and what was refused was refused at once.
        assert world.host.computed <= 1.05 * world.answered.total()
        assert max(world.seconds["refused"]) == 0
        assert max(world.seconds["answered"]) <= deadline
        assert world.outcomes["refused"] > 5 * world.outcomes["answered"]
        assert world.rests()

    run_virtually(run())


@pytest.mark.parametrize("joins", [False, True])
def test_a_host_that_becomes_much_slower_is_believed(joins: bool) -> None:
    async def run() -> None:
        world = World(joins=joins)
        load = asyncio.create_task(world.open(200.0, 4, 4.0, 90.0))
        await asyncio.sleep(10)
        world.host.slower = 12.0
        await asyncio.sleep(40)
        slow = world.answered.total()
        await asyncio.sleep(35)
        # What is answered is most of what it can do: 200 rows a second by 12, in requests that cost as much more.
        assert world.answered.total() - slow >= 0.7 * 35 * 200 / 12
        await load
        assert world.rests()

    run_virtually(run())


def test_one_caller_waits_for_nothing() -> None:
    async def run() -> None:
        world = World()
        await world.closed(1, 1, 10.0)
        assert max(world.seconds["answered"]) == pytest.approx(OVERHEAD_S + TOKENS * TOKEN_S, abs=1e-6)

    run_virtually(run())


def test_many_callers_share_what_a_request_costs() -> None:
    async def run() -> None:
        assert await peak(32, 1) >= 0.9 / (TOKENS * TOKEN_S + OVERHEAD_S / 16)

    run_virtually(run())


@pytest.mark.parametrize(("weights", "share"), [({}, 1 / 2), ({"small": 3.0}, 3 / 4)])
def test_tenants_share_while_both_have_a_backlog(weights: dict[str, float], share: float) -> None:
    async def run() -> None:
        world = World(Weights(weights))
        # Ten times more of one than of the other, and of the other more than its share.
        async with asyncio.TaskGroup() as group:
            group.create_task(world.open(250.0, 8, 2.0, 20.0, "large"))
            group.create_task(world.open(25.0, 8, 2.0, 20.0, "small"))
        assert world.answered["small"] / world.answered.total() == pytest.approx(share, rel=0.1)
        assert world.host.computed <= 1.05 * world.answered.total()

    run_virtually(run())


def test_who_asks_little_is_always_let_in() -> None:
    async def run() -> None:
        world = World()
        async with asyncio.TaskGroup() as group:
            group.create_task(world.open(250.0, 8, 2.0, 20.0, "large"))
            group.create_task(world.open(5.0, 1, 2.0, 20.0, "small"))
        assert world.answered["small"] == 100

    run_virtually(run())


def test_batch_work_gets_what_is_left_and_never_nothing() -> None:
    async def run() -> None:
        world = World()
        bulk = asyncio.create_task(world.closed(32, 4, 60.0, "bulk", priority=Priority.BATCH))
        await world.closed(64, 1, 60.0, "urgent")
        assert world.answered["bulk"] / world.answered.total() == pytest.approx(1 / 16, rel=0.1)
        await bulk
        alone = World()
        await alone.closed(4, 64, 20.0, "bulk", priority=Priority.BATCH)
        assert alone.answered["bulk"] >= 20 * 0.9 / (TOKENS * TOKEN_S)

    run_virtually(run())


def test_a_large_call_is_answered_between_small_ones() -> None:
    async def run() -> None:
        world = World()
        async with asyncio.TaskGroup() as group:
            group.create_task(world.ask(1024, 30.0, "bulk"))
            group.create_task(world.closed(2, 1, 5.0, "small"))
        assert world.outcomes == {"answered": 1024 + world.answered["small"]}
        # Two requests of a tenth of a second are before it, and its own.
        assert max(world.seconds["answered"][:-1]) < 0.4

    run_virtually(run())


def test_a_host_that_hangs_and_comes_back() -> None:
    async def run() -> None:
        world = World()
        await world.closed(8, 4, 5.0)
        world.host.hung.clear()
        before = world.host.requests
        await world.open(50.0, 4, 1.0, 30.0)
        assert world.outcomes["answered"] + world.outcomes["refused"] + world.outcomes["late"] == (
            world.answered.total() + 50 * 30 * 4
        )
        assert max(world.seconds["late"]) <= 1.01
        # It is not filled with work that nobody waits for.
        assert world.host.requests - before <= 3
        assert not await world.scheduler.host_ready(BASE)
        answered = world.answered.total()
        world.host.hung.set()
        await asyncio.sleep(3)
        await world.closed(8, 4, 5.0)
        assert world.answered.total() - answered >= 0.8 * 200 * 5
        assert world.counted("stalls_total") == 1
        assert world.rests()

    run_virtually(run())


@pytest.mark.parametrize("deadline", [0.3, 1.0, 5.0])
def test_a_hang_that_triton_does_not_notice_is_told_for_as_long_as_it_lasts(deadline: float) -> None:
    async def run() -> None:
        world = World()
        await world.closed(8, 4, 5.0)
        world.host.noticed = False
        world.host.hung.clear()
        load = asyncio.create_task(world.open(20.0, 4, deadline, 60.0))
        await asyncio.sleep(2 * deadline + 0.1)
        stalls = world.counted("stalls_total")
        assert stalls >= 1
        while not load.done():
            assert not await world.scheduler.host_ready(BASE)
            await asyncio.sleep(0.03)
        # Half a second lies between two that are tried, or the time that the first one has.
        assert world.counted("stalls_total") - stalls >= 0.8 * 55 / max(deadline, 0.5) - 1
        assert world.host.requests <= 5 * 200 + 60 / min(deadline, 0.5)
        late = sum(world.counted("expired_rows_total", stage=stage) for stage in ("queue", "host"))
        assert late == world.outcomes["late"]
        assert world.counted("expired_rows_total", stage="host") > 0
        world.host.hung.set()
        # It first computes what nobody waits for any more.
        await asyncio.sleep(5)
        await world.closed(1, 1, 1.0)
        assert await world.scheduler.host_ready(BASE)
        assert world.rests()

    run_virtually(run())


def test_a_caller_without_time_does_not_make_a_host_look_silent() -> None:
    async def run() -> None:
        world = World()
        end = world.now() + 60
        while world.now() < end:
            await world.ask(1, 0.005)
            assert await world.scheduler.host_ready(BASE)
        assert world.outcomes.keys() <= {"late", "refused"}
        assert world.counted("stalls_total") == 0

    run_virtually(run())


def test_a_host_that_nobody_asks_is_ready_again_a_minute_after_its_last_silence() -> None:
    """Or whoever looks before they ask would never ask again."""

    async def run() -> None:
        world = World()
        world.host.noticed = False
        world.host.hung.clear()
        await world.open(10.0, 1, 1.0, 2.0)
        await asyncio.sleep(50)
        assert not await world.scheduler.host_ready(BASE)
        await asyncio.sleep(15)
        assert await world.scheduler.host_ready(BASE)

    run_virtually(run())
