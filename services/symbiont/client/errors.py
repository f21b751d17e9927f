"""What a failed call raises: one family of exceptions, read from the status that the service sent."""

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from symbiont.common.request_id import METADATA_KEY


class RequestError(Exception):
    """A call that a service refused, or that never reached it.

    Attributes:
        code: the gRPC status code.
        message: what was wrong and what to do about it.
        reason: UPPER_SNAKE word that a program can match; empty when the service sent none.
        field: path of the request field at fault; empty when none is.
        request_id: the id under which the service's log has the call; empty when it never got there.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, *, reason: str = "", field: str = "", request_id: str = ""
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field
        self.request_id = request_id


class InvalidArgumentError(RequestError):
    """The request is wrong whatever the state of the system; `field` says where."""


class NotFoundError(RequestError):
    """A named resource does not exist."""


class AlreadyExistsError(RequestError):
    """An id or a request id is taken by something else."""


class FailedPreconditionError(RequestError):
    """The request is fine, the state of the resource is not."""


class ResourceExhaustedError(RequestError):
    """A limit or a queue is full; the same call may succeed later."""


class UnavailableError(RequestError):
    """A service cannot be reached, also after the retries that the call allows."""


class DeadlineExceededError(RequestError):
    """The call's time ran out."""


_CLASS_OF: dict[grpc.StatusCode, type[RequestError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
}


def error_of(call: grpc.RpcError) -> RequestError:
    """Returns the exception for a failed call, sync or asyncio: both carry code, details and trailing metadata."""
    code = call.code()
    reason, field = _details(call)
    trailing: Any = call.trailing_metadata()
    request_id = next((str(value) for key, value in trailing or () if key == METADATA_KEY), "")
    cls = _CLASS_OF.get(code, RequestError)
    return cls(code, call.details() or code.name, reason=reason, field=field, request_id=request_id)


def closed() -> RequestError:
    """Returns the exception for a call of a client that was closed."""
    return RequestError(grpc.StatusCode.CANCELLED, "the client was closed")


def refusal(number: int, message: str, reason: str, field: str) -> RequestError:
    """Returns the exception for one request of a stream that was refused; `number` is that of its status code."""
    code = next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)
    return _CLASS_OF.get(code, RequestError)(code, message, reason=reason, field=field)


def _details(call: Any) -> tuple[str, str]:
    """Returns reason and field out of `google.rpc.ErrorInfo` and `google.rpc.BadRequest` (AIP-193)."""
    try:
        status: status_pb2.Status | None = rpc_status.from_call(call)
    except ValueError:
        # A proxy on the way may rewrite the code or the text; what stands outside the details is then what counts.
        return "", ""
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status else ():
        detail.Unpack(info)
        detail.Unpack(bad_request)
    violations = bad_request.field_violations
    return info.reason, violations[0].field if violations else ""
