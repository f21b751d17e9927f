"""What happens around every RPC: it gets a request id, it is counted, and its errors become status codes."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status
from opentelemetry.trace import Span
from prometheus_client import Histogram
from typing_extensions import override

from symbiont.common import errors
from symbiont.common.access.audit import UNHEARD, Audit
from symbiont.common.access.entering import EnteredStream
from symbiont.common.access.naming import asked_in, entered, left, named_in
from symbiont.common.access.views import INSIDE, TEXT, current_view
from symbiont.common.channel import PUSHBACK_KEY
from symbiont.common.exemplars import exemplar_of
from symbiont.common.incoming import Incoming, checked, tolerant
from symbiont.common.log import get_logger
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.principal import Anybody, Guard, admit
from symbiont.common.request_id import METADATA_KEY, accept_request_id, current_request_id
from symbiont.common.tracing import UNTRACED, Tracing, note_status

Context = grpc.aio.ServicerContext[Any, Any]

STATUS_OF: dict[type[errors.SymbiontError], grpc.StatusCode] = {
    errors.SymbiontError: grpc.StatusCode.INTERNAL,
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TenantShredded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    # Stored bytes do not fit: the caller's request is fine, the state is not.
    errors.IntegrityError: grpc.StatusCode.FAILED_PRECONDITION,
}

# A status stands in trailers, of which gRPC takes 8 KiB: its text three times, there escaped and here in base64.
MAX_TEXT_BYTES = 1000


class Around(NamedTuple):
    """What every call of a process goes through."""

    metrics: ServiceMetrics
    tracing: Tracing = UNTRACED
    guard: Guard = Anybody()
    audit: Audit = UNHEARD
    idle_stream_s: float = 600.0


class WrappingServer:
    """What generated code adds services to: it adds them to a server, with all that happens around their calls.

    Each method is wrapped once. Interceptors of gRPC do the same anew at every call: three of them took 50 microseconds
    of each, as much as the work of a short one, and one that keeps its wrappers still 20.
    """

    def __init__(self, server: grpc.aio.Server, around: Around) -> None:
        self._server = server
        self._around = around

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Adds the methods of a service."""
        wrapped = [_WrappedHandlers(handler, self._around) for handler in handlers]
        self._server.add_generic_rpc_handlers(wrapped)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds nothing: generated code gives the same methods to `add_generic_rpc_handlers` too."""


class _WrappedHandlers(grpc.GenericRpcHandler):
    """The methods of a service, wrapped."""

    def __init__(self, handlers: grpc.GenericRpcHandler, around: Around) -> None:
        self._handlers = handlers
        self._around = around
        self._wrapped: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        method = handler_call_details.method
        if wrapped := self._wrapped.get(method):
            return wrapped
        handler = self._handlers.service(handler_call_details)
        if handler is None:
            return None
        return self._wrapped.setdefault(method, _wrap(handler, _Calls(method, self._around)))


class _Begun(NamedTuple):
    """A call that is being served: since when, its span, the exemplar of its time, and what it is about."""

    at: float
    span: Span
    exemplar: Mapping[str, str] | None
    about: list[str]


class _Calls:
    """The calls of one method."""

    def __init__(self, method: str, around: Around) -> None:
        metrics = around.metrics
        self._method = method
        self._tracing = around.tracing
        self._guard = around.guard
        self._audit = around.audit
        self._idle_stream_s = around.idle_stream_s
        self._labels = metrics.service, method.rpartition("/")[2]
        self._seconds = metrics.rpc_seconds
        self._started = metrics.rpc_started.labels(*self._labels)
        self._in_flight = 0
        # Asked for when it is scraped: cheaper than a gauge that every call moves twice.
        metrics.rpc_in_flight.labels(*self._labels).set_function(lambda: self._in_flight)
        self._ended: dict[grpc.StatusCode, Histogram] = {}

    def begin(self, context: Context) -> _Begun:
        """Takes or makes the request id, counts the call and begins its span."""
        metadata = context.invocation_metadata() or ()
        identifier = accept_request_id(metadata, self._method)
        context.set_trailing_metadata(((METADATA_KEY, identifier),))
        self._started.inc()
        self._in_flight += 1
        span = self._tracing.served(self._method, metadata)
        return _Begun(time.perf_counter(), span, exemplar_of(metadata, span), [])

    def admit(self, begun: _Begun, request: Any, context: Context) -> None:
        """Lets a call on, or raises why not; what a message asked for then goes on record."""
        try:
            admit(self._guard, self._method, context)
        except errors.SymbiontError:
            begun.about.extend(asked_in(current_view(), request))
            raise

    def enter(self, begun: _Begun, request: Any) -> Any:
        """Returns a message with the names that resources have inside; raises InvalidArgument where it is none."""
        request = entered(current_view(), checked(request))
        if not begun.about and self._audit.hears(self._method):
            begun.about.extend(named_in(request))
        return request

    def enter_each(self, begun: _Begun, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Returns the messages of a stream as `enter` returns them, and ends one that falls silent.

        It may be read on after a message with a name that its caller cannot say: see EnteredStream.
        """
        incoming = Incoming(requests, self._idle_stream_s)
        if current_view() is INSIDE and not self._audit.hears(self._method):
            return incoming
        return EnteredStream(incoming, lambda request: self.enter(begun, request))

    def end(self, begun: _Begun, code: grpc.StatusCode) -> None:
        """Counts the end of a call, and ends its span."""
        self._in_flight -= 1
        ended = self._ended.get(code)
        if ended is None:
            ended = self._ended[code] = self._seconds.labels(*self._labels, code.name)
        ended.observe(time.perf_counter() - begun.at, begun.exemplar)  # type: ignore[arg-type]  # it only reads
        self._audit.ended(self._method, begun.about, code.name)
        note_status(begun.span, code.value[0], code.name, current_request_id())
        begun.span.end()

    async def fail(self, begun: _Begun, context: Context, error: BaseException) -> None:
        """Counts a call that ends in an error, and raises what gRPC makes a status of."""
        code = grpc.StatusCode.CANCELLED
        try:
            if isinstance(error, asyncio.CancelledError | GeneratorExit):
                raise error
            if isinstance(error, grpc.aio.AbortError):
                code = _status_code(context)
                raise error
            try:
                await _abort(context, error)
            finally:
                code = _status_code(context)
        finally:
            self.end(begun, code)


