"""A log is read to its end, and who follows it learns that the service ended first."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from symbiont.common.errors import InvalidArgument, Unavailable
from symbiont.training import logs
from symbiont.training.executors import WorkerName
from symbiont.training.logs import Logs

WHOLE = b"step 1\nstep 2\n"


@dataclass
class Attempt:
    """A job in its second attempt, and what that has printed."""

    attempt: int = 2
    attempt_time: object | None = None

    async def get(self, identifier: str) -> "Attempt":
        return self

    def read_log(self, name: WorkerName, offset: int, length: int) -> bytes:
        return WHOLE[offset : offset + length]


async def read(job: Attempt, *start: int, stopping: asyncio.Event | None = None, **how: Any) -> list[Any]:
    source = Logs(job, job, stopping or asyncio.Event()).read("j1", *start, **{"follow": False, **how})
    return [each async for each in source]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "CHUNK_BYTES", 7)
    monkeypatch.setattr(logs, "FOLLOW_SECONDS", 0.01)


@pytest.mark.parametrize(
    ("tail", "offset", "begins"), [(0, 0, 0), (7, 0, 7), (0, 9, 9), (7, 9, 9), (2, 9, 12), (0, 99, 99)]
)
async def test_a_log_is_read_from_where_it_is_asked_for(tail: int, offset: int, begins: int) -> None:
    read_ = await read(Attempt(), 0, tail, offset)
    assert b"".join(chunk for _, _, chunk in read_) == WHOLE[begins:]
    assert [at for _, at, _ in read_] == list(range(begins, len(WHOLE), 7))
    assert {attempt for attempt, _, _ in read_} <= {2}


async def test_who_follows_learns_that_the_service_ends() -> None:
    stopping, got = asyncio.Event(), list[bytes]()

    async def follow() -> None:
        async for _, _, chunk in Logs(job, job, stopping).read("j1", 0, 0, follow=True):
            got.append(chunk)

    job = Attempt(attempt_time=object())
    task = asyncio.create_task(follow())
    await asyncio.sleep(0.05)
    assert not task.done()
    stopping.set()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, 30)
    assert b"".join(got) == WHOLE


async def test_an_attempt_that_is_over_is_read_to_its_end() -> None:
    stopping = asyncio.Event()
    stopping.set()
    assert len(await read(Attempt(), 0, 0, stopping=stopping, follow=True)) == 2
    assert len(await read(Attempt(attempt_time=object()), 0, 0, stopping=stopping)) == 2


@pytest.mark.parametrize(
    ("start", "field"), [((-1, 0, 0), "attempt"), ((0, -1, 0), "tail_bytes"), ((0, 0, -1), "offset")]
)
async def test_numbers_below_zero_are_refused(start: tuple[int, int, int], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await read(Attempt(), *start)
    assert caught.value.field == field
