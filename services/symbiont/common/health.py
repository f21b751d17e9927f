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
# The name that says only that this process takes calls, and never anything of another: for what restarts it.
LIVE = "liveness"
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
_Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Keeps a status for each name and tells whoever checks or watches it.

    While a peer is away that this process needs, every name says NOT_SERVING but `LIVE` and those of `independent`.
    """

    def __init__(self) -> None:
        self.independent = {LIVE}
        self._statuses: dict[str, int] = {}
        self._away: set[str] = set()
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

    def note_peer(self, peer: str, there: bool) -> None:
        """Takes note that a peer which this process needs is there, or away."""
        (self._away.discard if there else self._away.add)(peer)
        self._wake()

    @property
    def has_peers(self) -> bool:
        """Whether every peer is there that this process needs."""
        return not self._away

    async def enter_graceful_shutdown(self) -> None:
        """Turns every name to NOT_SERVING for good and lets each Watch end once it has said so."""
        self._stopping = True
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._wake()

    @override
    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> health_pb2.HealthCheckResponse:
        """Returns the status of a name; NOT_FOUND when it has none."""
        status = self._status(request.service)
        if status is None:
            raise NotFound(f"{request.service!r} is not a name whose health is known here")
        return health_pb2.HealthCheckResponse(status=status)

    @override
    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Sends the status of a name now and at each change; SERVICE_UNKNOWN while it has none."""
        sent: int | None = None
        while True:
            changed = self._changed
            status = self._status(request.service) or _UNKNOWN
            if status != sent:
                yield health_pb2.HealthCheckResponse(status=status)
                sent = status
                continue
            if self._stopping:
                return
            await changed.wait()

    def _status(self, name: str) -> int | None:
        held = self._away and name in self._statuses and name not in self.independent
        return NOT_SERVING if held else self._statuses.get(name)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
