"""Several Tritons: rows go where the host is and least is done, past what goes away, and a lost host is given back."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from support.waiting import until
from symbiont.common.errors import DeadlineExceeded, FailedPrecondition, SymbiontError, Unavailable
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.triton.replicas import Replicas

BASE = "a" * 64
ROWS: Sequence[Row] = []


class Triton:
    """What a HostClient is of one Triton."""

    def __init__(self, url: str, *, loaded: bool = True) -> None:
        self.url, self.loaded = url, loaded
        self.problem: SymbiontError | None = None
        self.asked = self.loads = 0
        self.released = asyncio.Event()
        self.released.set()

    async def host_ready(self, base: str) -> bool:
        return self.loaded and not self.problem

    async def ensure_host(self, base: str) -> None:
        if self.problem:
            raise self.problem
        self.loads += not self.loaded
        self.loaded = True

    async def infer_rows(self, base: str, rows: Sequence[Row], *, timeout_s: float, request_id: str) -> HostAnswer:
        self.asked += 1
        await self.released.wait()
        if self.problem:
            raise self.problem
        return HostAnswer([], Times(0, float(self.url)))

    async def close(self) -> None:
        self.url = "closed"


@pytest.fixture
async def tritons() -> list[Triton]:
    return [Triton("1"), Triton("2")]


def joined(tritons: list[Triton]) -> Replicas:
    clients: Any = tritons
    return Replicas(clients)


async def test_what_has_least_to_do_is_asked(tritons: list[Triton]) -> None:
    replicas = joined(tritons)
    assert await replicas.host_ready(BASE)
    tritons[0].released.clear()
    tritons[1].released.clear()
    running = [asyncio.create_task(replicas.infer_rows(BASE, ROWS)) for _ in range(6)]
    await until(lambda: sum(t.asked for t in tritons) == 6)
    assert [t.asked for t in tritons] == [3, 3]
    for triton in tritons:
        triton.released.set()
    await asyncio.gather(*running)


async def test_rows_of_one_that_goes_away_are_computed_by_another(tritons: list[Triton]) -> None:
    replicas = joined(tritons)
    await replicas.host_ready(BASE)
    tritons[0].problem = Unavailable("it stops")
    answers = [await replicas.infer_rows(BASE, ROWS) for _ in range(5)]
    assert {answer.times.computed for answer in answers} == {2.0}
    # It is asked once, and no more until it is known to be back.
    assert tritons[0].asked <= 1
    tritons[0].problem = None
    assert await replicas.host_ready(BASE)
    tritons[1].problem = Unavailable("it stops")
    assert (await replicas.infer_rows(BASE, ROWS)).times.computed == 1.0


async def test_one_that_came_back_empty_gets_its_host_and_no_rows_before(tritons: list[Triton]) -> None:
    tritons[0].loaded = False
    replicas = joined(tritons)
    assert await replicas.host_ready(BASE)
    assert (await replicas.infer_rows(BASE, ROWS)).times.computed == 2.0
    await until(lambda: tritons[0].loads == 1)
    await replicas.host_ready(BASE)
    assert [t.loads for t in tritons] == [1, 0]


async def test_none_that_answers_is_told_as_such(tritons: list[Triton]) -> None:
    replicas = joined(tritons)
    for triton in tritons:
        triton.problem = Unavailable(f"{triton.url} is away")
    assert not await replicas.host_ready(BASE)
    with pytest.raises(Unavailable, match="is away"):
        await replicas.infer_rows(BASE, ROWS)
    assert [t.asked for t in tritons] == [1, 1]


async def test_an_error_that_another_would_repeat_is_not_tried_again(tritons: list[Triton]) -> None:
    replicas = joined(tritons)
    await replicas.host_ready(BASE)
    for triton in tritons:
        triton.problem = DeadlineExceeded("too late")
    with pytest.raises(DeadlineExceeded):
        await replicas.infer_rows(BASE, ROWS)
    assert sum(t.asked for t in tritons) == 1


async def test_a_host_is_loaded_wherever_it_can_be(tritons: list[Triton]) -> None:
    replicas = joined(tritons)
    for triton in tritons:
        triton.loaded = False
    tritons[0].problem = Unavailable("away")
    await replicas.ensure_host(BASE)
    assert [t.loads for t in tritons] == [0, 1]
    for triton in tritons:
        triton.problem = FailedPrecondition("no such base")
    with pytest.raises(FailedPrecondition):
        await replicas.ensure_host(BASE)
    await replicas.close()
    assert {t.url for t in tritons} == {"closed"}
