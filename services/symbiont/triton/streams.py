"""One request to a decoupled model, on a gRPC stream of its own.

A stream is never shared: what ends one caller's stream then ends nobody else's. Nor is it cancelled where the model
can be asked to stop, because Triton has died of cancelled streams: the stop is a second request on the same stream,
and the stream is read to its end whether or not the caller is still there.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

import grpc
import tritonclient.grpc.aio as triton  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.triton.translate import translate

Request = dict[str, Any]
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

    async def responses(self, request: Request, stop: Request | None) -> AsyncGenerator[list[Any], None]:
        """Sends a request and yields its responses, those together that came meanwhile; leaving early stops the work.

        Args:
            stop: the request that stops it; without one, the stream is cancelled.

        Raises:
            Unavailable: Triton cannot be reached, or died; or what the model answered instead of a response.
        """
        stream = _Stream(self._client, self._url, request, stop)
        task = self._start(stream.run())
        try:
            while True:
                items = [await stream.queue.get()]
                while not stream.queue.empty():
                    items.append(stream.queue.get_nowait())
                # The last item is the end, of one kind or the other.
                over = items.pop() if items[-1] is None or isinstance(items[-1], SymbiontError) else items
                if items:
                    yield items
                if isinstance(over, SymbiontError):
                    raise over
                if over is None:
                    return
        finally:
            stream.leave()
            if stop is None:
                task.cancel()

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
        # Each response, then None; or an error.
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self._client = client
        self._url = url
        self._request = request
        self._stop = stop
        self._left = asyncio.Event()
        self._ended = False
        self._error: SymbiontError | None = None

    def leave(self) -> None:
        """Has the work stopped, unless it is over."""
        self._left.set()

    async def run(self) -> None:
        """Reads the stream to its end."""
        try:
            self.queue.put_nowait(await self._read())
        except asyncio.CancelledError:
            self.queue.put_nowait(Unavailable(f"the connection to Triton at {self._url} is closed"))
            raise
        except InferenceServerException as exc:
            self.queue.put_nowait(translate(exc, self._url))
        except grpc.RpcError as exc:
            self.queue.put_nowait(_broken(exc, self._url))
        except grpc.aio.UsageError:
            self.queue.put_nowait(Unavailable(f"the connection to Triton at {self._url} is closed"))
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
                self.queue.put_nowait(result)
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
