"""A service begins as NOT_SERVING and stops by draining."""

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import SERVING, Lifecycle, Registration, run_server
from symbiont.common.settings import ServiceSettings

NAME = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name


class Slow(model_pb2_grpc.ModelServiceServicer):
    def __init__(self) -> None:
        self.entered, self.leave = asyncio.Event(), asyncio.Event()

    async def GetModel(self, request: Any, context: Any) -> Any:
        self.entered.set()
        await self.leave.wait()
        return model_pb2.Model(name="drained")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def registration(servicer: Slow) -> Registration:
    return Registration(NAME, servicer, model_pb2_grpc.add_ModelServiceServicer_to_server)


async def test_sigterm_turns_health_then_drains_then_leaves_the_background() -> None:
    servicer, lifecycle, order = Slow(), Lifecycle(), []
    settings = ServiceSettings(address=f"127.0.0.1:{free_port()}", drain_seconds=30)

    @asynccontextmanager
    async def part() -> Any:
        order.append("entered")
        yield
        order.append("left")

    running = asyncio.create_task(
        run_server(settings, ServiceMetrics("training"), lifecycle, [registration(servicer)], [part()])
    )
    async with grpc.aio.insecure_channel(settings.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME), wait_for_ready=True)
        while (await watch.read()).status != SERVING:
            pass
        call = model_pb2_grpc.ModelServiceStub(channel).GetModel(model_pb2.GetModelRequest(name="models/x"))
        answer = asyncio.ensure_future(call)
        await servicer.entered.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        assert (await watch.read()).status != SERVING
        assert order == ["entered"]
        servicer.leave.set()
        assert (await answer).name == "drained"
        await asyncio.wait_for(running, 5)
    assert order == ["entered", "left"]


async def test_two_services_cannot_share_a_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = ServiceSettings(address=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(RuntimeError, match="bind"):
            await run_server(settings, ServiceMetrics("training"), Lifecycle(), [registration(Slow())])
