"""Calls share a call of the tokenization service only while it is busy, and each gets its own tokens or error."""

import asyncio
from typing import Any

import numpy as np
import pytest

from symbiont.common.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from symbiont.inference.scheduling.coalescing import CoalescingLimits, TokenCoalescer
from symbiont.inference.tokens import TokenQuery, Tokens


class Service:
    """Every text is its length in letters; calls are answered by hand."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str], int, float]] = []
        self.replies: list[asyncio.Future[None]] = []
        self.bad = "bad"

    async def tokenize(self, digest: str, query: TokenQuery, max_tokens: int, timeout_s: float) -> Tokens:
        texts = query.texts
        self.calls.append((digest, list(texts), max_tokens, timeout_s))
        self.replies.append(asyncio.get_running_loop().create_future())
        await self.replies[-1]
        if self.bad in texts:
            raise FailedPrecondition("it is refused")
        return Tokens([np.arange(len(t), dtype=np.int32) for t in texts], [len(t) > 5 for t in texts], digest)

    @property
    def asked(self) -> list[list[str]]:
        return [texts for _, texts, _, _ in self.calls]


class Bench:
    def __init__(self, metrics: Any, clock: Any, settle: Any, prometheus: Any) -> None:
        self.service, self.clock, self.settle, self.prometheus = Service(), clock, settle, prometheus
        self.tokens = TokenCoalescer(self.service, CoalescingLimits(1, 4, 40), metrics, clock)

    async def ask(self, *texts: str, digest: str = "d", most: int = 8, timeout_s: float = 9.0) -> asyncio.Task[Tokens]:
        task = asyncio.create_task(self.tokens.tokenize(digest, TokenQuery(texts), most, timeout_s))
        await self.settle()
        return task

    async def answer(self, index: int = -1) -> None:
        self.service.replies[index].set_result(None)
        await self.settle()

    def counted(self, name: str, **labels: str) -> float | None:
        return self.prometheus.get_sample_value(f"symbiont_inference_{name}", labels)


@pytest.fixture
def bench(scheduling_metrics: Any, clock: Any, settle: Any, prometheus: Any) -> Bench:
    return Bench(scheduling_metrics, clock, settle, prometheus)


def lengths(task: asyncio.Task[Tokens]) -> list[int]:
    return [len(row) for row in task.result().rows]


async def test_while_the_service_is_free_a_call_goes_as_it_is(bench: Bench) -> None:
    task = await bench.ask("abc", "toolong")
    assert bench.service.calls == [("d", ["abc", "toolong"], 8, 9.0)]
    await bench.answer()
    assert (lengths(task), task.result().truncated, bench.tokens.waiting) == ([3, 7], [False, True], 0)


async def test_those_that_wait_go_together_and_get_their_own(bench: Bench) -> None:
    first = await bench.ask("a")
    waiting = [await bench.ask("ab", "abc"), await bench.ask("abcdef"), await bench.ask("b", "bb")]
    other = await bench.ask("xyz", digest="e")
    await bench.answer()
    # Four texts at most.
    assert bench.service.asked[1:] == [["ab", "abc", "abcdef"]]
    await bench.answer()
    # Another tokenizer has its turn before those that did not fit.
    assert bench.service.calls[2][:2] == ("e", ["xyz"])
    await bench.answer()
    await bench.answer()
    assert lengths(first) == [1]
    assert [lengths(task) for task in waiting] == [[2, 3], [6], [1, 2]]
    assert waiting[1].result().truncated == [True]
    assert lengths(other) == [3]
    assert bench.counted("tokenization_calls_count") == 4
    assert bench.counted("tokenization_calls_sum") == 5


async def test_long_texts_do_not_go_together(bench: Bench) -> None:
    await bench.ask("a")
    tasks = [await bench.ask("x" * 30), await bench.ask("y" * 30)]
    for _ in range(3):
        await bench.answer()
    assert [len(asked) for asked in bench.service.asked] == [1, 1, 1]
    assert [lengths(task) for task in tasks] == [[30], [30]]


async def test_an_error_about_one_call_is_not_that_of_the_others(bench: Bench) -> None:
    await bench.ask("a")
    good, bad = await bench.ask("ab"), await bench.ask("bad")
    for _ in range(4):
        await bench.answer()
    assert bench.service.asked[1:] == [["ab", "bad"], ["ab"], ["bad"]]
    assert lengths(good) == [2]
    assert isinstance(bad.exception(), FailedPrecondition)


async def test_a_service_that_is_away_is_so_for_all(bench: Bench) -> None:
    await bench.ask("a")
    tasks = [await bench.ask("ab"), await bench.ask("abc")]
    await bench.answer()
    bench.service.replies[-1].set_exception(Unavailable("away"))
    await bench.settle()
    assert [type(task.exception()) for task in tasks] == [Unavailable] * 2
    again = await bench.ask("abcd")
    await bench.answer()
    assert lengths(again) == [4]


async def test_who_went_or_came_too_late_is_not_tokenized(bench: Bench) -> None:
    await bench.ask("a")
    gone, late, stays = await bench.ask("gone"), await bench.ask("late", timeout_s=1), await bench.ask("stays")
    gone.cancel()
    await bench.settle()
    bench.clock.now += 5
    await bench.answer()
    assert bench.service.asked[1:] == [["stays"]]
    assert bench.service.calls[1][3] == pytest.approx(4)
    await bench.answer()
    assert lengths(stays) == [5]
    assert isinstance(late.exception(), DeadlineExceeded)
    assert bench.counted("expired_rows_total", stage="tokenization") == 1
    assert bench.tokens.waiting == 0


async def test_callers_that_go_leave_the_service_to_others(bench: Bench) -> None:
    first = await bench.ask("a")
    second = await bench.ask("ab")
    first.cancel()
    await bench.settle()
    assert bench.service.asked == [["a"], ["ab"]]
    await bench.answer()
    assert lengths(second) == [2]


async def test_what_asks_for_more_than_ids_goes_alone(bench: Bench) -> None:
    await bench.ask("a")
    pairs = TokenQuery(["ab"], pair_texts=["abc"])
    task = asyncio.create_task(bench.tokens.tokenize("d", pairs, 8, 9.0))
    await bench.settle()
    assert bench.service.asked == [["a"], ["ab"]]
    await bench.answer()
    await bench.answer(0)
    assert lengths(task) == [2]
