"""The messages of a stream with the names that resources have inside; one that cannot have them harms no other."""

from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from symbiont.common.errors import InvalidArgument


class Unsayable(InvalidArgument):
    """A message names something that its caller cannot say.

    Attributes:
        message: as it came, but for the names before that one: good for its id, not to be acted on.
    """

    def __init__(self, error: InvalidArgument, message: Any) -> None:
        problem = str(error).removeprefix(f"{error.field}: ")
        super().__init__(error.field or "", problem, reason=error.reason)
        self.message = message


class EnteredStream:
    """A stream that can be read on after Unsayable, which is of one message; any other error is its end."""

    def __init__(self, messages: AsyncIterator[Any], enter: Callable[[Any], Any]) -> None:
        self._messages = messages
        self._enter = enter

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        message = await anext(self._messages)
        try:
            return self._enter(message)
        except InvalidArgument as exc:
            raise Unsayable(exc, message) from exc


async def each_of(stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """Yields the messages of a stream that answers each of them, an Unsayable in the place of such a one."""
    while True:
        try:
            yield await anext(stream)
        except StopAsyncIteration:
            return
        except Unsayable as exc:
            yield exc


def message_of(given: Any) -> Any:
    """Returns the message that was sent, to tell its sender which one it was."""
    return given.message if isinstance(given, Unsayable) else given


def sayable(given: Any) -> Any:
    """Returns a message that may be acted on; raises Unsayable where it may not."""
    if isinstance(given, Unsayable):
        raise given
    return given
