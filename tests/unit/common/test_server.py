"""A service begins as NOT_SERVING and stops by draining."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import SERVING, Lifecycle, Registration, _health_alone, build_server, run_server
from symbiont.common.settings import ServiceSettings

NAME = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name


# Signals go to a process of its own: one that went wrong here would end the tests. It says what happens, and its one
# call is answered when a line comes in.
SERVICE = """
import asyncio, sys
from contextlib import asynccontextmanager
from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common.log import configure_logging
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle, Registration, run_server
from symbiont.common.settings import ServiceSettings

configure_logging("info", "json", "training")

class Slow(model_pb2_grpc.ModelServiceServicer):
    async def GetModel(self, request, context):
        print("called", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        return model_pb2.Model(name="drained")

@asynccontextmanager
async def part():
    print("entered", flush=True)
    yield
    print("left", flush=True)

settings = ServiceSettings(address=sys.argv[1], metrics_address="127.0.0.1:0", drain_seconds=30)
name = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name
service = Registration(name, Slow(), model_pb2_grpc.add_ModelServiceServicer_to_server)
asyncio.run(run_server(settings, ServiceMetrics("training"), Lifecycle(), [service], [part()]))
print("ended", flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def registration() -> Registration:
    servicer = model_pb2_grpc.ModelServiceServicer()
    return Registration(NAME, servicer, model_pb2_grpc.add_ModelServiceServicer_to_server)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A service in a process, and its address."""
    address = f"127.0.0.1:{free_port()}"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVICE, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    yield address, process
    process.kill()
    process.communicate()


async def test_sigterm_turns_health_then_drains_then_leaves_the_background(
    service: tuple[str, subprocess.Popen[str]],
) -> None:
    address, process = service
    assert process.stdin
    assert process.stdout

    async def said() -> str:
        return str(await asyncio.to_thread(process.stdout.readline))

    async with grpc.aio.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=NAME), wait_for_ready=True)
        while (await watch.read()).status != SERVING:
            pass
        assert await said() == "entered\n"
        call = model_pb2_grpc.ModelServiceStub(channel).GetModel(model_pb2.GetModelRequest(name="models/x"))
        answer = asyncio.ensure_future(call)
        assert await said() == "called\n"
        process.terminate()
        assert (await watch.read()).status != SERVING
        process.stdin.write("\n")
        process.stdin.flush()
        assert (await answer).name == "drained"
    assert [await said(), await said()] == ["left\n", "ended\n"]
    assert await asyncio.to_thread(process.wait, 10) == 0


class Quick(model_pb2_grpc.ModelServiceServicer):
    async def GetModel(self, request: Any, context: Any) -> Any:
        return model_pb2.Model(name=request.name)


async def test_of_a_burst_no_call_is_refused() -> None:
    settings, lifecycle = ServiceSettings(address=f"127.0.0.1:{free_port()}", max_concurrent_calls=4096), Lifecycle()
    service = Registration(NAME, Quick(), model_pb2_grpc.add_ModelServiceServicer_to_server)
    server = build_server(settings, ServiceMetrics("training"), lifecycle, [service])
    server.add_insecure_port(settings.address)
    await server.start()
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(settings.address, options=options) for _ in range(20)]
    try:
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        request = model_pb2.GetModelRequest(name="models/x")
        calls = [model_pb2_grpc.ModelServiceStub(channels[i % 20]).GetModel(request) for i in range(3000)]
        assert {answer.name for answer in await asyncio.gather(*calls)} == {"models/x"}
    finally:
        for channel in channels:
            await channel.close()
        await server.stop(None)


async def test_two_services_cannot_share_a_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = ServiceSettings(address=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(RuntimeError, match="bind"):
            await run_server(settings, ServiceMetrics("training"), Lifecycle(), [registration()])


async def test_who_asks_for_health_alone_is_told_of_no_model() -> None:
    lifecycle, address = Lifecycle(), f"127.0.0.1:{free_port()}"
    for name in ("", "models/bank~mood@production", "models/mood@production"):
        await lifecycle.health.set(name, SERVING)
    alone = _health_alone(address, ServiceMetrics("inference"), lifecycle)
    async with alone, grpc.aio.insecure_channel(address) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        assert (await check(health_pb2.HealthCheckRequest())).status == SERVING
        for name in ("models/bank~mood@production", "models/mood@production", "models/none@production"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await check(health_pb2.HealthCheckRequest(service=name))
            assert caught.value.code() is not grpc.StatusCode.NOT_FOUND
            assert "mood" not in (caught.value.details() or "")
