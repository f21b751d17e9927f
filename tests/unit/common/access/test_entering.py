"""What one message of a stream names harms no other."""

from collections.abc import AsyncIterator

import pytest

from symbiont.common.access.entering import EnteredStream, Unsayable, each_of, message_of, sayable
from symbiont.common.errors import InvalidArgument, NotFound


def enter(message: str) -> str:
    if message == "~":
        raise InvalidArgument("model", "no name has it", reason="NAME")
    if message == "gone":
        raise NotFound("the stream is over")
    return message.upper()


async def sent(*messages: str) -> AsyncIterator[str]:
    for message in messages:
        yield message


async def test_a_stream_is_read_on_after_a_message_that_cannot_be_said() -> None:
    first, wrong, last = [given async for given in each_of(EnteredStream(sent("a", "~", "b"), enter))]
    assert [sayable(first), message_of(wrong), sayable(last)] == ["A", "~", "B"]
    with pytest.raises(Unsayable, match=r"^model: no name has it$") as caught:
        sayable(wrong)
    assert (caught.value.field, caught.value.reason) == ("model", "NAME")


async def test_who_does_not_answer_each_message_gets_the_error() -> None:
    stream = EnteredStream(sent("a", "~", "b"), enter)
    assert await anext(stream) == "A"
    with pytest.raises(InvalidArgument, match="no name has it"):
        await anext(stream)


async def test_any_other_error_is_the_end() -> None:
    with pytest.raises(NotFound):
        _ = [given async for given in each_of(EnteredStream(sent("gone", "b"), enter))]
