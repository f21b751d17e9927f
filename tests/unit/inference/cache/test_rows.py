"""Values are computed once, whoever asks for them at the same time, and nobody suffers for who asked first."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from symbiont.common.errors import DeadlineExceeded, IntegrityError, SymbiontError, Unavailable
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference.cache.rows import RowCache
from symbiont.inference.cache.store import Store
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import CacheMetrics
from symbiont.inference.types import Priority

BASE = "a" * 64
WHO = ("tenant", BASE)
INTERACTIVE, BATCH = Priority.INTERACTIVE, Priority.BATCH


def rows(*numbers: int) -> list[Row]:
    return [Row(np.array([number, 7], np.int32), "d" * 64) for number in numbers]


class Host:
    """Answers a row with its first id, when the gate is open; a row of `errors` has its error instead."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failures: list[Exception] = []
        self.errors: dict[int, SymbiontError] = {}

    async def __call__(self, rows: Sequence[Row]) -> HostAnswer:
        ids = [int(row.input_ids[0]) for row in rows]
        self.asked.append(ids)
        await self.gate.wait()
        if self.failures:
            raise self.failures.pop(0)
        whole = np.array(ids, np.float32)
        values = [self.errors.get(id_) or whole[place : place + 1] for place, id_ in enumerate(ids)]
        return HostAnswer(values, Times(0.25, 0.5))


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def cache(cache_metrics: CacheMetrics) -> RowCache:
    return RowCache(Store(1 << 20, 60.0, cache_metrics), cache_metrics)


def numbers(answer: HostAnswer) -> list[Any]:
    return [row if isinstance(row, SymbiontError) else float(row[0]) for row in answer.rows]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_known_is_not_computed(cache: RowCache, host: Host, looked_up: Any) -> None:
    first = await cache.infer(*WHO, rows(1, 2), INTERACTIVE, host)
    second = await cache.infer(*WHO, rows(2, 3, 1), INTERACTIVE, host)
    third = await cache.infer(*WHO, rows(3), INTERACTIVE, host)
    assert (numbers(first), numbers(second), numbers(third)) == ([1, 2], [2, 3, 1], [3])
    assert host.asked == [[1, 2], [3]]
    assert (first.times, second.times, third.times) == (Times(0.25, 0.5), Times(0.25, 0.5), Times(0.0, 0.0))
    assert looked_up("rows") == [3, 3, 0]


async def test_a_row_that_stands_twice_in_a_call_is_computed_once(cache: RowCache, host: Host) -> None:
    assert numbers(await cache.infer(*WHO, rows(1, 2, 1, 1), INTERACTIVE, host)) == [1, 2, 1, 1]
    assert host.asked == [[1, 2]]


async def test_who_waits_until_when_makes_no_other_row(cache: RowCache, host: Host) -> None:
    await cache.infer(*WHO, [replace(rows(1)[0], expires=1.0)], INTERACTIVE, host)
    await cache.infer(*WHO, [replace(rows(1)[0], expires=2.0)], INTERACTIVE, host)
    assert host.asked == [[1]]


async def test_another_tenant_has_it_computed_again(cache: RowCache, host: Host) -> None:
    for tenant in ("a", "b", "a", "b"):
        await cache.infer(tenant, BASE, rows(1), INTERACTIVE, host)
    assert host.asked == [[1], [1]]


async def test_bundles_in_one_request_have_their_own_answers(cache: RowCache) -> None:
    """As those of a version and of its shadow."""
    asked: list[str] = []

    async def compute(rows: Sequence[Row]) -> HostAnswer:
        asked.extend(row.bundle for row in rows)
        return HostAnswer([np.array([ord(row.bundle[0])], np.float32) for row in rows], Times())

    pair = [replace(row, bundle=bundle) for bundle in ("v" * 64, "w" * 64) for row in rows(1)]
    for _ in range(2):
        assert numbers(await cache.infer(*WHO, pair, INTERACTIVE, compute)) == [ord("v"), ord("w")]
        assert numbers(await cache.infer(*WHO, pair[::-1], INTERACTIVE, compute)) == [ord("w"), ord("v")]
    assert asked == ["v" * 64, "w" * 64]


async def test_nor_does_a_tenant_wait_for_anothers(cache: RowCache, host: Host) -> None:
    """Or one could measure what the other asks for."""
    host.gate.clear()
    calls = [asyncio.create_task(cache.infer(tenant, BASE, rows(1), INTERACTIVE, host)) for tenant in "ab"]
    await settle()
    assert host.asked == [[1], [1]]
    host.gate.set()
    await asyncio.gather(*calls)


async def test_calls_at_one_time_compute_once(cache: RowCache, host: Host, looked_up: Any) -> None:
    host.gate.clear()
    calls = [asyncio.create_task(cache.infer(*WHO, rows(1, n), INTERACTIVE, host)) for n in (2, 3, 2)]
    await settle()
    assert host.asked == [[1, 2], [3]]
    host.gate.set()
    answers = await asyncio.gather(*calls)
    assert [numbers(answer) for answer in answers] == [[1, 2], [1, 3], [1, 2]]
    assert [answer.times.computed for answer in answers] == [0.5, 0.5, 0.0]
    assert looked_up("rows") == [0, 3, 3]
    assert not cache._flights


async def test_urgent_calls_do_not_wait_for_others(cache: RowCache, host: Host) -> None:
    host.gate.clear()
    calls = [asyncio.create_task(cache.infer(*WHO, rows(1), priority, host)) for priority in (BATCH, INTERACTIVE)]
    await settle()
    assert host.asked == [[1], [1]]
    host.gate.set()
    await asyncio.gather(*calls)


