"""What happens around every RPC: it gets a request id, it is counted, and its errors become status codes."""

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import structlog
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status
from typing_extensions import override

from symbiont.common import errors
from symbiont.common.log import get_logger
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.request_id import METADATA_KEY, accept_request_id

Context = grpc.aio.ServicerContext[Any, Any]

STATUS_OF: dict[type[errors.SymbiontError], grpc.StatusCode] = {
    errors.SymbiontError: grpc.StatusCode.INTERNAL,
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    # Stored bytes do not fit: the caller's request is fine, the state is not.
    errors.IntegrityError: grpc.StatusCode.FAILED_PRECONDITION,
}


class AroundInterceptor(grpc.aio.ServerInterceptor):
    """Runs every RPC, of whatever shape, inside one async context manager."""

    @abstractmethod
    def around(self, method: str, context: Context) -> AbstractAsyncContextManager[None]:
        """Returns what to run an RPC in. `method` is its full path, `/package.Service/Method`."""

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method

        async def respond(request: Any, context: Context) -> Any:
            async with self.around(method, context):
                return await inner(request, context)

        async def respond_stream(request: Any, context: Context) -> AsyncIterator[Any]:
            async with self.around(method, context):
                async for response in inner(request, context):
                    yield response

        streams = handler.response_streaming
        shape = f"{'stream' if handler.request_streaming else 'unary'}_{'stream' if streams else 'unary'}"
        inner = getattr(handler, shape)
        make: Any = getattr(grpc, f"{shape}_rpc_method_handler")
        wrapped: grpc.RpcMethodHandler[Any, Any] = make(
            respond_stream if streams else respond, handler.request_deserializer, handler.response_serializer
        )
        return wrapped


class RequestIdInterceptor(AroundInterceptor):
    """Takes or makes the request id, puts it into every log line, and sends it back."""

    @override
    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        identifier = accept_request_id(context.invocation_metadata() or ())
        context.set_trailing_metadata(((METADATA_KEY, identifier),))
        with structlog.contextvars.bound_contextvars(request_id=identifier, rpc=method):
            yield


class MetricsInterceptor(AroundInterceptor):
    """Counts and times RPCs by method and status code."""

    def __init__(self, metrics: ServiceMetrics) -> None:
        self._metrics = metrics

    @override
    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        metrics, rpc = self._metrics, method.rpartition("/")[2]
        metrics.rpc_started.labels(metrics.service, rpc).inc()
        in_flight = metrics.rpc_in_flight.labels(metrics.service, rpc)
        in_flight.inc()
        started = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except BaseException:
            code = _status_code(context)
            raise
        finally:
            in_flight.dec()
            metrics.rpc_seconds.labels(metrics.service, rpc, code.name).observe(time.perf_counter() - started)


class ErrorInterceptor(AroundInterceptor):
    """Turns domain errors into statuses, and anything else into INTERNAL with a fixed text.

    A status carries `google.rpc.ErrorInfo` with the reason, and `google.rpc.BadRequest` when a field is at fault, as
    AIP-193 asks; the trace of an unknown error goes to the log and never to the caller.
    """

    @override
    @asynccontextmanager
    async def around(self, method: str, context: Context) -> AsyncIterator[None]:
        try:
            yield
        except (grpc.aio.AbortError, asyncio.CancelledError, GeneratorExit):
            raise
        except errors.SymbiontError as exc:
            if type(exc) is errors.SymbiontError:
                await self._abort_unexpected(context)
            # Not the text: it may repeat what the caller sent.
            get_logger().info("refused", reason=exc.reason, field=exc.field)
            await _abort(context, status_code(exc), str(exc), exc.reason, exc.field)
        except Exception:  # noqa: BLE001, the last line of defence: whatever it is must not reach the caller
            await self._abort_unexpected(context)

    async def _abort_unexpected(self, context: Context) -> None:
        get_logger().exception("unexpected error")
        identifier = structlog.contextvars.get_contextvars().get("request_id", "")
        text = f"internal error; the log has it under request id {identifier}"
        await _abort(context, grpc.StatusCode.INTERNAL, text, "INTERNAL", None)


def status_code(error: errors.SymbiontError) -> grpc.StatusCode:
    """Returns the status code of a domain error: that of the nearest class in the table."""
    return next(STATUS_OF[cls] for cls in type(error).__mro__ if cls in STATUS_OF)


async def _abort(context: Context, code: grpc.StatusCode, text: str, reason: str, field: str | None) -> None:
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=reason, domain="symbiont")]
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    packed = [any_pb2.Any() for _ in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    status = rpc_status.to_status(status_pb2.Status(code=code_pb2.Code.Value(code.name), message=text, details=packed))
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    trailing = (*(status.trailing_metadata or ()), (METADATA_KEY, request_id))
    await context.abort(code, text, trailing)


def _status_code(context: Context) -> grpc.StatusCode:
    """Returns the status set on a context; grpc.aio gives it as a number."""
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return next((c for c in grpc.StatusCode if c.value[0] == code), grpc.StatusCode.UNKNOWN)
