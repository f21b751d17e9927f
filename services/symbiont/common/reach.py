"""Follows whether another service can be reached, so that no call has to ask."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.common.channel import translated
from symbiont.common.errors import DeadlineExceeded, SymbiontError, Unavailable
from symbiont.common.health import NOT_SERVING
from symbiont.common.log import get_logger

AGAIN_S = 0.25
# As long as an attempt to connect may take, and a little more.
PATIENCE_S = 3.0


class Reach:
    """Tells whether a peer can be reached, and each change, by one Watch of its health that stays open.

    What a Watch says after its first word, or its end, is only a reason to ask anew: several processes may stand
    behind the channel, and one of them that stops is no loss. A process that hangs is noticed by the channel's
    keepalive, within half a minute; one that is gone, at once.
    """

    def __init__(self, peer: str, channel: grpc.aio.Channel, tell: Callable[[bool], None]) -> None:
        """Makes it.

        Args:
            tell: is told at once that the peer is away, which it is until it has answered.
        """
        self._peer = peer
        self._stub = health_pb2_grpc.HealthStub(channel)
        self._tell = tell
        self._known: bool | None = None
        tell(False)

    async def follow(self) -> None:
        """Watches the peer until it is cancelled."""
        while True:
            watch = self._stub.Watch(health_pb2.HealthCheckRequest())  # type: ignore[attr-defined] # the types omit it
            try:
                problem = await self._problem(watch)
                self._note(problem)
                if not problem:
                    with suppress(grpc.aio.AioRpcError):
                        await watch.read()
            finally:
                watch.cancel()
            await asyncio.sleep(AGAIN_S)

    async def _problem(self, watch: Any) -> str:
        """Returns what the first word of a Watch, or its lack, has against the peer; or nothing."""
        try:
            with translated(self._peer):
                async with asyncio.timeout(PATIENCE_S):
                    answer = await watch.read()
        except TimeoutError:
            return f"the {self._peer} service does not answer"
        except (Unavailable, DeadlineExceeded) as exc:
            return str(exc)
        except SymbiontError:
            # It answers, if only that it is full.
            return ""
        # One without a health of its own is there, too.
        refuses = answer is grpc.aio.EOF or answer.status == NOT_SERVING
        return f"the {self._peer} service does not serve" if refuses else ""

    def _note(self, problem: str) -> None:
        there = not problem
        if there is self._known:
            return
        self._known = there
        # Said once: a peer that is away for an hour must not fill the log.
        if problem:
            get_logger().warning("peer away", peer=self._peer, error=problem)
        else:
            get_logger().info("peer there", peer=self._peer)
        self._tell(there)
