"""Channels between services: they carry request id and trace on, and turn a peer's status into a domain error once."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.trace import Span, SpanKind

from symbiont.common import errors
from symbiont.common.request_id import METADATA_KEY, current_request_id
from symbiont.common.security.channels import aio_channel
from symbiont.common.security.files import Renewed, Tls
from symbiont.common.tracing import note_status, outgoing, span

# What gRPC's own retry policies read: milliseconds to wait before the next attempt.
PUSHBACK_KEY = "grpc-retry-pushback-ms"

OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # A watch may be silent for hours: without this, pings stop after two and a dead peer goes unnoticed.
    ("grpc.http2.max_pings_without_data", 0),
    # A peer that restarts is back within seconds: do not wait two minutes to look.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Despite its name the time that one attempt to connect may take; a busy machine needs more than 100 ms.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    # A headless Kubernetes Service resolves to every pod: spread calls instead of staying with the first.
    ("grpc.lb_policy_name", "round_robin"),
]

_ERROR_OF: dict[grpc.StatusCode, type[errors.SymbiontError]] = {
    grpc.StatusCode.NOT_FOUND: errors.NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: errors.FailedPrecondition,
    grpc.StatusCode.UNAVAILABLE: errors.Unavailable,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
}


class _Carrying(grpc.aio.UnaryUnaryClientInterceptor):
    """Carries the request id and the trace on, and makes a span of the call where the trace is kept."""

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        with span(_name(client_call_details.method), SpanKind.CLIENT) as own:
            metadata = client_call_details.metadata or grpc.aio.Metadata()
            if identifier := current_request_id():
                metadata.add(METADATA_KEY, identifier)
            for key, value in outgoing().items():
                metadata.add(key, value)
            call = await continuation(client_call_details._replace(metadata=metadata), request)
            if own.is_recording():
                await _note_end(call, own)
            return call


async def _note_end(call: Any, span: Span) -> None:
    """Waits for the status of a call, which a span is to have; the call does not outlive whoever waits."""
    try:
        code = await call.code()
    except asyncio.CancelledError:
        call.cancel()
        raise
    note_status(span, code.value[0], code.name, current_request_id())


def _name(method: str | bytes) -> str:
    return (method.decode() if isinstance(method, bytes) else method).lstrip("/")


def connect(address: str, tls: Tls | Renewed | None = None) -> grpc.aio.Channel:
    """Opens a channel to a service of the suite, with TLS where there are files for it.

    Nothing is sent until the first call.
    """
    return aio_channel(address, OPTIONS, tls, [_Carrying()])


@contextmanager
def translated(peer: str) -> Iterator[None]:
    """Turns the status of a failed call to `peer` into a domain error that names it.

    INVALID_ARGUMENT from a peer is passed on as it is, because the caller's own input caused it.
    """
    try:
        yield
    except grpc.RpcError as exc:
        # Every error of a call has both; the type of one that is not awaited is private.
        if not isinstance(exc, grpc.aio.AioRpcError | grpc.Call):
            raise
        text = exc.details() or exc.code().name
        if exc.code() is grpc.StatusCode.INVALID_ARGUMENT:
            field, _, rest = text.partition(": ")
            raise errors.InvalidArgument(field, rest) from exc
        if exc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise errors.ResourceExhausted(text, retry_after_s=pushback_s(exc)) from exc
        kind = _ERROR_OF.get(exc.code(), errors.SymbiontError)
        if kind is errors.Unavailable:
            text = f"the {peer} service cannot be reached ({text})"
        raise kind(text) from exc


def pushback_s(error: grpc.RpcError) -> float | None:
    """Returns how long a full peer asks to wait, in seconds; None when it says nothing of it."""
    trailing: Any = error.trailing_metadata() or ()
    told = next((value for key, value in trailing if key == PUSHBACK_KEY), None)
    return int(told) / 1000 if isinstance(told, str) and told.isdigit() else None
