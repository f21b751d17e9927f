"""Where the services are, how long a call may take, and the shapes that calls of both clients share."""

import os
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import grpc
from grpc_health.v1 import health_pb2

from symbiont.client.errors import UnavailableError, error_of
from symbiont.common import channel
from symbiont.common.principal import METADATA_KEY as PRINCIPAL_KEY
from symbiont.common.principal import TENANT_KEY
from symbiont.common.request_id import METADATA_KEY
from symbiont.common.tracing import outgoing

OPTIONS = channel.OPTIONS


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the services, `host:port`, or `unix:/path` of a service's socket.

    By default those that `SYMBIONT_TRAINING_ADDRESS`, `SYMBIONT_INFERENCE_ADDRESS` and `SYMBIONT_TOKENIZATION_ADDRESS`
    name, else the ports that `symbiont up` takes when they are free.
    """

    training: str = field(default_factory=lambda: os.environ.get("SYMBIONT_TRAINING_ADDRESS", "127.0.0.1:50052"))
    inference: str = field(default_factory=lambda: os.environ.get("SYMBIONT_INFERENCE_ADDRESS", "127.0.0.1:50053"))
    tokenization: str = field(
        default_factory=lambda: os.environ.get("SYMBIONT_TOKENIZATION_ADDRESS", "127.0.0.1:50051")
    )


@dataclass(frozen=True)
class Limits:
    """Times of a client's calls, in seconds.

    Attributes:
        timeout: one try of a call; a registration gets ten minutes, an upload and a watch have no limit.
        patience: how long after its first failure an idempotent call is sent again, after UNAVAILABLE or when a full
            service has said when to return.
        watch_patience: how long a watch, or a log that is followed, looks for a service that went away; longer, because
            a restart takes a while.
    """

    timeout: float = 60.0
    patience: float = 10.0
    watch_patience: float = 120.0


@dataclass(frozen=True)
class Caller:
    """Who a client says that it is.

    Attributes:
        principal: the name of who calls; services that know callers believe it of those that run the suite.
        tenant: in whose place an operator acts; empty for nobody's.
    """

    principal: str = ""
    tenant: str = ""

    @classmethod
    def find(cls, principal: str | None = None, tenant: str | None = None) -> Self:
        """Returns the caller given; what is None is as `SYMBIONT_PRINCIPAL` and `SYMBIONT_TENANT` say."""
        return cls(
            os.environ.get("SYMBIONT_PRINCIPAL", "") if principal is None else principal,
            os.environ.get("SYMBIONT_TENANT", "") if tenant is None else tenant,
        )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the metadata of one call: a fresh request id, which the services log and send back, who calls, and
        the caller's trace, if it is in one."""
        said = ((PRINCIPAL_KEY, self.principal), (TENANT_KEY, self.tenant))
        return ((METADATA_KEY, uuid.uuid4().hex), *(item for item in said if item[1]), *outgoing().items())


class Paged(Protocol):
    """A request of a List method."""

    page_token: str


class Page(Protocol):
    """A response of a List method."""

    next_page_token: str


def rpc_of(request: Any) -> str:
    """Returns what the span of a call is named by: package and method of the request's message."""
    package, _, name = request.DESCRIPTOR.full_name.rpartition(".")
    return f"{package}/{name.removesuffix('Request')}"


# What says that a service is not there yet, or does not know of itself yet.
_NOT_THERE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.NOT_FOUND,
)


def health_timeout_s(left_s: float) -> float:
    """Returns how long a service is asked for its health, at least as long as a busy machine needs to connect."""
    return min(max(left_s, 0.5), 5.0)


def not_there(error: grpc.RpcError) -> UnavailableError:
    """Returns the error of a service that may still come.

    Raises:
        RequestError: it has come, and refuses.
    """
    if error.code() not in _NOT_THERE:
        raise error_of(error) from None
    return UnavailableError(grpc.StatusCode.UNAVAILABLE, error.details() or error.code().name)


def not_ready(response: health_pb2.HealthCheckResponse) -> UnavailableError | None:
    """Returns the error that a health report stands for; None for SERVING."""
    if response.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)
    return UnavailableError(grpc.StatusCode.UNAVAILABLE, f"the service reports {name}")
