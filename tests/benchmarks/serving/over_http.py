"""The least HTTP/1.1 client that can load a server: POST over connections that stay open."""

import asyncio
from types import TracebackType
from typing import Self


class HttpConnections:
    """So many connections to `host:port`; each carries one call at a time."""

    def __init__(self, address: str, path: str, count: int) -> None:
        self._host, _, port = address.rpartition(":")
        self._port, self._count = int(port), count
        self._head = f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: "
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        for _ in range(self._count):
            self._free.put_nowait(await asyncio.open_connection(self._host, self._port))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        while not self._free.empty():
            self._free.get_nowait()[1].close()

    async def post(self, body: bytes) -> bytes:
        """Sends a body and returns that of the answer; raises ConnectionError unless the status is 200."""
        reader, writer, head = await self._send(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        answer = await _read_body(reader, head)
        if not head.startswith(b"HTTP/1.1 200"):
            raise ConnectionError(f"{head.splitlines()[0].decode()}: {answer[:200]!r}")
        self._free.put_nowait((reader, writer))
        return answer

    async def _send(self, message: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """Sends a message and reads the head of the answer; a connection that the server has closed is replaced."""
        reader, writer = await self._free.get()
        try:
            writer.write(message)
            return reader, writer, await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionResetError):
            # Servers close connections that were idle for seconds, and cannot say so before the next call.
            reader, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(message)
            return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def _read_body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return await reader.readexactly(int(value))
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
