"""One request to a decoupled model, on a gRPC stream of its own.

A stream is never shared: what ends one caller's stream then ends nobody else's. Nor is it cancelled where the model
can be asked to stop, because Triton has died of cancelled streams: the stop is a second request on the same stream,
and the stream is read to its end whether or not the caller is still there. A model whose process died says nothing on
its streams; it is the next renewal that is answered with an error, and so tells the caller.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import grpc
import tritonclient.grpc.aio as triton  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.triton.connection import Connection
from symbiont.triton.translate import HostNotLoaded, translate

Request = dict[str, Any]
# The time that a stopped stream has to end in.
STOP_S = 30.0
# Nobody waits that long; it only keeps a stream to a Triton that hangs from living for ever.
_ABANDONED_S = 3600.0


@dataclass(frozen=True, slots=True)
class Control:
    """The requests by which a model is told to stop a request, and every `renew_s` that its caller is still there."""

    stop: Request
    renewal: Request
    renew_s: float


class Streams:
    """The streams of one connection to Triton."""

    def __init__(self, connection: Connection, url: str) -> None:
        self._connection = connection
        self._url = url
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Number of streams that are open, those whose callers have gone included."""
        return len(self._running)

    async def responses(self, request: Request, control: Control | None) -> AsyncGenerator[list[Any], None]:
        """Sends a request and yields its responses, those together that came meanwhile; leaving early stops the work.

        Args:
            control: how the model is told to stop, and that the caller is still there; without one, the stream is
                cancelled to stop it.

        Raises:
            Unavailable: Triton cannot be reached, or died; or what the model answered instead of a response.
        """
        stream = _Stream(self._connection.client, self._url, request, control)
        task = self._start(stream.run())
        patience_s = STOP_S if control else 0.0
        try:
            while items := await stream.next():
                yield items
        except HostNotLoaded:
            # Triton never ends the streams of a model whose process died.
            patience_s = 0.0
            raise
        finally:
            stream.leave()
            # One that has ended by then is not touched by it.
            asyncio.get_running_loop().call_later(patience_s, task.cancel)

    async def close(self, grace_s: float) -> None:
        """Gives streams that still run `grace_s` to end, then breaks them off."""
        if self._running:
            await asyncio.wait(self._running, timeout=grace_s)
        for task in list(self._running):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


class _Stream:
    def __init__(
        self, client: triton.InferenceServerClient, url: str, request: Request, control: Control | None
    ) -> None:
        # Each response; then None, or an error.
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._client = client
        self._url = url
        self._request = request
        self._control = control
        self._left = asyncio.Event()
        self._ended = False

    async def next(self) -> list[Any]:
        """Waits for responses and returns those that are there, none at the end; raises an error that came."""
        items = [await self._queue.get()]
        while not self._queue.empty():
            items.append(self._queue.get_nowait())
        responses = [item for item in items if item is not None and not isinstance(item, SymbiontError)]
        if responses and len(responses) < len(items):
            # What ended it comes next time.
            self._queue.put_nowait(items[len(responses)])
        elif isinstance(items[0], SymbiontError):
            raise items[0]
        return responses

    def leave(self) -> None:
        """Has the work stopped, unless it is over."""
        self._left.set()

    async def run(self) -> None:
        """Reads the stream to its end."""
        try:
            await self._read()
            self._end(Unavailable(f"Triton at {self._url} ended a stream early"))
        except asyncio.CancelledError:
            self._end(Unavailable(f"the connection to Triton at {self._url} is closed"))
            raise
        except InferenceServerException as exc:
            self._end(translate(exc, self._url))
        except grpc.RpcError as exc:
            self._end(_broken(exc, self._url))
        except grpc.aio.UsageError:
            self._end(Unavailable(f"the connection to Triton at {self._url} is closed"))

    async def _read(self) -> None:
        responses = self._client.stream_infer(self._requests(), stream_timeout=_ABANDONED_S)
        try:
            async for result, error in responses:
                if error is not None:
                    self._end(translate(error, self._url))
                elif result.get_response().id == self._request["request_id"]:
                    self._take(result)
        except asyncio.CancelledError:
            responses.cancel()
            raise

    def _take(self, result: Any) -> None:
        response = result.get_response()
        if response.outputs:
            self._queue.put_nowait(result)
        if response.parameters["triton_final_response"].bool_param:
            self._end(None)

    def _end(self, error: SymbiontError | None) -> None:
        """Ends it for the caller; what comes after that, as the answer to a stop, says nothing."""
        if not self._ended:
            self._ended = True
            self._queue.put_nowait(error)
            self.leave()

    async def _requests(self) -> AsyncIterator[Request]:
        # Copies: the client fills in what is missing.
        yield dict(self._request)
        while not await self._is_left() and self._control:
            yield dict(self._control.renewal)
        if self._control and not self._ended:
            yield dict(self._control.stop)

    async def _is_left(self) -> bool:
        """Waits for the caller to leave, for as long as it need not say that it is there."""
        try:
            async with asyncio.timeout(self._control.renew_s if self._control else None):
                return await self._left.wait()
        except TimeoutError:
            return False


def _broken(error: grpc.RpcError, url: str) -> SymbiontError:
    return Unavailable(f"Triton at {url} cannot be reached: {error.details() or error.code().name}")
