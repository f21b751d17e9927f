"""What goes wrong while messages are sent comes out as what it is, and who leaves takes the call along."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from support.waiting import until
from symbiont import client as c
from symbiont.api.training.v1 import model_pb2


def raising() -> Iterator[Any]:
    yield "a", ["good"]
    raise KeyError("the caller's own")


def odd() -> Iterator[Any]:
    yield "a", ["good"]
    yield "b", "one text"


def endpoints(suite: Any) -> c.Endpoints:
    return c.Endpoints(suite.address, suite.address, suite.address)


@pytest.fixture(autouse=True)
def model(suite: Any) -> None:
    suite.state.models["models/m"] = model_pb2.Model(name="models/m")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(1000)))
    return path


@pytest.mark.parametrize(("batches", "kind"), [(raising, KeyError), (odd, TypeError)])
def test_what_is_wrong_with_the_batches_comes_out(client: Any, batches: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        list(client.predict_stream("m", batches()))


def test_what_is_wrong_with_the_bar_of_an_upload_comes_out(client: Any, rows: Path) -> None:
    def progress(done: int, total: int) -> None:
        raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        client.create_dataset("rows", rows, progress=progress)


async def test_what_is_wrong_with_an_asyncio_source_comes_out(suite: Any) -> None:
    async def batches() -> AsyncIterator[Any]:
        for batch in raising():
            yield batch

    async def read(client: c.AsyncClient) -> list[Any]:
        return [each async for each in client.predict_stream("m", batches())]

    async with c.AsyncClient(endpoints(suite)) as client:
        task = asyncio.create_task(read(client))
        with pytest.raises(KeyError):
            await task
    assert not task.cancelled()


async def test_a_source_that_makes_nothing_more_is_left_with_the_stream(suite: Any) -> None:
    ended = asyncio.Event()

    async def batches() -> AsyncIterator[Any]:
        yield "a", ["good"]
        yield "b", ["good"]
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with c.AsyncClient(endpoints(suite)) as client:
        async with aclosing(client.predict_stream("m", batches())) as stream:
            assert (await anext(stream))[0] == "b"
        assert ended.is_set()


async def test_a_source_is_read_no_faster_than_it_is_answered(suite: Any) -> None:
    made = list[int]()

    def batches() -> Iterator[Any]:
        for number in range(100_000):
            made.append(number)
            yield f"r{number}", ["good " * 10_000]

    async with c.AsyncClient(endpoints(suite)) as client, aclosing(client.predict_stream("m", batches())) as stream:
        await anext(stream)
        await asyncio.sleep(0.5)
        assert len(made) < 1000


@pytest.mark.parametrize("ending", ["cancelled", "closed"])
def test_an_upload_of_asyncio_ends_with_its_caller(suite: Any, rows: Path, ending: str) -> None:
    suite.state.seconds["CreateDataset"] = 60

    async def use() -> None:
        async with c.AsyncClient(endpoints(suite)) as client:
            upload = asyncio.create_task(client.create_dataset("rows", rows))
            await until(lambda: suite.state.calls["CreateDataset"] == 1)
            if ending == "cancelled":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(upload, 0.2)
            else:
                await client.close()
                with pytest.raises(c.RequestError, match="the client was closed"):
                    await upload
            await until(lambda: suite.state.calls["left"] == 1)

    run = threading.Thread(target=lambda: asyncio.run(use()))
    run.start()
    run.join(30)
    assert not run.is_alive()
    assert suite.state.calls["left"] == 1
