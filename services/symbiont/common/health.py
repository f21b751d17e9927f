"""The standard health service, grpc.health.v1, as this suite needs it.

The one that grpcio-health-checking ships for asyncio writes to its context, which no wrapper that yields responses can
follow; it forgets the other watchers of a name when one leaves, and it never ends a Watch, so that an open one
would hold up every stop until the drain time is over.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from typing_extensions import override

from symbiont.common.errors import NotFound

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
_Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Keeps a status for each name and tells whoever checks or watches it."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._stopping = False

    async def set(self, name: str, status: int | None) -> None:
        """Sets the status of a name, or forgets the name when there is none; nothing changes once stopping."""
        if self._stopping or self._statuses.get(name) == status:
            return
        if status is None:
            del self._statuses[name]
        else:
            self._statuses[name] = status
        self._wake()

    async def enter_graceful_shutdown(self) -> None:
        """Turns every name to NOT_SERVING for good and lets each Watch end once it has said so."""
        self._stopping = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._wake()

    @override
    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> health_pb2.HealthCheckResponse:
        """Returns the status of a name; NOT_FOUND when it has none."""
        if request.service not in self._statuses:
            raise NotFound(f"{request.service!r} is not a name whose health is known here")
        return health_pb2.HealthCheckResponse(status=self._statuses[request.service])

    @override
    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Sends the status of a name now and at each change; SERVICE_UNKNOWN while it has none."""
        sent: int | None = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, _UNKNOWN)
            if status != sent:
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
                continue
            if self._stopping:
                return
            await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