def _wrap(handler: Any, calls: _Calls) -> "grpc.RpcMethodHandler[Any, Any]":
    streams = handler.response_streaming
    shape = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if streams else 'unary'}"
    inner = getattr(handler, shape)
    enter = calls.enter_each if handler.request_streaming else calls.enter

    async def respond(request: Any, context: Context) -> Any:
        begun = calls.begin(context)
        try:
            calls.admit(begun, request, context)
            response = left(current_view(), await inner(enter(begun, request), context))
        except BaseException as exc:  # noqa: BLE001, it raises
            await calls.fail(begun, context, exc)
        else:
            calls.end(begun, grpc.StatusCode.OK)
            return response

    async def respond_stream(request: Any, context: Context) -> AsyncIterator[Any]:
        begun = calls.begin(context)
        try:
            calls.admit(begun, request, context)
            view = current_view()
            async with aclosing(inner(enter(begun, request), context)) as responses:
                async for response in responses:
                    yield left(view, response)
        except BaseException as exc:  # noqa: BLE001, it raises
            await calls.fail(begun, context, exc)
        else:
            calls.end(begun, grpc.StatusCode.OK)

    make: Any = getattr(grpc, f"{shape}_rpc_method_handler")
    wrapped: grpc.RpcMethodHandler[Any, Any] = make(
        respond_stream if streams else respond, tolerant(handler.request_deserializer), handler.response_serializer
    )
    return wrapped


def status_code(error: errors.SymbiontError) -> grpc.StatusCode:
    """Returns the status code of a domain error: that of the nearest class in the table."""
    return next(STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF)


async def _abort(context: Context, error: BaseException) -> None:
    """Ends a call with a domain error's status, or with INTERNAL and a fixed text for any other error.

    A status carries `google.rpc.ErrorInfo` with the reason, `google.rpc.BadRequest` when a field is at fault, and
    `google.rpc.RetryInfo` when the caller should come back later, as AIP-193 asks; the trace of an unknown error goes
    to the log and never to the caller.
    """
    request_id = current_request_id()
    pushback: tuple[tuple[str, str], ...] = ()
    if isinstance(error, errors.SymbiontError) and type(error) is not errors.SymbiontError:
        # Not the text: it may repeat what the caller sent.
        get_logger().info("refused", reason=error.reason, field=error.place)
        code, text = status_code(error), _bounded(current_view().leave(TEXT, str(error)))
        details = _details(error, text)
        if isinstance(error, errors.ResourceExhausted) and error.retry_after_s is not None:
            pushback = ((PUSHBACK_KEY, str(round(1000 * error.retry_after_s))),)
    else:
        get_logger().error("unexpected error", exc_info=error)
        code, text = grpc.StatusCode.INTERNAL, f"internal error; the log has it under request id {request_id}"
        details = [error_details_pb2.ErrorInfo(reason="INTERNAL", domain="symbiont")]
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    status = rpc_status.to_status(status_pb2.Status(code=code_pb2.Code.Value(code.name), message=text, details=packed))
    await context.abort(code, text, (*(status.trailing_metadata or ()), *pushback, (METADATA_KEY, request_id)))


def _bounded(text: str) -> str:
    """Returns a text that its reader gets: a longer one, which repeats what a caller sent, would be lost whole."""
    encoded = text.encode()
    return text if len(encoded) <= MAX_TEXT_BYTES else encoded[:MAX_TEXT_BYTES].decode(errors="ignore") + "…"


def _details(error: errors.SymbiontError, text: str) -> list[Any]:
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=error.reason, domain="symbiont")]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=text)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.ResourceExhausted) and error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(1000 * error.retry_after_s))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return details


def _status_code(context: Context) -> grpc.StatusCode:
    """Returns the status set on a context; grpc.aio gives it as a number."""
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return next((c for c in grpc.StatusCode if c.value[0] == code), grpc.StatusCode.UNKNOWN)
