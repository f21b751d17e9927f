"""One request to a decoupled model, on a gRPC stream of its own.

A stream is never shared: what ends one caller's stream then ends nobody else's. Nor is it cancelled where the model
can be asked to stop, because Triton has died of cancelled streams: the stop is a second request on the same stream,
and the stream is read to its end whether or not the caller is still there.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import grpc
import tritonclient.grpc.aio as triton  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.triton.translate import HostNotLoaded, translate

Request = dict[str, Any]
Probe = Callable[[], Awaitable[None]]
# A model may be silent for longer, with a long prompt or a full queue; then it is asked again and again.
SILENCE_S = 2.0
# The time that a stopped stream has to end in.
STOP_S = 30.0
# Nobody waits that long; it only keeps a stream to a Triton that hangs from living for ever.
_ABANDONED_S = 3600.0


class Streams:
    """The streams of one connection to Triton."""

    def __init__(self, client: triton.InferenceServerClient, url: str) -> None:
        self._client = client
        self._url = url
        self._running: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Number of streams that are open, those whose callers have gone included."""
        return len(self._running)

    async def responses(
        self, request: Request, stop: Request | None, probe: Probe | None = None
    ) -> AsyncGenerator[list[Any], None]:
        """Sends a request and yields its responses, those together that came meanwhile; leaving early stops the work.

        Args:
            stop: the request that stops it; without one, the stream is cancelled.
            probe: called whenever nothing came for a while, to raise where nothing will come any more: Triton says
                nothing to the streams of a model whose process died.

        Raises:
            Unavailable: Triton cannot be reached, or died; or what the model answered instead of a response.
        """
        stream = _Stream(self._client, self._url, request, stop)
        task = self._start(stream.run())
        patience_s = 0.0 if stop is None else STOP_S
        try:
            while not stream.is_read:
                if items := await stream.next(probe):
                    yield items
        except HostNotLoaded:
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
    def __init__(self, client: triton.InferenceServerClient, url: str, request: Request, stop: Request | None) -> None:
        # Whether the end was taken out of the queue, which has each response, then None or an error.
        self.is_read = False
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self._client = client
        self._url = url
        self._request = request
        self._stop = stop
        self._left = asyncio.Event()
        self._ended = False
        self._error: SymbiontError | None = None

    async def next(self, probe: Probe | None) -> list[Any]:
        """Waits for responses and returns those that are there; raises the error that stands in their place."""
        items = [await self._first(probe)]
        while not self._queue.empty():
            items.append(self._queue.get_nowait())
        if items[-1] is None or (isinstance(items[-1], SymbiontError) and len(items) == 1):
            self.is_read = True
        if isinstance(items[-1], SymbiontError):
            if self.is_read:
                raise items[-1]
            self._queue.put_nowait(items[-1])
            return items[:-1]
        return items[:-1] if self.is_read else items

    async def _first(self, probe: Probe | None) -> Any:
        while True:
            try:
                async with asyncio.timeout(SILENCE_S if probe else None):
                    return await self._queue.get()
            except TimeoutError:
                if probe:
                    await probe()

    def leave(self) -> None:
        """Has the work stopped, unless it is over."""
        self._left.set()

    async def run(self) -> None:
        """Reads the stream to its end."""
        try:
            self._queue.put_nowait(await self._read())
        except asyncio.CancelledError:
            self._queue.put_nowait(Unavailable(f"the connection to Triton at {self._url} is closed"))
            raise
        except InferenceServerException as exc:
            self._queue.put_nowait(translate(exc, self._url))
        except grpc.RpcError as exc:
            self._queue.put_nowait(_broken(exc, self._url))
        except grpc.aio.UsageError:
            self._queue.put_nowait(Unavailable(f"the connection to Triton at {self._url} is closed"))
        finally:
            self.leave()

    async def _read(self) -> SymbiontError | None:
        responses = self._client.stream_infer(self._requests(), stream_timeout=_ABANDONED_S)
        try:
            async for result, error in responses:
                # What comes after the end is the answer to a stop, and says nothing.
                if not self._ended:
                    self._take(result, error)
        except asyncio.CancelledError:
            responses.cancel()
            raise
        if self._error is None and not self._ended:
            return Unavailable(f"Triton at {self._url} ended a stream early")
        return self._error

    def _take(self, result: Any, error: InferenceServerException | None) -> None:
        if error is not None:
            self._error = translate(error, self._url)
        elif (response := result.get_response()).id == self._request["request_id"]:
            if response.outputs:
                self._queue.put_nowait(result)
            if not response.parameters["triton_final_response"].bool_param:
                return
        else:
            return
        self._ended = True
        self.leave()

    async def _requests(self) -> AsyncIterator[Request]:
        # Copies: the client fills in what is missing.
        yield dict(self._request)
        await self._left.wait()
        if self._stop is not None and not self._ended:
            yield dict(self._stop)


def _broken(error: grpc.RpcError, url: str) -> SymbiontError:
    return Unavailable(f"Triton at {url} cannot be reached: {error.details() or error.code().name}")
