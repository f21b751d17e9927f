"""The one way a Symbiont gRPC service is built, run and stopped."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from symbiont.common.access.access import Access, Unknown
from symbiont.common.access.audit import UNHEARD, Audit, audited
from symbiont.common.calls import Around, WrappingServer
from symbiont.common.errors import FailedPrecondition
from symbiont.common.health import LIVE, NOT_SERVING, SERVING, HealthServicer
from symbiont.common.log import get_logger
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.principal import Anybody, Guard
from symbiont.common.security.listening import Listening
from symbiont.common.settings import ServiceSettings
from symbiont.common.tracing import UNTRACED, Tracing

ANYBODY = Anybody()
HANDSHAKE_MS = 20_000
# Calls that gRPC itself keeps until they are refused with a code: beyond that it cancels them without one.
PENDING = 4096


@dataclass(frozen=True)
class Registration:
    """One gRPC service of a process: its full name, its servicer, and the generated function that joins them."""

    name: str
    servicer: object
    add_to_server: Callable[[Any, grpc.aio.Server], None]


@dataclass
class Lifecycle:
    """Health of a process, and the moment from which it stops: long streams end when `stopping` is set."""

    health: HealthServicer = field(default_factory=HealthServicer)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ready(self) -> bool:
        """Whether the process takes calls and has the peers that it needs for them."""
        return self.health.has_peers and not self.stopping.is_set()


def build_server(
    settings: ServiceSettings,
    metrics: ServiceMetrics,
    lifecycle: Lifecycle,
    services: Sequence[Registration],
    tracing: Tracing = UNTRACED,
    guard: Guard = ANYBODY,
    audit: Audit = UNHEARD,
) -> grpc.aio.Server:
    """Builds a server with limits, health and reflection; it is not started and reports NOT_SERVING."""
    server = grpc.aio.server(
        maximum_concurrent_rpcs=settings.max_concurrent_calls,
        options=[
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            # Each service bounds its answers by what it takes on, and says so by the field at fault.
            ("grpc.max_send_message_length", -1),
            # By itself gRPC refuses, by lot, calls of a burst of more than a thousand.
            ("grpc.server.max_pending_requests", max(PENDING, settings.max_concurrent_calls)),
            ("grpc.server.max_pending_requests_hard_limit", max(PENDING, settings.max_concurrent_calls)),
            # Two processes on one port would each get half of the calls: an address in use is an error instead.
            ("grpc.so_reuseport", 0),
            # Connections that never say what they are for must not keep a file open.
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            # Callers keep idle connections alive with pings; be as patient as they are.
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            *_connection_age(settings.max_connection_age_seconds),
        ],
    )
    around = Around(metrics, tracing, guard, audit, settings.idle_stream_seconds)
    wrapping: Any = WrappingServer(server, around)
    for service in services:
        service.add_to_server(service.servicer, wrapping)
    health_pb2_grpc.add_HealthServicer_to_server(lifecycle.health, wrapping)
    names = [s.name for s in services]
    names += [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME]
    reflecting: Any = reflection_pb2_grpc
    reflecting.add_ServerReflectionServicer_to_server(reflection.aio.ReflectionServicer(names), wrapping)
    return server


def _connection_age(seconds: float) -> list[tuple[str, int]]:
    # Calls on the connection go on for as long as they take: gRPC's grace is without end by itself.
    return [("grpc.max_connection_age_ms", max(1, round(seconds * 1e3)))] if seconds else []


async def run_server(
    settings: ServiceSettings,
    metrics: ServiceMetrics,
    lifecycle: Lifecycle,
    services: Sequence[Registration],
    background: Sequence[AbstractAsyncContextManager[Any]] = (),
    tracing: Tracing = UNTRACED,
    guard: Guard | None = None,
) -> None:
    """Runs a server until SIGTERM or SIGINT, then drains it.

    Args:
        background: entered before the server listens, left after it has stopped.
        guard: says who calls, by default as the settings say; whether they may is a matter of the table of
            `common.access`.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lifecycle.stopping.set)
    async with AsyncExitStack() as stack:
        for part in background:
            await stack.enter_async_context(part)
        listening = Listening(settings)
        await stack.enter_async_context(listening.beside())
        audit = stack.enter_context(audited(settings.audit_root, metrics.service, reads=settings.audit_reads))
        access = Access(guard or listening.guard)
        server = build_server(settings, metrics, lifecycle, services, tracing, access, audit)
        await set_health(lifecycle, services, NOT_SERVING)
        port = listening.listen(server, settings.address)
        listening.show_end(metrics.certificate_not_after, metrics.service)
        if settings.unix_socket:
            stack.enter_context(_listen_on_socket(server, settings.unix_socket))
        await server.start()
        stack.callback(metrics.close)
        metrics_port = metrics.serve(settings.metrics_address, listening.web)
        if settings.health_address:
            await stack.enter_async_context(_health_alone(settings.health_address, metrics, lifecycle))
        await set_health(lifecycle, services, SERVING)
        get_logger().info("serving", port=port, metrics_port=metrics_port)
        await lifecycle.stopping.wait()
        get_logger().info("draining", seconds=settings.drain_seconds)
        await lifecycle.health.enter_graceful_shutdown()
        await server.stop(settings.drain_seconds)
    get_logger().info("stopped")


@asynccontextmanager
async def _health_alone(address: str, metrics: ServiceMetrics, lifecycle: Lifecycle) -> AsyncIterator[None]:
    """Answers health checks on an address of their own, to whoever asks."""
    server = grpc.aio.server()
    wrapping: Any = WrappingServer(server, Around(metrics, guard=Unknown()))
    health_pb2_grpc.add_HealthServicer_to_server(lifecycle.health, wrapping)
    server.add_insecure_port(address)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@contextmanager
def _listen_on_socket(server: grpc.aio.Server, path: Path) -> Iterator[None]:
    """Makes the socket, which only this user may open, in place of one that a killed process left; removes it after.

    Raises:
        FailedPrecondition: what lies there is no socket, or somebody listens on it.
    """
    path = path.absolute()
    if path.exists():
        if not path.is_socket():
            raise FailedPrecondition(f"unix_socket {path} is a file of another kind; name one that is free")
        if _is_served(path):
            raise FailedPrecondition(f"unix_socket {path} is in use by another process")
        path.unlink()
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    finally:
        os.umask(before)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


async def set_health(lifecycle: Lifecycle, services: Sequence[Registration], status: int) -> None:
    """Sets the health of a process and of all its services."""
    for name in ("", LIVE, *(s.name for s in services)):
        await lifecycle.health.set(name, status)
