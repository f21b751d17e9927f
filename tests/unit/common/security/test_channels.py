"""Channels whose certificates change: what runs on an older one ends when all are closed."""

import asyncio
import threading
from typing import Any

import grpc

from support.waiting import until, until_sync
from symbiont.api.training.v1 import training_job_pb2 as pb
from symbiont.api.training.v1.training_job_pb2_grpc import (
    TrainingJobServiceServicer,
    TrainingJobServiceStub,
    add_TrainingJobServiceServicer_to_server,
)
from symbiont.common.security.channels import RenewedChannel, Renewing

WATCH = pb.WatchTrainingJobRequest(name="jobs/j1")
GET = pb.GetTrainingJobRequest(name="jobs/j1")


class Material:
    """Stands for certificates; another one for renewed ones."""


class Source:
    def __init__(self) -> None:
        self.material = Material()

    def now(self) -> Material:
        return self.material


class Jobs(TrainingJobServiceServicer):
    """Watches last until their callers leave."""

    def __init__(self) -> None:
        self.watching = 0

    async def WatchTrainingJob(self, request: Any, context: Any) -> Any:
        self.watching += 1
        try:
            yield pb.TrainingEvent(event_id=1)
            await asyncio.sleep(60)
        finally:
            self.watching -= 1

    async def GetTrainingJob(self, request: Any, context: Any) -> Any:
        return pb.TrainingJob(name=request.name)


async def serve(jobs: Jobs) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    add_TrainingJobServiceServicer_to_server(jobs, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    return server, address


def renewing(source: Source, opened: list[Any], open_one: Any) -> Any:
    def keep(material: Any) -> Any:
        opened.append(material)
        return open_one()

    return RenewedChannel(Renewing(source, keep))


async def test_watches_on_older_channels_end_too() -> None:
    jobs, source, opened = Jobs(), Source(), list[Any]()
    server, address = await serve(jobs)

    def use() -> None:
        channel = renewing(source, opened, lambda: grpc.insecure_channel(address))
        stub = TrainingJobServiceStub(channel)
        ended = list[grpc.StatusCode]()

        def watch() -> None:
            stream = stub.WatchTrainingJob(WATCH)
            try:
                list(stream)
            except grpc.RpcError:
                ended.append(stream.code())

        threads = []
        # Each watch on a channel of its own, of which the method keeps the last alone.
        for count in (1, 2, 3):
            threads.append(threading.Thread(target=watch, daemon=True))
            threads[-1].start()
            until_sync(lambda count=count: jobs.watching == count)
            source.material = Material()
            assert stub.GetTrainingJob(GET).name == "jobs/j1"
        source.material = Material()
        channel.close()
        for thread in threads:
            thread.join(30)
        assert ended == [grpc.StatusCode.CANCELLED] * 3
        assert len(opened) == 4

    try:
        await asyncio.to_thread(use)
    finally:
        await server.stop(0)


async def test_watches_of_asyncio_on_older_channels_end_too() -> None:
    jobs, source, opened = Jobs(), Source(), list[Any]()
    server, address = await serve(jobs)
    channel = renewing(source, opened, lambda: grpc.aio.insecure_channel(address))
    stub = TrainingJobServiceStub(channel)

    async def watch() -> None:
        async for _ in stub.WatchTrainingJob(WATCH):
            pass

    tasks = []
    for count in (1, 2, 3):
        tasks.append(asyncio.create_task(watch()))
        await until(lambda count=count: jobs.watching == count)
        source.material = Material()
        assert (await stub.GetTrainingJob(GET)).name == "jobs/j1"
    source.material = Material()
    await channel.close()
    ended = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 3
    assert len(opened) == 4
    await server.stop(0)
