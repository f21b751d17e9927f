"""Bytes that are no message, and streams that fall silent, as a handler sees them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from symbiont.api.training.v1 import model_pb2
from symbiont.common.errors import DeadlineExceeded, InvalidArgument
from symbiont.common.incoming import MALFORMED, Incoming, checked, tolerant

READ = tolerant(model_pb2.GetModelRequest.FromString)


async def sent(*messages: Any, then: asyncio.Event | None = None) -> AsyncIterator[Any]:
    for message in messages:
        yield message
    if then:
        await then.wait()


def test_a_message_is_read() -> None:
    assert checked(READ(model_pb2.GetModelRequest(name="models/x").SerializeToString())).name == "models/x"


@pytest.mark.parametrize("content", [b"\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe", b"\x0b" * 10_000])
def test_bytes_that_are_no_message(content: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        checked(READ(content))
    assert caught.value.field == "request"


async def test_a_stream_passes_what_comes_and_its_end() -> None:
    assert [message async for message in Incoming(sent(1, 2), 60)] == [1, 2]
    assert await anext(Incoming(sent(), 60), "none") == "none"


async def test_a_stream_ends_with_what_is_no_message() -> None:
    messages = Incoming(sent(1, MALFORMED), 60)
    assert await anext(messages) == 1
    with pytest.raises(InvalidArgument):
        await anext(messages)


async def test_a_silent_stream_ends() -> None:
    messages = Incoming(sent(1, then=asyncio.Event()), 0.01)
    assert await anext(messages) == 1
    with pytest.raises(DeadlineExceeded, match=r"sent nothing for 0\.01 s") as caught:
        await anext(messages)
    assert caught.value.reason == "STREAM_IDLE"
