"""A process that works for a call, seen from the service: a fork where there is a fork server, else a program."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from symbiont.training.fork_server import MAX_MESSAGE, PROGRAMS, Forked, ForkServer

# More than a step of a trial takes, as a rule.
STOP_SECONDS = 3.0
# A plan, or a report, is one line.
MAX_LINE = 1 << 26


class Process:
    """One process: what it says, and how it ends."""

    def __init__(self, pid: int, lines: asyncio.StreamReader, ended: "asyncio.Task[int | None]") -> None:
        self.pid = pid
        self._lines = lines
        self._ended = ended

    async def said(self) -> AsyncIterator[dict[str, Any]]:
        """Yields the objects that it prints, until it ends."""
        async for line in self._lines:
            yield json.loads(line)

    async def status(self) -> int | None:
        """Returns its exit status once it has ended, negative for a signal; None where nobody is left to know it."""
        return await asyncio.shield(self._ended)

    async def end(self) -> None:
        """Ends it, with a moment to remove what it has stored."""
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.status(), STOP_SECONDS)
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.status()

    def _signal(self, number: signal.Signals) -> None:
        if not self._ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


async def start(
    fork_server: ForkServer | None, program: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
) -> Process:
    """Starts one of PROGRAMS with these arguments and variables alone; its errors go to `log`.

    Raises:
        Unavailable: the fork server was asked, and has not answered.
    """
    reading, writing = os.pipe()
    lines = asyncio.StreamReader(limit=MAX_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(reading, "rb"))
    try:
        with log.open("wb") as errors:
            pid, ended = await _run(fork_server, program, arguments, environment, writing, errors.fileno())
    finally:
        os.close(writing)
    return Process(pid, lines, ended)


async def _run(
    fork_server: ForkServer | None,
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: int,
    errors: int,
) -> "tuple[int, asyncio.Task[int | None]]":
    loop = asyncio.get_running_loop()
    if fork_server:
        forking = loop.run_in_executor(None, fork_server.fork, program, arguments, environment, output, errors)
        try:
            forked = await asyncio.shield(forking)
        except asyncio.CancelledError:
            # Whoever asked has left: so does what was asked for.
            if forked := await forking:
                os.kill(forked.pid, signal.SIGKILL)
                forked.connection.close()
            raise
        if forked:
            return forked.pid, loop.create_task(_status(forked))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", PROGRAMS[program].removesuffix(".__main__"), *arguments),
        stdin=DEVNULL,
        stdout=output,
        stderr=errors,
        env=dict(environment),
    )
    return process.pid, loop.create_task(process.wait())


async def _status(forked: Forked) -> int | None:
    with forked.connection as connection:
        connection.setblocking(False)
        said = await asyncio.get_running_loop().sock_recv(connection, MAX_MESSAGE)
    return int(json.loads(said)["status"]) if said else None
