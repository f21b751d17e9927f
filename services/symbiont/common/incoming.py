"""What comes in, made safe for handlers: bytes that are no message, and streams that fall silent."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any, Self

from google.protobuf.message import DecodeError

from symbiont.common.errors import DeadlineExceeded, InvalidArgument


class Malformed:
    """Stands for bytes that are no message: what a deserializer raises, gRPC makes INTERNAL of."""


MALFORMED = Malformed()


def tolerant(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Returns a deserializer that gives `MALFORMED` for what it cannot read."""

    def read(content: bytes) -> Any:
        try:
            return deserialize(content)
        except (DecodeError, ValueError, RecursionError):
            return MALFORMED

    return read


def checked(message: Any) -> Any:
    """Returns a message that was read.

    Raises:
        InvalidArgument: it was none.
    """
    if message is MALFORMED:
        raise InvalidArgument("request", "the bytes are no message of this method, or one nested too deeply")
    return message


class Incoming:
    """The messages of a caller's stream.

    Raises on the way:
        InvalidArgument: one is no message.
        DeadlineExceeded: none has come for `idle_s` seconds while one was waited for, so that a caller who sends
            nothing does not keep its place.
    """

    def __init__(self, stream: AsyncIterable[Any], idle_s: float) -> None:
        self._stream = stream
        # Only once it is read: gRPC complains of an iterator that a refused call leaves unused.
        self._messages: AsyncIterator[Any] | None = None
        self._idle_s = idle_s

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._messages is None:
            self._messages = aiter(self._stream)
        try:
            async with asyncio.timeout(self._idle_s):
                message = await anext(self._messages)
        except TimeoutError as exc:
            problem = f"the stream has sent nothing for {self._idle_s:g} s; open another when there is more to send"
            raise DeadlineExceeded(problem, reason="STREAM_IDLE") from exc
        return checked(message)
