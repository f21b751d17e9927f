"""Whether a peer can be reached is told at once, at each change, and for all processes behind a channel together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from support.waiting import until
from symbiont.common import reach
from symbiont.common.background import running
from symbiont.common.channel import connect
from symbiont.common.health import NOT_SERVING, SERVING
from symbiont.common.reach import Reach

Follow = Callable[..., Any]


@pytest.fixture
async def follow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Follow]:
    """Follows an address; returns the list of what is told."""
    monkeypatch.setattr(reach, "AGAIN_S", 0.01)
    monkeypatch.setattr(reach, "PATIENCE_S", 1.0)
    async with AsyncExitStack() as stack:

        async def start(address: str) -> list[bool]:
            told: list[bool] = []
            channel = await stack.enter_async_context(connect(address))
            await stack.enter_async_context(running("reach", Reach("tokenization", channel, told.append).follow))
            return told

        yield start


async def test_a_peer_is_away_until_it_serves_and_whenever_it_does_not(
    peer: Any, make_peer: Any, follow: Follow, capsys: pytest.CaptureFixture[str]
) -> None:
    await peer.lifecycle.health.set("", NOT_SERVING)
    told = await follow(peer.address)
    assert told == [False]
    for status, expected in ((SERVING, True), (NOT_SERVING, False), (SERVING, True)):
        await peer.lifecycle.health.set("", status)
        await until(lambda expected=expected: told[-1] is expected)
    await peer.server.stop(0)
    await until(lambda: told[-1] is False)
    again = await make_peer(peer.address)
    await again.lifecycle.health.set("", SERVING)
    await until(lambda: told[-1] is True)
    logged = capsys.readouterr()
    assert "the tokenization service cannot be reached" in logged.out + logged.err


async def test_a_peer_that_is_nowhere_is_told_of_once(follow: Follow, capsys: pytest.CaptureFixture[str]) -> None:
    told = await follow("127.0.0.1:1")
    seen = ""

    def logged() -> bool:
        nonlocal seen
        seen += "".join(capsys.readouterr())
        return "peer away" in seen

    await until(logged)
    await asyncio.sleep(0.1)
    assert logged()
    assert seen.count("peer away") == 1
    assert set(told) == {False}


async def test_of_several_processes_one_that_stops_is_no_loss(peer: Any, make_peer: Any, follow: Follow) -> None:
    peers = [peer, await make_peer()]
    for each in peers:
        await each.lifecycle.health.set("", SERVING)
    told = await follow("ipv4:" + ",".join(each.address for each in peers))
    await until(lambda: any(map(watched, peers)))
    (first,), (second,) = [p for p in peers if watched(p)], [p for p in peers if not watched(p)]
    await first.lifecycle.health.enter_graceful_shutdown()
    await first.server.stop(0)
    await until(lambda: watched(second))
    assert told == [False, True]


def watched(peer: Any) -> bool:
    labels = {"service": "training", "rpc": "Watch"}
    return bool(peer.metrics.registry.get_sample_value("symbiont_rpc_in_flight", labels))


class Silent(grpc.GenericRpcHandler):
    """Takes every call and says nothing."""

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(self.say_nothing)

    async def say_nothing(self, request: Any, context: Any) -> AsyncIterator[bytes]:
        await asyncio.sleep(60)
        yield b""


@pytest.mark.parametrize("silent", [True, False])
async def test_a_peer_without_a_health_of_its_own_is_there_unless_it_is_silent(
    silent: bool, follow: Follow, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = grpc.aio.server()
    if silent:
        server.add_generic_rpc_handlers([Silent()])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    told = await follow(address)
    monkeypatch.setattr(reach, "PATIENCE_S", 0.2)
    expected = "does not answer" if silent else "peer there"
    await until(lambda: expected in "".join(capsys.readouterr()))
    assert told[-1] is not silent
    await server.stop(0)
