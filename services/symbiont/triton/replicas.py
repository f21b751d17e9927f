"""Several Tritons as one: each gets every host, and a request goes to whichever is ready and has least to do."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from symbiont.common.errors import SymbiontError, Unavailable
from symbiont.common.log import get_logger
from symbiont.engine.row import HostAnswer, Row
from symbiont.triton.client import HostClient


class Replicas:
    """Calls hosts as HostClient does. One per process and event loop.

    Which Tritons have a host is known from the last `host_ready`, which whoever keeps hosts asks all the time; one that
    lacks it, because it was restarted, is given it meanwhile, and asked for no rows before it has it.
    """

    def __init__(self, clients: Sequence[HostClient]) -> None:
        self._clients = clients
        self._ready: defaultdict[str, set[HostClient]] = defaultdict(set)
        self._requests: Counter[HostClient] = Counter()
        self._mending: dict[tuple[HostClient, str], asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Closes all connections; see HostClient."""
        for task in list(self._mending.values()):
            task.cancel()
        await asyncio.gather(*(client.close() for client in self._clients))

    async def host_ready(self, base_digest: str) -> bool:
        """Whether a host is loaded in any of them."""
        found = await asyncio.gather(*(client.host_ready(base_digest) for client in self._clients))
        ready = {client for client, is_ready in zip(self._clients, found, strict=True) if is_ready}
        self._ready[base_digest] = ready
        if ready:
            for client in self._clients:
                if client not in ready:
                    self._mend(client, base_digest)
        return bool(ready)

    async def ensure_host(self, base_digest: str) -> None:
        """Loads a host wherever it is not; errors are those of HostClient, where none of them can."""
        problems = await asyncio.gather(*(self._load(client, base_digest) for client in self._clients))
        if all(problems):
            raise next(problem for problem in problems if problem)

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float = 30.0, request_id: str = ""
    ) -> HostAnswer:
        """Answers rows; those of a Triton that goes away meanwhile are computed by another. See HostClient."""
        end, problem = time.monotonic() + timeout_s, Unavailable("no Triton is known")
        for client in self._in_turn(base_digest):
            self._requests[client] += 1
            try:
                left = max(end - time.monotonic(), 1e-3)
                return await client.infer_rows(base_digest, rows, timeout_s=left, request_id=request_id)
            except Unavailable as exc:
                self._ready[base_digest].discard(client)
                problem = exc
            finally:
                self._requests[client] -= 1
        raise problem

    def _in_turn(self, base_digest: str) -> Iterator[HostClient]:
        """Yields each once: what is ready first, and of these what has least to do."""
        left = set(self._clients)
        while left:
            # Asked anew, for what was ready may be no more.
            ready = self._ready[base_digest]
            client = min(left, key=lambda one: (one not in ready, self._requests[one]))
            left.discard(client)
            yield client

    def _mend(self, client: HostClient, base_digest: str) -> None:
        key = client, base_digest
        if key not in self._mending:
            task = self._mending[key] = asyncio.create_task(self._give(client, base_digest))
            task.add_done_callback(lambda _: self._mending.pop(key, None))

    async def _give(self, client: HostClient, base_digest: str) -> None:
        if not await self._load(client, base_digest):
            get_logger().info("a Triton has its host again", base=base_digest, triton=client.url)

    async def _load(self, client: HostClient, base_digest: str) -> SymbiontError | None:
        try:
            await client.ensure_host(base_digest)
        except SymbiontError as exc:
            return exc
        self._ready[base_digest].add(client)
        return None
