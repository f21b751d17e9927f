"""Work beside the calls goes on whatever happens to it, and ends with the service."""

import asyncio

import pytest

from symbiont.common import background


async def test_work_that_fails_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RESTART_SECONDS", 0)
    runs, done = 0, asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise RuntimeError("unforeseen")
        done.set()
        await asyncio.sleep(60)

    async with background.running("work", work):
        await asyncio.wait_for(done.wait(), 60)
    assert runs == 3


async def test_work_is_cancelled_with_the_block() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with background.running("work", work):
        await asyncio.sleep(0)
    assert ended.is_set()
