"""Streams of messages to a service: what makes them fails as itself, and asyncio hears what the service says.

grpc.aio loses the status of a service that refuses while it is still sent to, and takes an error of the caller's own
for a cancelled task. So the asyncio client sends over plain channels, whose threads are joined to its loop here.
"""

# The classes of grpc are generic in their stubs only.
from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import grpc
from typing_extensions import override

from symbiont.client.errors import error_of

T = TypeVar("T")
Req = TypeVar("Req")
Res = TypeVar("Res")
# Made, or read, before it is asked for: as many as keep both sides at work.
AHEAD = 1
Metadata = tuple[tuple[str, str], ...]


class _End:
    """Stands behind the last of them."""


@dataclass(frozen=True)
class _Raised:
    """Stands for one that could not be made."""

    error: Exception


class Kept(Iterator[T]):
    """Messages that keep what their maker raised, of which grpc says only that something was."""

    def __init__(self, messages: Iterable[T]) -> None:
        self._messages = iter(messages)
        self._error: Exception | None = None

    @override
    def __next__(self) -> T:
        try:
            return next(self._messages)
        except StopIteration:
            raise
        except Exception as exc:
            self._error = exc
            raise

    @contextmanager
    def raised_first(self) -> Iterator[None]:
        """Raises what was kept, in place of what grpc makes of it."""
        try:
            yield
        except grpc.RpcError:
            if self._error is not None:
                raise self._error from None
            raise


class Pumped(Iterator[T]):
    """Messages that are made in the loop and taken by a thread of grpc's. Belongs to the loop; `end` it."""

    def __init__(self, messages: AsyncIterable[T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._made: SimpleQueue[T | _Raised | _End] = SimpleQueue()
        self._room = asyncio.Semaphore(AHEAD)
        self._task = self._loop.create_task(self._pump(messages), name="messages")

    @override
    def __next__(self) -> T:
        made = self._made.get()
        if isinstance(made, _End):
            raise StopIteration
        if isinstance(made, _Raised):
            raise made.error
        _in_loop(self._loop, self._room.release)
        return made

    async def end(self) -> None:
        """Ends them where they are, also for a thread that waits for the next one."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._made.put(_End())

    async def _pump(self, messages: AsyncIterable[T]) -> None:
        try:
            async for message in messages:
                self._made.put(message)
                await self._room.acquire()
        except Exception as exc:  # noqa: BLE001, whoever takes the messages raises it
            self._made.put(_Raised(exc))
        finally:
            self._made.put(_End())
            if isinstance(messages, AsyncGenerator):
                await messages.aclose()


class _Answers(Generic[T]):
    """Answers that a thread of their own reads, for the loop to take."""

    def __init__(self, call: Iterable[T]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._read: asyncio.Queue[T | _Raised | _End] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        # Of nobody's pool: a stream may be open for hours. It ends with the call.
        threading.Thread(target=self._run, name="answers", daemon=True).start()

    async def take(self) -> T | _End:
        """Returns the next one; raises what the call does."""
        read = await self._read.get()
        self._room.release()
        if isinstance(read, _Raised):
            raise read.error
        return read

    def end(self) -> None:
        """Lets go of the thread, once the call is cancelled."""
        self._room.release()

    def _run(self) -> None:
        try:
            for answer in self._call:
                self._tell(answer)
                self._room.acquire()
        except Exception as exc:  # noqa: BLE001, `take` raises it
            self._tell(_Raised(exc))
        else:
            self._tell(_End())

    def _tell(self, read: T | _Raised | _End) -> None:
        _in_loop(self._loop, self._read.put_nowait, read)


async def sent(
    method: grpc.StreamUnaryMultiCallable[Req, Res], messages: Iterable[Req] | AsyncIterable[Req], metadata: Metadata
) -> Res:
    """Sends messages with a method of a plain stub, and returns its answer; whoever is cancelled cancels the call.

    Raises:
        grpc.RpcError: the call failed.
    """
    pumped = Pumped(messages) if isinstance(messages, AsyncIterable) else None
    kept = Kept(messages if isinstance(messages, Iterable) else pumped or ())
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    try:
        call = method.future(kept, metadata=metadata)
        call.add_done_callback(lambda _: _in_loop(loop, over.set))
        try:
            await over.wait()
        finally:
            call.cancel()
        with kept.raised_first():
            return call.result()
    finally:
        if pumped:
            await pumped.end()


async def exchanged(
    method: grpc.StreamStreamMultiCallable[Req, Res], messages: AsyncIterable[Req], metadata: Metadata
) -> AsyncGenerator[Res, None]:
    """Sends messages with a method of a plain stub, and yields what is answered; close it, and the call ends.

    Raises:
        RequestError: the call failed.
    """
    pumped = Pumped(messages)
    kept = Kept(pumped)
    try:
        call = method(kept, metadata=metadata)
        answers = _Answers(call)
        try:
            with kept.raised_first():
                while not isinstance(answer := await answers.take(), _End):
                    yield answer
        except grpc.RpcError as exc:
            raise error_of(exc) from None
        finally:
            call.cancel()
            answers.end()
    finally:
        await pumped.end()


def _in_loop(loop: asyncio.AbstractEventLoop, told: Callable[..., object], *arguments: Any) -> None:
    # It may be closed by the time that grpc lets go of a call.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(told, *arguments)
