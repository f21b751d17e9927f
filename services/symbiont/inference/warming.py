"""A version answers a first row before anything flips to it, so that no caller waits for it or finds it broken."""

import asyncio
from collections.abc import Callable

from symbiont.common.errors import DeadlineExceeded, FailedPrecondition, ResourceExhausted, SymbiontError, Unavailable
from symbiont.common.log import get_logger
from symbiont.engine.row import Row
from symbiont.inference.bundles import BundleShelf
from symbiont.inference.metrics import InferenceMetrics
from symbiont.inference.ports import HostClient, TokenSource
from symbiont.inference.table import RoutingTable
from symbiont.inference.tokens import TokenQuery
from symbiont.inference.types import ModelVersion

FIRST_DELAY, LARGEST_DELAY = 0.1, 5.0
REQUEST_ID = "warm-up"
# Any text does: what is tried is whether the tokenizer is there.
TEXT = "symbiont"
# Errors of a peer, and not of the version that is tried.
_AWAY = (Unavailable, DeadlineExceeded, ResourceExhausted)


class Warmer:
    """Has every version that an alias or a release needs answer a row: its bundle is then in the host, and good.

    A version that fails is tried again, after ever longer pauses, and serves nothing new meanwhile.
    """

    def __init__(
        self,
        table: RoutingTable,
        bundles: BundleShelf,
        golden: Callable[[str], Row],
        tokens: TokenSource,
        hosts: HostClient,
        metrics: InferenceMetrics,
        at_once: int,
        timeout_s: float,
    ) -> None:
        """Joins the parts.

        Args:
            golden: reads a row that a bundle brings along, by its digest, blocking.
            at_once: versions that are tried at a time; each loads a bundle, which callers of others may notice.
            timeout_s: for one try, in which a host may have to be loaded.
        """
        self._table = table
        self._bundles = bundles
        self._golden = golden
        self._tokens = tokens
        self._hosts = hosts
        self._metrics = metrics
        self._free = asyncio.Semaphore(at_once)
        self._timeout = timeout_s
        self._changed = asyncio.Event()
        table.subscribe(self._changed.set)

    async def run(self) -> None:
        """Tries what is needed, until it is cancelled."""
        tried: dict[ModelVersion, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                waiting = self._table.unproven()
                self._metrics.versions_waiting.set(len(waiting))
                # One that answered and was doubted at once waits again, and its task has ended.
                ended = {version for version, task in tried.items() if task.done()}
                for version in tried.keys() - waiting | ended:
                    tried.pop(version).cancel()
                for version in waiting - tried.keys():
                    tried[version] = group.create_task(self._until_it_answers(version))
                await self._changed.wait()

    async def _until_it_answers(self, version: ModelVersion) -> None:
        delay, known = FIRST_DELAY, ""
        while problem := await self._problem(version):
            # Said once: a bundle that is broken for days must not fill the log.
            if problem != known:
                get_logger().warning("version not ready", version=version.name, error=problem)
            known = problem
            await asyncio.sleep(delay)
            delay = min(2 * delay, LARGEST_DELAY)
        get_logger().info("version ready", version=version.name, bundle=version.bundle_digest)
        self._table.prove(version)

    async def _problem(self, version: ModelVersion) -> str:
        async with self._free:
            try:
                await self._try(version)
            except SymbiontError as exc:
                self._metrics.warm_ups.labels("away" if isinstance(exc, _AWAY) else "failed").inc()
                return str(exc)
        self._metrics.warm_ups.labels("answered").inc()
        return ""

    async def _try(self, version: ModelVersion) -> None:
        bundle = await self._bundles.of(version)
        asked = version.tokenizer_digest
        tokens = await self._tokens.tokenize(asked, TokenQuery([TEXT]), bundle.max_tokens, self._timeout)
        if tokens.tokenizer_digest != asked:
            raise FailedPrecondition(f"asked for the tokenizer {asked}, {tokens.tokenizer_digest} answered")
        row = await asyncio.to_thread(self._golden, version.bundle_digest)
        answer = await self._hosts.infer_rows(
            version.base_digest, [row], timeout_s=self._timeout, request_id=REQUEST_ID
        )
        if isinstance(answer.rows[0], SymbiontError):
            raise answer.rows[0]
