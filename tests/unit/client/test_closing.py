"""Calls of a client that is closed fail, those in flight too, and say why."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from support.waiting import until, until_sync
from symbiont import client as c
from symbiont.api.training.v1 import base_model_pb2, training_job_pb2

pb = training_job_pb2
CALLS: dict[str, Callable[[Any], Any]] = {
    "GetModel": lambda client: client.get_model("m"),
    "WatchTrainingJob": lambda client: client.watch_training_job("j1"),
    "Generate": lambda client: client.generate("tiny", "one hang"),
    "ReadTrainingLog": lambda client: client.read_training_log("j1", follow=True),
}


@pytest.fixture
def busy(suite: Any) -> Any:
    """A suite whose calls take a minute."""
    suite.state.jobs["jobs/j1"] = pb.TrainingJob(name="jobs/j1", state=pb.JOB_STATE_RUNNING)
    suite.state.events["jobs/j1"] = [pb.TrainingEvent(job="jobs/j1", event_id=1)]
    suite.state.bases["bases/tiny"] = base_model_pb2.BaseModel(name="bases/tiny")
    suite.state.breaks, suite.state.silence = [0], 60
    suite.state.seconds = {"GetModel": 60, "ReadTrainingLog": 60}
    return suite


def endpoints(suite: Any) -> c.Endpoints:
    return c.Endpoints(suite.address, suite.address, suite.address)


@pytest.mark.parametrize("method", CALLS)
def test_calls_of_threads_end_with_their_client(busy: Any, method: str) -> None:
    client, raised = c.Client(endpoints(busy)), list[BaseException]()

    def call() -> None:
        try:
            made = CALLS[method](client)
            if method != "GetModel":
                list(made)
        except BaseException as exc:  # noqa: BLE001, the test looks at it
            raised.append(exc)

    thread = threading.Thread(target=call)
    thread.start()
    until_sync(lambda: method in busy.state.callers)
    client.close()
    thread.join(30)
    (error,) = raised
    assert isinstance(error, c.RequestError)
    assert error.code is grpc.StatusCode.CANCELLED
    with pytest.raises(c.RequestError, match="the client was closed"):
        client.get_model("m")


@pytest.mark.parametrize("method", CALLS)
async def test_calls_of_asyncio_end_with_their_client(busy: Any, method: str) -> None:
    client = c.AsyncClient(endpoints(busy))

    async def call() -> None:
        made = CALLS[method](client)
        if method == "GetModel":
            await made
        else:
            _ = [each async for each in made]

    task = asyncio.create_task(call())
    await until(lambda: method in busy.state.callers)
    await client.close()
    with pytest.raises(c.RequestError) as caught:
        await asyncio.wait_for(task, 30)
    assert caught.value.code is grpc.StatusCode.CANCELLED
    with pytest.raises(c.RequestError, match="the client was closed"):
        await client.get_model("m")


async def test_a_task_that_is_cancelled_stays_so(busy: Any) -> None:
    async with c.AsyncClient(endpoints(busy)) as client:
        task = asyncio.create_task(client.get_model("m"))
        await until(lambda: "GetModel" in busy.state.callers)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert task.cancelled()
