"""The set of servers with fake ones: who is left out, for how long, and what comes back with its hosts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from support.waiting import until
from symbiont.common.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    SymbiontError,
    Unavailable,
)
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.engine.settings import HostSettings
from symbiont.triton.addresses import Addresses
from symbiont.triton.placement import Placement, Spread
from symbiont.triton.pool import HostPool
from symbiont.triton.servers import Pauses, Watching

BASE, OTHER_BASE = "a" * 64, "b" * 64
BOTH = ["one:1", "two:1"]
ALONE = Spread()
QUICK = Watching(resolve_s=0.01, check_s=0.01, first_s=0.01, longest_s=0.02, drain_s=1)


class FakeServer:
    """Answers each row with the number of its tokens; or does what a test says."""

    def __init__(self, address: str) -> None:
        self.address = address
        # What a check, a loading and a request raise.
        self.away: BaseException | None = None
        self.unloadable: SymbiontError | None = None
        self.failing: SymbiontError | None = None
        self.hanging = False
        self.hosts: set[str] = set()
        self.checks = 0
        self.asked: list[Sequence[Row]] = []
        self.spares: set[int] = set()
        self.closed = False

    async def check(self) -> None:
        self.checks += 1
        if self.away:
            raise self.away

    async def close(self, grace_s: float = 5.0) -> None:
        self.closed = True

    async def host_ready(self, base_digest: str) -> bool:
        return not self.away and base_digest in self.hosts

    async def ensure_host(self, base_digest: str) -> None:
        if self.away or self.unloadable:
            raise self.away or self.unloadable or AssertionError
        self.hosts.add(base_digest)

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float, request_id: str, spare: int = 0
    ) -> HostAnswer:
        self.asked.append(rows)
        self.spares.add(spare)
        if self.hanging:
            await asyncio.sleep(60)
        if self.failing or self.away:
            raise self.failing or self.away or AssertionError
        return HostAnswer([np.array([len(row.input_ids)], np.float32) for row in rows], Times(0.0, len(rows)))


class Fleet:
    """Servers by their addresses, and what the pool reports of them."""

    def __init__(self) -> None:
        self.servers: dict[str, FakeServer] = {}
        self.moved = 0

    def connect(self, address: str, settings: HostSettings) -> FakeServer:
        return self.servers.setdefault(address, FakeServer(address))

    def count(self, rows: int) -> None:
        self.moved += rows

    @asynccontextmanager
    async def pool(self, spread: Spread = ALONE, watching: Watching = QUICK) -> AsyncIterator[HostPool]:
        connect: Callable[..., object] = self.connect
        told = HostSettings(Path())
        pool = HostPool(Addresses(tuple(BOTH)), told, spread, watching, self.count, connect)  # type: ignore[arg-type]
        async with pool:
            await until(lambda: pool.ready == 2)
            yield pool


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def make_rows(count: int = 12) -> list[Row]:
    return [Row(np.zeros(n + 1, np.int32), f"bundle-{n}") for n in range(count)]


def first_of(row: Row) -> str:
    """Returns the server that a row is for while both are ready."""
    (server,) = Placement(BOTH, Spread()).divide(BASE, [row])
    return server


async def check(pool: HostPool, rows: Sequence[Row]) -> None:
    """All rows are answered, in their order."""
    answer = await pool.infer_rows(BASE, rows, timeout_s=60)
    assert [float(np.asarray(values)[0]) for values in answer.rows] == [len(row.input_ids) for row in rows]


async def test_rows_go_to_their_servers_and_come_back_in_order(fleet: Fleet) -> None:
    rows = make_rows()
    async with fleet.pool() as pool:
        await check(pool, rows)
        for address, server in fleet.servers.items():
            assert [list(asked) for asked in server.asked] == [[row for row in rows if first_of(row) == address]]
        assert (await pool.infer_rows(BASE, [])).rows == []
        await pool.infer_rows(BASE, rows, spare=2)
        assert all(server.spares == {0, 2} for server in fleet.servers.values())
    assert all(server.closed for server in fleet.servers.values())
    assert fleet.moved == 0


@pytest.mark.parametrize("error", [Unavailable("Triton at one:1 refuses"), FailedPrecondition("it is about to end")])
async def test_what_a_server_refuses_the_next_one_answers(fleet: Fleet, error: SymbiontError) -> None:
    rows = make_rows()
    async with fleet.pool() as pool:
        one, two = (fleet.servers[address] for address in BOTH)
        one.failing, one.away = error, Unavailable("Triton at one:1 is not ready")
        await check(pool, rows)
        assert fleet.moved == sum(first_of(row) == "one:1" for row in rows) > 0
        asked = len(one.asked)
        await check(pool, rows)
        assert len(one.asked) == asked
        assert pool.ready == 1
        # Its readiness brings its share back, with the hosts that it lost.
        one.failing = one.away = None
        one.hosts.clear()
        await until(lambda: pool.ready == 2)
        assert one.hosts == {BASE}
        await check(pool, rows)
        assert list(one.asked[-1]) == [row for row in rows if first_of(row) == "one:1"]
        assert two.hosts == set()


async def test_rows_are_asked_twice_at_most(fleet: Fleet) -> None:
    async with fleet.pool() as pool:
        for server in fleet.servers.values():
            server.failing = Unavailable(f"Triton at {server.address} refuses")
        with pytest.raises(Unavailable, match="refuses"):
            await pool.infer_rows(BASE, make_rows(1), timeout_s=60)
        assert sum(len(server.asked) for server in fleet.servers.values()) == 2


@pytest.mark.parametrize(
    "error", [RuntimeError("odd"), asyncio.CancelledError()], ids=lambda error: type(error).__name__
)
async def test_a_server_whose_check_ended_oddly_is_found_again(fleet: Fleet, error: BaseException) -> None:
    async with fleet.pool() as pool:
        await until(lambda: pool.ready == 2)
        server = next(iter(fleet.servers.values()))
        server.away = error
        await until(lambda: pool.ready == 1)
        server.away = None
        await until(lambda: pool.ready == 2)


async def test_without_any_server_the_error_names_each(fleet: Fleet) -> None:
    async with fleet.pool() as pool:
        for server in fleet.servers.values():
            server.away = Unavailable(f"Triton at {server.address} is not ready")
        await until(lambda: pool.ready == 0)
        with pytest.raises(Unavailable, match=r"one:1 is not ready.*two:1 is not ready"):
            await pool.infer_rows(BASE, make_rows(), timeout_s=60)
        assert not await pool.host_ready(BASE)
        with pytest.raises(Unavailable, match="one:1"):
            await pool.ensure_host(BASE)


async def test_where_nobody_is_ready_those_that_were_away_are_asked_at_once(fleet: Fleet) -> None:
    async with fleet.pool(watching=Watching(check_s=0.01, first_s=60, longest_s=60)) as pool:
        for server in fleet.servers.values():
            server.away = Unavailable(f"Triton at {server.address} is not ready")
        await until(lambda: pool.ready == 0)
        one = fleet.servers["one:1"]
        one.away = None
        await check(pool, make_rows())
        await until(lambda: pool.ready == 1 and one.hosts == {BASE})


async def test_what_is_wrong_with_the_host_is_no_reason_to_ask_another(fleet: Fleet) -> None:
    async with fleet.pool() as pool:
        row = make_rows(1)
        server = fleet.servers[first_of(row[0])]
        for server.failing in (FailedPrecondition("cannot load"), ResourceExhausted("full"), InvalidArgument("a", "b")):
            with pytest.raises(type(server.failing)):
                await pool.infer_rows(BASE, row, timeout_s=60)
        assert pool.ready == 2
        assert fleet.moved == 0


async def test_a_part_that_fails_leaves_the_others_their_answers(fleet: Fleet) -> None:
    rows = make_rows()
    async with fleet.pool() as pool:
        fleet.servers["one:1"].failing = ResourceExhausted("full")
        answer = await pool.infer_rows(BASE, rows, timeout_s=60)
        for row, values in zip(rows, answer.rows, strict=True):
            assert isinstance(values, ResourceExhausted) == (first_of(row) == "one:1")
        fleet.servers["two:1"].failing = ResourceExhausted("full")
        with pytest.raises(ResourceExhausted):
            await pool.infer_rows(BASE, rows, timeout_s=60)


async def test_what_a_server_that_hangs_was_asked_the_next_one_answers(fleet: Fleet) -> None:
    rows = make_rows()
    async with fleet.pool() as pool:
        one = fleet.servers["one:1"]
        one.hanging, one.away = True, DeadlineExceeded("Triton at one:1 did not answer in time")
        await check(pool, rows)
        assert fleet.moved > 0


async def test_a_caller_that_goes_is_no_failure_of_the_server(fleet: Fleet) -> None:
    async with fleet.pool() as pool:
        for server in fleet.servers.values():
            server.hanging = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.infer_rows(BASE, make_rows(1), timeout_s=60)
        assert pool.ready == 2
        assert fleet.moved == 0


def test_pauses_grow_up_to_the_longest() -> None:
    pauses = Pauses(0.5, 4.0)
    assert [pauses.next() for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    pauses.reset()
    assert pauses.next() == 0.5


async def test_one_that_says_it_is_ready_and_fails_is_asked_ever_more_seldom(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[float] = []

    class Noted(Pauses):
        def next(self) -> float:
            noted.append(super().next())
            return 0.0

    monkeypatch.setattr("symbiont.triton.servers.Pauses", Noted)
    async with fleet.pool(watching=Watching(check_s=60, first_s=0.5, longest_s=4.0)) as pool:
        fleet.servers["one:1"].failing = Unavailable("Triton at one:1 refuses")
        for _ in range(5):
            await until(lambda: pool.ready == 2)
            await check(pool, make_rows())
        await until(lambda: pool.ready == 2)
    assert noted == [0.5, 1.0, 2.0, 4.0, 4.0]


async def test_a_host_is_loaded_where_it_is_to_be_held(fleet: Fleet) -> None:
    async with fleet.pool() as pool:
        await pool.ensure_host(BASE)
        assert all(server.hosts == {BASE} for server in fleet.servers.values())
        assert await pool.host_ready(BASE)
        fleet.servers["one:1"].unloadable = FailedPrecondition("too large")
        await pool.ensure_host(OTHER_BASE)
        fleet.servers["two:1"].unloadable = FailedPrecondition("too large")
        with pytest.raises(FailedPrecondition, match="too large"):
            await pool.ensure_host("c" * 64)
    async with Fleet().pool(Spread(base_servers=1)) as alone:
        await alone.ensure_host(BASE)
        assert await alone.host_ready(BASE)


async def test_bundles_are_divided_over_the_servers_that_are_ready(fleet: Fleet) -> None:
    async with fleet.pool() as pool:
        assert pool.sharing() == 2
        fleet.servers["one:1"].away = Unavailable("away")
        await until(lambda: pool.ready == 1)
        assert pool.sharing() == 1
    async with Fleet().pool(Spread(bundle_servers=2)) as pool:
        assert pool.sharing() == 1


async def test_servers_come_and_go_while_it_runs(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    named = list(BOTH)

    async def now(self: Addresses) -> list[str]:
        if not named:
            raise Unavailable("the name service is away")
        return list(named)

    monkeypatch.setattr(Addresses, "now", now)
    async with fleet.pool() as pool:
        named[:] = ["two:1", "three:1"]
        await until(lambda: "three:1" in fleet.servers and pool.ready == 2)
        await until(lambda: fleet.servers["one:1"].closed)
        await check(pool, make_rows())
        assert not fleet.servers["one:1"].asked
        # That nobody can be asked for names takes no server away.
        named.clear()
        await asyncio.sleep(0.05)
        assert pool.known == pool.ready == 2
