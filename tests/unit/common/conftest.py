"""Real gRPC servers on loopback whose one servicer does what a test orders."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from grpc import aio

from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle, Registration, build_server
from symbiont.common.settings import ServiceSettings
from symbiont.common.tracing import UNTRACED, Tracing

Act = Callable[[Any, Any], Awaitable[Any]]


class Ordered(model_pb2_grpc.ModelServiceServicer):
    """GetModel runs `act`; WatchModelAliases yields one message and then runs it."""

    def __init__(self) -> None:
        self.act: Act | None = None

    async def GetModel(self, request: Any, context: Any) -> Any:
        assert self.act
        return await self.act(request, context) or model_pb2.Model(name=request.name)

    async def WatchModelAliases(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield model_pb2.WatchModelAliasesResponse(complete=True)
        assert self.act
        await self.act(request, context)


class Peer:
    """A running server, its parts, and a plain channel to it."""

    def __init__(
        self,
        servicer: Ordered,
        metrics: ServiceMetrics,
        lifecycle: Lifecycle,
        address: str = "127.0.0.1:0",
        tracing: Tracing = UNTRACED,
    ) -> None:
        self.servicer, self.metrics, self.lifecycle = servicer, metrics, lifecycle
        name = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
        registration = Registration(name, servicer, model_pb2_grpc.add_ModelServiceServicer_to_server)
        self.server = build_server(ServiceSettings(), metrics, lifecycle, [registration], tracing)
        self.address = f"127.0.0.1:{self.server.add_insecure_port(address)}"
        self.channel = aio.insecure_channel(self.address)
        self.stub = model_pb2_grpc.ModelServiceStub(self.channel)


@pytest.fixture
async def make_peer() -> AsyncIterator[Callable[..., Awaitable[Peer]]]:
    """Starts a server, on a free port unless it is told another."""
    async with AsyncExitStack() as stack:

        async def start(address: str = "127.0.0.1:0", tracing: Tracing = UNTRACED) -> Peer:
            running = Peer(Ordered(), ServiceMetrics("training"), Lifecycle(), address, tracing)
            await running.server.start()
            stack.push_async_callback(running.server.stop, 0)
            stack.push_async_callback(running.channel.close)
            return running

        yield start


@pytest.fixture
async def peer(make_peer: Callable[..., Awaitable[Peer]]) -> Peer:
    return await make_peer()
