"""A channel carries the request id on; a peer's status becomes a domain error that names the peer."""

import asyncio
from typing import Any

import grpc
import pytest

from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common import errors
from symbiont.common.channel import connect, translated
from symbiont.common.request_id import accept_request_id, current_request_id

REQUEST = model_pb2.GetModelRequest(name="models/x")


async def test_the_request_id_crosses(peer: Any) -> None:
    seen: list[str] = []

    async def act(request: Any, context: Any) -> None:
        seen.append(current_request_id())

    peer.servicer.act = act
    accept_request_id([("x-request-id", "first-caller")])
    async with connect(peer.address) as channel:
        await model_pb2_grpc.ModelServiceStub(channel).GetModel(REQUEST)
    assert seen == ["first-caller"]


@pytest.mark.parametrize(
    ("raised", "expected", "text"),
    [
        (errors.InvalidArgument("spec.rank", "-1 is negative"), errors.InvalidArgument, "spec.rank: -1 is negative"),
        (errors.NotFound("models/x does not exist"), errors.NotFound, "models/x does not exist"),
        (errors.FailedPrecondition("not yet"), errors.FailedPrecondition, "not yet"),
        (errors.ResourceExhausted("full"), errors.ResourceExhausted, "full"),
        (errors.Unavailable("away"), errors.Unavailable, "the training service cannot be reached (away)"),
        (errors.DeadlineExceeded("late"), errors.DeadlineExceeded, "late"),
        (RuntimeError("secret"), errors.SymbiontError, "internal error"),
    ],
)
async def test_a_status_becomes_a_domain_error(
    peer: Any, raised: Exception, expected: type[errors.SymbiontError], text: str
) -> None:
    async def act(request: Any, context: Any) -> None:
        raise raised

    peer.servicer.act = act
    with pytest.raises(errors.SymbiontError) as caught, translated("training"):
        await peer.stub.GetModel(REQUEST)
    assert type(caught.value) is expected
    assert str(caught.value).startswith(text)
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


async def test_a_field_survives_the_hop(peer: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        raise errors.InvalidArgument("texts[3]", "it is empty")

    peer.servicer.act = act
    with pytest.raises(errors.InvalidArgument) as caught, translated("training"):
        await peer.stub.GetModel(REQUEST)
    assert caught.value.field == "texts[3]"


async def test_a_peer_that_is_not_there_is_named() -> None:
    async with connect("127.0.0.1:1") as channel:
        with pytest.raises(errors.Unavailable, match="the training service cannot be reached"), translated("training"):
            await model_pb2_grpc.ModelServiceStub(channel).GetModel(REQUEST)


@pytest.mark.parametrize("seconds", [None, 0.25, 10.0])
async def test_the_time_to_wait_survives_the_hop(peer: Any, seconds: float | None) -> None:
    async def act(request: Any, context: Any) -> None:
        raise errors.ResourceExhausted("full", retry_after_s=seconds)

    peer.servicer.act = act
    with pytest.raises(errors.ResourceExhausted) as caught, translated("training"):
        await peer.stub.GetModel(REQUEST)
    assert caught.value.retry_after_s == seconds


async def test_so_does_that_of_a_call_that_is_not_awaited(peer: Any) -> None:
    async def act(request: Any, context: Any) -> None:
        raise errors.NotFound("models/x does not exist")

    def ask() -> None:
        with grpc.insecure_channel(peer.address) as channel, translated("training"):
            model_pb2_grpc.ModelServiceStub(channel).GetModel(REQUEST, timeout=60)

    peer.servicer.act = act
    with pytest.raises(errors.NotFound, match="models/x does not exist"):
        await asyncio.to_thread(ask)