@pytest.mark.parametrize("failure", [Unavailable("Triton is away"), RuntimeError("a mistake")])
async def test_who_waits_computes_for_itself_when_the_first_fails(
    cache: RowCache, host: Host, failure: Exception
) -> None:
    host.gate.clear()
    host.failures.append(failure)
    first, second, third = (asyncio.create_task(cache.infer(*WHO, rows(1), INTERACTIVE, host)) for _ in range(3))
    await settle()
    assert host.asked == [[1]]
    host.gate.set()
    with pytest.raises(type(failure)):
        await first
    assert (numbers(await second), numbers(await third)) == ([1], [1])
    # At once, not one after the other: many that wait must not pay for one another's failures.
    assert host.asked == [[1], [1], [1]]
    assert not cache._flights


async def test_who_waits_is_not_told_that_the_first_ones_time_is_over(cache: RowCache, host: Host) -> None:
    host.gate.clear()
    host.errors[1] = DeadlineExceeded("the row's time ran out before its turn in the host")
    first, second = (asyncio.create_task(cache.infer(*WHO, rows(1, 2), INTERACTIVE, host)) for _ in range(2))
    await settle()
    host.gate.set()
    await settle()
    assert isinstance(numbers(await first)[0], DeadlineExceeded)
    assert host.asked[0] == [1, 2]
    # Only what failed is computed again.
    await second
    assert host.asked[1:] == [[1]]


async def test_the_first_may_give_up(cache: RowCache, host: Host) -> None:
    host.gate.clear()
    first = asyncio.create_task(cache.infer(*WHO, rows(1), INTERACTIVE, host))
    await settle()
    second = asyncio.create_task(cache.infer(*WHO, rows(1), INTERACTIVE, host))
    await settle()
    first.cancel()
    await settle()
    assert host.asked == [[1], [1]]
    host.gate.set()
    assert numbers(await second) == [1]
    assert not cache._flights


async def test_each_waits_until_its_own_deadline(cache: RowCache, host: Host) -> None:
    host.gate.clear()
    first = asyncio.create_task(cache.infer(*WHO, rows(1), INTERACTIVE, host))
    await settle()
    with pytest.raises(DeadlineExceeded):
        async with Deadline(0.01).bound("infer"):
            await cache.infer(*WHO, rows(1), INTERACTIVE, host)
    third = asyncio.create_task(cache.infer(*WHO, rows(1), INTERACTIVE, host))
    await settle()
    host.gate.set()
    assert (numbers(await first), numbers(await third)) == ([1], [1])
    assert host.asked == [[1]]


async def test_errors_are_not_kept(cache: RowCache, host: Host) -> None:
    host.errors[1] = IntegrityError("the bundle is damaged")
    answer = await cache.infer(*WHO, rows(1, 2), INTERACTIVE, host)
    assert numbers(answer) == [host.errors[1], 2]
    host.errors.clear()
    assert numbers(await cache.infer(*WHO, rows(1, 2), INTERACTIVE, host)) == [1, 2]
    assert host.asked == [[1, 2], [1]]


async def test_what_is_handed_out_cannot_change_what_is_kept(cache: RowCache, host: Host) -> None:
    for _ in range(2):
        (values,) = (await cache.infer(*WHO, rows(1), INTERACTIVE, host)).rows
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 9.0  # type: ignore[index]
        with pytest.raises(ValueError, match="cannot set WRITEABLE"):
            values.flags.writeable = True  # type: ignore[union-attr]
    assert numbers(await cache.infer(*WHO, rows(1), INTERACTIVE, host)) == [1]


async def test_an_answer_of_many_rows_is_not_kept_in_memory_for_one(cache: RowCache, host: Host) -> None:
    for row in (await cache.infer(*WHO, rows(1, 2), INTERACTIVE, host)).rows:
        # The bytes of its own values alone stand behind it.
        assert isinstance(row.base, bytes)  # type: ignore[union-attr]
        assert len(row.base) == 4  # type: ignore[union-attr]


async def test_a_storm_of_calls_is_answered_right(cache: RowCache, host: Host) -> None:
    """Calls that overlap, fail and are cancelled at random: each that is answered is answered right."""
    source = np.random.default_rng(0)

    async def turns(most: int) -> None:
        for _ in range(source.integers(most)):
            await asyncio.sleep(0)

    async def compute(asked: Sequence[Row]) -> HostAnswer:
        await turns(10)
        if source.random() < 0.2:
            raise Unavailable("now and then")
        return await host(asked)

    async def ask() -> bool:
        await turns(200)
        wanted = source.integers(0, 20, size=source.integers(1, 6)).tolist()
        tenant, priority = "ab"[source.integers(2)], (INTERACTIVE, BATCH)[source.integers(2)]
        try:
            answer = await cache.infer(tenant, BASE, rows(*wanted), priority, compute)
        except Unavailable:
            return False
        assert numbers(answer) == wanted
        return True

    calls = [asyncio.create_task(ask()) for _ in range(400)]
    while not all(call.done() for call in calls):
        calls[source.integers(400)].cancel()
        await asyncio.sleep(0)
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert {True, False} <= {outcome for outcome in done if isinstance(outcome, bool)}
    assert not [outcome for outcome in done if not isinstance(outcome, bool | asyncio.CancelledError)]
    assert any(isinstance(outcome, asyncio.CancelledError) for outcome in done)
    assert not cache._flights
