"""Keeps in Triton every host that an alias needs, and says of every alias whether it can be answered now."""

import asyncio
from collections.abc import Awaitable, Callable

from symbiont.common.errors import SymbiontError
from symbiont.common.log import get_logger
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.ports import HostLoader
from symbiont.inference.table import RoutingTable
from symbiont.inference.types import ModelVersion

# Tells the state of a health name: ready, not ready, or (None) gone.
Report = Callable[[str, bool | None], Awaitable[None]]


class HostKeeper:
    """Looks after the hosts of all bases that an alias needs.

    Each is looked at every `interval_s` seconds, so that a Triton that was restarted gets its hosts back without
    anyone asking, and every alias has a health of its own, `models/{model}@{alias}`: whether its host is ready and the
    version that serves has answered a first row, and does so again after its bundle was found missing or damaged.
    """

    def __init__(
        self,
        client: HostLoader,
        table: RoutingTable,
        report: Report,
        metrics: InferenceMetrics,
        interval_s: float = 1.0,
    ) -> None:
        self._client = client
        self._table = table
        self._report = report
        self._metrics = metrics
        self._interval = interval_s
        self._ready: set[str] = set()
        self._reported: dict[str, bool] = {}
        self._changed = asyncio.Event()
        table.subscribe(self._changed.set)

    async def run(self) -> None:
        """Looks after the hosts until it is cancelled."""
        tended: dict[str, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                needed = self._table.bases()
                for base in needed - tended.keys():
                    tended[base] = group.create_task(self._tend(base))
                for base in tended.keys() - needed:
                    tended.pop(base).cancel()
                    self._ready.discard(base)
                await self._publish()
                await self._changed.wait()

    def is_ready(self, base: str) -> bool:
        """Whether the host of a base was ready when it was last looked at."""
        return base in self._ready

    def problem(self, version: ModelVersion) -> str:
        """Returns what keeps a version that serves under an alias from being answered, as last seen; or nothing."""
        if not self.is_ready(version.base_digest):
            return "its base model is not loaded in Triton now, or does not answer"
        return "" if self._table.is_proven(version) else "its bundle has not answered yet, or not since it failed"

    async def is_answerable(self, version: ModelVersion) -> bool:
        """Whether any version can be answered now: its host is ready, and its bundle is not waited for."""
        base = version.base_digest
        # Nobody looks after the host of a base that no alias needs.
        return not self._table.lacks_proof(version) and (self.is_ready(base) or await self._client.host_ready(base))

    async def _tend(self, base: str) -> None:
        failing = False
        while True:
            problem = await self._check(base)
            # Said once: a Triton that is away for an hour must not fill the log.
            if problem and not failing:
                get_logger().warning("host not ready", base=base, error=problem)
            failing = bool(problem)
            await asyncio.sleep(self._interval)

    async def _check(self, base: str) -> str:
        """Loads a host unless it is there; returns what keeps it from being ready, or nothing."""
        if not await self._client.host_ready(base):
            self._set_ready(base, False)
            try:
                await self._client.ensure_host(base)
            except SymbiontError as exc:
                return str(exc)
            # Triton's word is not enough: what is loaded may answer nothing.
            if not await self._client.host_ready(base):
                return "it is loaded, and leaves requests unanswered"
        self._set_ready(base, True)
        return ""

    def _set_ready(self, base: str, ready: bool) -> None:
        if ready is not (base in self._ready):
            (self._ready.add if ready else self._ready.discard)(base)
            get_logger().info("host ready" if ready else "host lost", base=base)
            self._changed.set()

    async def _publish(self) -> None:
        states = {alias.reference: not self.problem(alias.version) for alias in self._table.aliases()}
        for name in self._reported.keys() - states.keys():
            await self._report(name, None)
        for name, ready in states.items():
            if self._reported.get(name) is not ready:
                await self._report(name, ready)
        self._reported = states
        self._metrics.aliases.set(len(states))
        self._metrics.hosts_needed.set(len(self._table.bases()))
        self._metrics.hosts_ready.set(len(self._ready))
