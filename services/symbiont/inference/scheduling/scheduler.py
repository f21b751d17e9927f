"""Stands before the hosts: every row waits here, where deadline, priority and fairness can be obeyed."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

from symbiont.common.errors import DeadlineExceeded, SymbiontError
from symbiont.engine.row import Floats, HostAnswer, Row, Times
from symbiont.inference.metrics import SchedulingMetrics
from symbiont.inference.ports import HostClient
from symbiont.inference.scheduling.call import Call, Turn
from symbiont.inference.scheduling.lane import Lane, LaneLimits
from symbiont.inference.scheduling.rates import UNLIMITED, Rates
from symbiont.inference.types import Priority

# By so much the caller's timer may be before ours: gRPC then tells us that the caller is gone.
_CLOCK_S = 0.05
# No call has more of the queue than one in so many parts; a host computes each of them in many requests.
_PARTS = 8


class Scheduler:
    """The hosts, with a queue before each. It is used as the hosts themselves are."""

    def __init__(
        self,
        hosts: HostClient,
        limits: LaneLimits,
        metrics: SchedulingMetrics,
        clock: Callable[[], float] = time.monotonic,
        rates: Rates = UNLIMITED,
    ) -> None:
        self._hosts = hosts
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._rates = rates
        self._lanes: dict[str, Lane] = {}
        metrics.watch(lambda: [lane.figures() for lane in self._lanes.values()])

    async def host_ready(self, base_digest: str) -> bool:
        """Whether Triton has the host of a base loaded, and it answers; it raises nothing."""
        lane = self._lanes.get(base_digest)
        return await self._hosts.host_ready(base_digest) and not (lane and lane.silent)

    async def ensure_host(self, base_digest: str) -> None:
        """Returns once the host of a base is loaded in Triton, loading it if need be."""
        await self._hosts.ensure_host(base_digest)

    def expecting(
        self, base_digest: str, rows: int, tokens: int, *, timeout_s: float, tenant: str, priority: Priority
    ) -> AbstractContextManager[None]:
        """Lets a call in whose tokens are made within the block.

        Args:
            rows, tokens: about how many it will have.

        Raises:
            ResourceExhausted: it would wait for too long, or the queue is full.
            DeadlineExceeded: it came too late.
        """
        turn = Turn(tenant, priority, self._clock() + timeout_s)
        return self._lane(base_digest).admission.expecting(turn, rows, tokens)

    async def infer_rows(
        self,
        base_digest: str,
        rows: Sequence[Row],
        *,
        timeout_s: float,
        request_id: str,
        tenant: str = "",
        is_named: bool = True,
        priority: Priority = Priority.INTERACTIVE,
    ) -> HostAnswer:
        """Returns the values of each row, or its error, in the order of the rows.

        Many rows wait in parts, one after the other: all at once they could fill the queue, and keep everybody out. The
        times of the answer are those of the call's last rows: waiting here and in the host, and the computation.

        Raises:
            ResourceExhausted: it would wait for too long, the queue is full, or its tenant asks for more than it may.
            DeadlineExceeded: its time ran out.
            Unavailable: Triton cannot be reached.
        """
        if not rows:
            return HostAnswer([], Times())
        lane, now = self._lane(base_digest), self._clock()
        turn, tokens = Turn(tenant, priority, now + timeout_s, is_named), sum(len(row.input_ids) for row in rows)
        self._rates.take(tenant, tokens)
        lane.admission.check(turn, len(rows), tokens)
        answers: list[Floats | SymbiontError] = []
        times = Times()
        for part in _parts(rows, self._limits.queued_tokens // _PARTS):
            left = timeout_s - (self._clock() - now)
            behind = len(rows) - len(answers) - len(part)
            answer = await self._answer(lane, Call(part, turn, request_id, now), left, behind)
            answers += answer.rows
            times = answer.times
        return HostAnswer(answers, times)

    def count_known(self, tenant: str) -> None:
        """Counts a call that was answered without a host; ResourceExhausted where its tenant asks for too many."""
        self._rates.take_known(tenant)

    @property
    def lanes(self) -> Sequence[Lane]:
        """The way to each host that was ever asked for."""
        return list(self._lanes.values())

    async def _answer(self, lane: Lane, call: Call, timeout_s: float, behind: int) -> HostAnswer:
        """Has a lane answer a call; where that ends early, `behind` more rows are waiting than those of it."""
        lane.submit(call)
        try:
            async with asyncio.timeout(timeout_s):
                return await call.done
        except TimeoutError as exc:
            self._metrics.expired("queue", lane.withdraw(call) + behind)
            raise DeadlineExceeded("the deadline passed in the stage 'infer'") from exc
        except DeadlineExceeded:
            self._metrics.expired("queue", behind)
            raise
        except asyncio.CancelledError:
            self._gone(call, lane.withdraw(call) + behind)
            raise
        finally:
            lane.withdraw(call)

    def _gone(self, call: Call, rows: int) -> None:
        # It may have been the caller's own timer that rang.
        if self._clock() >= call.turn.expires - _CLOCK_S:
            self._metrics.expired("queue", rows)
        else:
            self._metrics.cancelled(rows)

    def _lane(self, base_digest: str) -> Lane:
        lane = self._lanes.get(base_digest)
        if lane is None:
            lane = self._lanes[base_digest] = Lane(base_digest, self._hosts, self._limits, self._metrics, self._clock)
        return lane


def _parts(rows: Sequence[Row], most: int) -> Iterator[Sequence[Row]]:
    """Yields rows in their order, of at most so many tokens at a time; a row that has more comes alone."""
    start = tokens = 0
    for index, row in enumerate(rows):
        if index > start and tokens + len(row.input_ids) > most:
            yield rows[start:index]
            start, tokens = index, 0
        tokens += len(row.input_ids)
    yield rows[start:]
