"""The load generator: a process of its own for each server, one design for all.

A call's bytes are made before the clock starts and its answer is read after it stopped: what is measured is the server,
with as little of the client as asyncio allows. What the client itself costs is counted apart.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Self

from serving.over_http import HttpConnections
from serving.processes import cpu_seconds

Ask = Callable[[bytes], Awaitable[bytes]]
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True)
class Target:
    """Where calls go: the method of a gRPC service, or the path of an HTTP server that takes JSON by POST."""

    protocol: str
    address: str
    path: str


@dataclass(frozen=True)
class Load:
    """One measurement. `parts` are the processes of the server, by what they do; their CPU is counted."""

    target: Target
    bodies: Sequence[bytes]
    concurrency: int
    warmup: int
    parts: Mapping[str, Sequence[int]]


@dataclass
class Outcome:
    """What came of it. Latencies are seconds, in the order of the calls; CPU is seconds by part."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    replies: list[bytes] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    client_cpu: float = 0.0
    failure: str = ""

    def percentile(self, share: float) -> float:
        """Returns a percentile of the latency, in milliseconds."""
        ordered = sorted(self.latencies)
        return 1e3 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class LoadClient:
    """A load generator in a process of its own, for as long as a block lasts."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()

    def run(self, load: Load) -> Outcome:
        """Measures; a server that fails is told in the outcome."""
        self._pipe.send(load)
        outcome: Outcome = self._pipe.recv()
        return outcome


def _serve(pipe: Connection) -> None:
    import uvloop

    while True:
        load: Load = pipe.recv()
        try:
            outcome = uvloop.run(_measure(load))
        except Exception as exc:  # noqa: BLE001 - whatever the server did is the finding
            while isinstance(exc, ExceptionGroup):
                exc = exc.exceptions[0]
            outcome = Outcome(failure=f"{type(exc).__name__}: {exc}"[:300])
        pipe.send(outcome)


async def _measure(load: Load) -> Outcome:
    if load.target.protocol == "grpc":
        import grpc

        async with grpc.aio.insecure_channel(load.target.address, options=OPTIONS) as channel:
            # No serializers: bytes go out and come in as they are.
            return await _run(load, channel.unary_unary(load.target.path))
    async with HttpConnections(load.target.address, load.target.path, load.concurrency) as connections:
        return await _run(load, connections.post)


async def _run(load: Load, ask: Ask) -> Outcome:
    await _drive(ask, load.bodies[: load.warmup], load.concurrency)
    before = {part: cpu_seconds(pids) for part, pids in load.parts.items()}
    own, started = time.process_time(), time.perf_counter()
    latencies, replies = await _drive(ask, load.bodies, load.concurrency)
    seconds, client_cpu = time.perf_counter() - started, time.process_time() - own
    cpu = {part: cpu_seconds(pids) - before[part] for part, pids in load.parts.items()}
    return Outcome(seconds, latencies, replies, cpu, client_cpu)


async def _drive(ask: Ask, bodies: Sequence[bytes], concurrency: int) -> tuple[list[float], list[bytes]]:
    """Keeps `concurrency` calls in flight until all bodies are sent; returns latencies and replies in their order."""
    latencies, replies = [0.0] * len(bodies), [b""] * len(bodies)
    left = iter(range(len(bodies)))

    async def caller() -> None:
        for index in left:
            started = time.perf_counter()
            replies[index] = await ask(bodies[index])
            latencies[index] = time.perf_counter() - started

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(caller())
    return latencies, replies
