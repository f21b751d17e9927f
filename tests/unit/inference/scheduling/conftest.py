"""Calls that wait, and a host whose answers come when the test says so."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from support.clock import Clock
from symbiont.common.errors import SymbiontError
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference.metrics import SchedulingMetrics
from symbiont.inference.scheduling.call import Call, Turn
from symbiont.inference.types import Priority

BASE = "a" * 64


def make_rows(*lengths: int, bundle: str = "") -> list[Row]:
    return [Row(np.arange(length, dtype=np.int32), bundle) for length in lengths]


@dataclass
class Sent:
    """A request that a host got."""

    rows: Sequence[Row]
    timeout_s: float
    request_id: str
    reply: "asyncio.Future[HostAnswer]"
    spare: int

    @property
    def lengths(self) -> list[int]:
        return [len(row.input_ids) for row in self.rows]

    def answer(self, queued: float = 0.0, computed: float = 0.0) -> None:
        """Answers each row with its length."""
        values = [np.array([length], np.float32) for length in self.lengths]
        self.reply.set_result(HostAnswer(values, Times(queued, computed)))

    def fail(self, error: SymbiontError) -> None:
        self.reply.set_exception(error)


@dataclass
class Host:
    """A host that keeps its requests until they are answered by hand."""

    sent: list[Sent] = field(default_factory=list)
    ready: bool = True

    async def host_ready(self, base_digest: str) -> bool:
        return self.ready

    async def ensure_host(self, base_digest: str) -> None:
        pass

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float, request_id: str, spare: int = 0
    ) -> HostAnswer:
        reply: asyncio.Future[HostAnswer] = asyncio.get_running_loop().create_future()
        self.sent.append(Sent(rows, timeout_s, request_id, reply, spare))
        return await reply


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def scheduling_metrics(prometheus: CollectorRegistry) -> SchedulingMetrics:
    return SchedulingMetrics(prometheus, ["known"])


@pytest.fixture
def rows() -> Callable[..., list[Row]]:
    return make_rows


@pytest.fixture
async def call() -> Callable[..., Call]:
    """Makes a call of rows of so many tokens."""

    def make(
        *lengths: int,
        tenant: str = "t",
        priority: Priority = Priority.INTERACTIVE,
        expires: float = 1000.0,
        request_id: str = "r",
    ) -> Call:
        return Call(make_rows(*lengths), Turn(tenant, priority, expires), request_id, 100.0)

    return make


@pytest.fixture
def settle() -> Callable[[], object]:
    """Lets everything run that can run now."""

    async def rounds() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    return rounds
