"""Time runs out in the stage that is being waited for."""

import asyncio

import pytest

from symbiont.common.errors import DeadlineExceeded
from symbiont.inference.deadline import Deadline


async def test_a_stage_is_ended_and_named() -> None:
    with pytest.raises(DeadlineExceeded, match="'infer'"):
        async with Deadline(0.01).bound("infer"):
            await asyncio.sleep(60)


async def test_a_stage_in_time_passes() -> None:
    deadline = Deadline(60)
    async with deadline.bound("infer"):
        await asyncio.sleep(0)
    assert 0 < deadline.remaining() <= 60


async def test_no_stage_begins_when_the_time_is_over() -> None:
    with pytest.raises(DeadlineExceeded):
        async with Deadline(0).bound("infer"):
            pytest.fail("it began")


def test_a_model_is_no_tenant() -> None:
    assert Deadline(1, "bank").on_behalf_of("mood").is_named
    owned = Deadline(1).on_behalf_of("mood")
    assert (owned.tenant, owned.is_named) == ("mood", False)
