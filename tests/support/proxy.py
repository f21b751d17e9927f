"""A TCP proxy whose connections can be cut off without an end: nothing passes, and nobody is told."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from support.service import free_port


class Proxy:
    """Passes bytes both ways between its address and a target, on an event loop and a thread of its own."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.address = f"127.0.0.1:{free_port()}"
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Event] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Listens."""
        self._thread.start()
        port = int(self.address.rpartition(":")[2])
        starting = asyncio.start_server(self._serve, "127.0.0.1", port)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)

    def stop(self) -> None:
        """Drops every connection."""

        async def end() -> None:
            if self._server:
                self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Transports close one turn of the loop later.
            await asyncio.sleep(0.05)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def block(self) -> int:
        """Cuts off the connections that there are now; returns how many. New ones pass."""
        return self._call(asyncio.Event.clear)

    def release(self) -> int:
        """Lets everything pass again, what was held back first."""
        return self._call(asyncio.Event.set)

    def _call(self, change: object) -> int:
        async def apply() -> int:
            for passes in self._open:
                change(passes)  # type: ignore[operator]
            return len(self._open)

        return asyncio.run_coroutine_threadsafe(apply(), self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passes = asyncio.Event()
        passes.set()
        self._open.add(passes)
        try:
            back_reader, back_writer = await asyncio.open_connection(*self._target)
            ways = [(reader, back_writer), (back_reader, writer)]
            with suppress(OSError):
                await asyncio.gather(*(self._pass(source, sink, passes) for source, sink in ways))
        except (OSError, asyncio.CancelledError):
            writer.close()
        finally:
            self._open.discard(passes)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, passes: asyncio.Event) -> None:
        try:
            while data := await source.read(1 << 16):
                await passes.wait()
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()


@contextmanager
def proxy(target: str) -> Iterator[Proxy]:
    """A proxy to a target, for as long as the block lasts."""
    made = Proxy(target)
    made.start()
    try:
        yield made
    finally:
        made.stop()
