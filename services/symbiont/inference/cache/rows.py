"""The values of rows: those known are taken, those that somebody computes already are waited for, the rest computed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from symbiont.common.errors import SymbiontError
from symbiont.engine.row import Floats, HostAnswer, Row, Times
from symbiont.inference.cache.keys import Scope
from symbiont.inference.cache.store import Store, bytes_of, frozen
from symbiont.inference.metrics import CacheMetrics
from symbiont.inference.types import Priority

Compute = Callable[[Sequence[Row]], Awaitable[HostAnswer]]
# Ends with the values, or with None when whoever computes them has none: each then computes for itself.
_Flight = asyncio.Future[Floats | None]


class RowCache:
    """Values by what they were computed from. One per event loop.

    A row that several calls ask for at one time is computed once, for the first of them. The others wait for it, each
    until its own deadline. When the first one fails or gives up, they compute it themselves, at once, each on its own.
    """

    def __init__(self, store: Store[Floats], metrics: CacheMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._flights: dict[tuple[Priority, bytes], _Flight] = {}

    async def infer(
        self, tenant: str, base: str, rows: Sequence[Row], priority: Priority, compute: Compute
    ) -> HostAnswer:
        """Returns the values of each row, or its error, in the order of the rows.

        Args:
            tenant: for whom they are computed.
            base: digest of the base that computes them.
            priority: nobody waits for a row that was asked for with another one.
            compute: asks the host; what it raises is raised here.

        Returns:
            the answers; the times are 0 where nothing was computed for this call.
        """
        scopes = {bundle: Scope.of_rows(tenant, base, bundle) for bundle in {row.bundle for row in rows}}
        keys = [scopes[row.bundle].row_key(row) for row in rows]
        row_of = dict(zip(keys, rows, strict=True))
        found: dict[bytes, Floats | SymbiontError] = {}
        for key in row_of:
            if (value := self._store.get(key)) is not None:
                found[key] = value
        joined = {key: f for key in row_of if key not in found and (f := self._flights.get((priority, key)))}
        mine = [key for key in row_of if key not in found and key not in joined]
        # One that stands in the call twice is computed once, too.
        self._metrics.looked_up("rows", hits=len(rows) - len(joined) - len(mine), joined=len(joined), misses=len(mine))
        times = Times()
        if mine:
            times = await self._lead(mine, row_of, priority, compute, found)
        if joined:
            times = await self._join(joined, row_of, times, compute, found)
        return HostAnswer([found[key] for key in keys], times)

    async def _lead(
        self,
        keys: Sequence[bytes],
        row_of: dict[bytes, Row],
        priority: Priority,
        compute: Compute,
        found: dict[bytes, Floats | SymbiontError],
    ) -> Times:
        """Computes rows that others may wait for; adds them to `found`."""
        loop = asyncio.get_running_loop()
        flights: list[_Flight] = [loop.create_future() for _ in keys]
        self._flights.update(zip([(priority, key) for key in keys], flights, strict=True))
        try:
            return await self._compute(keys, row_of, compute, found)
        finally:
            # However it ended, a caller that gave up included.
            for key, flight in zip(keys, flights, strict=True):
                value = found.get(key)
                del self._flights[priority, key]
                flight.set_result(None if isinstance(value, SymbiontError) else value)

    async def _join(
        self,
        flights: dict[bytes, _Flight],
        row_of: dict[bytes, Row],
        times: Times,
        compute: Compute,
        found: dict[bytes, Floats | SymbiontError],
    ) -> Times:
        """Waits for what others compute; adds it to `found`, and computes what they fail to."""
        began = time.monotonic()
        # Waits, and no more: a caller that gives up takes nothing from those who wait beside it.
        await asyncio.wait(flights.values())
        times = Times(times.queued + time.monotonic() - began, times.computed)
        for key, flight in flights.items():
            if (value := flight.result()) is not None:
                found[key] = value
        failed = [key for key in flights if key not in found]
        if not failed:
            return times
        own = await self._compute(failed, row_of, compute, found)
        return Times(times.queued + own.queued, times.computed + own.computed)

    async def _compute(
        self,
        keys: Sequence[bytes],
        row_of: dict[bytes, Row],
        compute: Compute,
        found: dict[bytes, Floats | SymbiontError],
    ) -> Times:
        answer = await compute([row_of[key] for key in keys])
        for key, value in zip(keys, answer.rows, strict=True):
            if isinstance(value, SymbiontError):
                found[key] = value
                continue
            # Copied out of the answer of the whole request, which would stay in memory with it.
            kept = found[key] = frozen(value)
            self._store.put(key, kept, bytes_of(kept))
        return answer.times
