"""Check and Watch of grpc.health.v1."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.common.health import LIVE, NOT_SERVING, SERVING

UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def ask(name: str) -> Any:
    return health_pb2.HealthCheckRequest(service=name)


async def test_check_tells_the_status_of_a_name(peer: Any) -> None:
    stub = health_pb2_grpc.HealthStub(peer.channel)
    await peer.lifecycle.health.set("a", SERVING)
    await peer.lifecycle.health.set("b", NOT_SERVING)
    assert (await stub.Check(ask("a"))).status == SERVING
    assert (await stub.Check(ask("b"))).status == NOT_SERVING


async def test_check_of_an_unknown_or_forgotten_name_is_not_found(peer: Any) -> None:
    await peer.lifecycle.health.set("a", SERVING)
    await peer.lifecycle.health.set("a", None)
    await peer.lifecycle.health.set("never", None)
    for name in ("a", "never"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_pb2_grpc.HealthStub(peer.channel).Check(ask(name))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watch_tells_each_change_to_every_watcher(peer: Any) -> None:
    stub, health = health_pb2_grpc.HealthStub(peer.channel), peer.lifecycle.health
    leaves, stays = stub.Watch(ask("a")), stub.Watch(ask("a"))
    assert [(await leaves.read()).status, (await stays.read()).status] == [UNKNOWN, UNKNOWN]
    leaves.cancel()
    for status in (SERVING, NOT_SERVING, SERVING):
        await health.set("a", status)
        await health.set("other", status)
        assert (await stays.read()).status == status
    stays.cancel()


async def test_a_graceful_shutdown_is_told_and_ends_the_watch(peer: Any) -> None:
    stub, health = health_pb2_grpc.HealthStub(peer.channel), peer.lifecycle.health
    await health.set("a", SERVING)
    watch = stub.Watch(ask("a"))
    assert (await watch.read()).status == SERVING
    await health.enter_graceful_shutdown()
    await health.set("a", SERVING)
    assert (await watch.read()).status == NOT_SERVING
    assert await asyncio.wait_for(watch.read(), 60) is grpc.aio.EOF
    assert (await stub.Check(ask("a"))).status == NOT_SERVING


async def test_a_peer_that_is_away_turns_all_that_needs_it(peer: Any) -> None:
    stub, health = health_pb2_grpc.HealthStub(peer.channel), peer.lifecycle.health
    health.independent.add("alone")
    for name in ("", LIVE, "alone", "a"):
        await health.set(name, SERVING)

    async def statuses() -> list[int]:
        return [(await stub.Check(ask(name))).status for name in ("", LIVE, "alone", "a")]

    watch = stub.Watch(ask("a"))
    assert (await watch.read()).status == SERVING
    health.note_peer("tokenization", there=False)
    assert (await watch.read()).status == NOT_SERVING
    # What is set meanwhile holds once it is back.
    await health.set("", NOT_SERVING)
    assert (await statuses(), peer.lifecycle.ready) == ([NOT_SERVING, SERVING, SERVING, NOT_SERVING], False)
    health.note_peer("tokenization", there=True)
    assert (await watch.read()).status == SERVING
    assert (await statuses(), peer.lifecycle.ready) == ([NOT_SERVING, SERVING, SERVING, SERVING], True)
    # A name without a status gets none by it.
    health.note_peer("tokenization", there=False)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.Check(ask("never"))
    watch.cancel()
