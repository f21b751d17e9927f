"""Runs one Triton as a child process for as long as a block lasts: for tests, benchmarks and scripts."""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from symbiont.common.errors import Unavailable
from symbiont.common.security.files import Renewed, Tls
from symbiont.triton.client import is_server_ready
from symbiont.triton.connection import TritonTls
from symbiont.triton.installation import TritonInstallation
from symbiont.triton.launcher import clear_shared_memory, command

_POLL_S = 0.05


class TritonServer:
    """A Triton that starts empty, on free loopback ports that it keeps over restarts."""

    def __init__(
        self, installation: TritonInstallation, work_dir: Path, tracing_url: str = "", tls: Tls | None = None
    ) -> None:
        """`tls` is what it listens with, and by which it is asked whether it is ready; None for neither."""
        self._installation = installation
        self._tracing_url = tracing_url
        self._tls = tls
        self._work_dir = work_dir
        self.grpc_port, self.http_port, self.metrics_port = free_ports(3)
        self.log_file = work_dir / "triton.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where its gRPC service listens."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def pid(self) -> int | None:
        """Its process, if it was started."""
        return self._process.pid if self._process else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # It holds nothing that is to be kept, and asked to end it takes three seconds.
        await self.kill()

    async def start(self, timeout_s: float = 60.0) -> None:
        """Starts it and waits until it answers.

        Raises:
            Unavailable: it ended, or was not ready in time; its log says why.
        """
        argv, env = command(
            self._installation,
            grpc_port=self.grpc_port,
            http_port=self.http_port,
            metrics_port=self.metrics_port,
            work_dir=self._work_dir,
            tracing_url=self._tracing_url,
            tls=self._tls,
        )
        connection = TritonTls(Renewed(self._tls)) if self._tls else None
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *argv, env=env, stdout=log, stderr=log, start_new_session=True
            )
        try:
            async with asyncio.timeout(timeout_s):
                while not await is_server_ready(self.url, connection):
                    if self._process.returncode is not None:
                        raise Unavailable(f"Triton ended with status {self._process.returncode}; see {self.log_file}")
                    await asyncio.sleep(_POLL_S)
        except asyncio.CancelledError:
            # Nobody will leave the block that was never entered.
            await self.kill()
            raise
        except TimeoutError as exc:
            await self.stop()
            raise Unavailable(f"Triton was not ready after {timeout_s:g} s; see {self.log_file}") from exc

    async def stop(self, grace_s: float = 10.0) -> None:
        """Asks it to end, and after `grace_s` kills it; harmless when it does not run."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
            await self.kill()

    async def kill(self) -> None:
        """Ends it as a crash would, if it still runs, and clears up behind it."""
        if self._process is not None:
            # The group is Triton's own; the processes of its models, which would outlive it, are in it too.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()
            clear_shared_memory(self.grpc_port)


def free_ports(count: int) -> list[int]:
    """Returns different loopback ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [found.getsockname()[1] for found in sockets]
    finally:
        for found in sockets:
            found.close()
