"""The run: a host of its own in a real Triton, synthetic bundles, and what they cost."""

import os
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import numpy as np

from symbiont.capacity import bundles as synthetic
from symbiont.capacity.bundles import Shapes
from symbiont.capacity.findings import Findings, Offered, Options, Throughput
from symbiont.capacity.load import Ask, closed_loop, open_loop
from symbiont.capacity.memory import Memory
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import FailedPrecondition, Unavailable
from symbiont.engine.row import Row
from symbiont.triton.client import HostClient

ROWS, TOKENS = (1, 8, 32, 64), (16, 64, 256)
# Of a request: with more, a slow machine measures for minutes what a smaller request shows as well.
MAX_TOKENS = 4096
IN_FLIGHT = 2
# Parts of the highest rate of answers that are offered first; then halfway between the last kept and the first not.
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
HALVINGS = 2
LOAD_GROUP = 8
_PATIENCE_S = 300.0

# Says what is done now, and how far the whole run is, 0 to 1.
Tell = Callable[[str, float], None]


@dataclass(frozen=True)
class Place:
    """Where a run happens.

    Attributes:
        client: of the Triton, whose hosts get `store` as their artifact store.
        triton, metrics_url: its address, and where it serves metrics.
        serving: whether it had a host of the base already.
    """

    client: HostClient
    store: ArtifactStore
    triton: str
    metrics_url: str
    serving: bool


class Run:
    """One run on a base; `base` is the digest of its copy in the place's store."""

    def __init__(self, place: Place, base: str, shapes: Shapes, options: Options, tell: Tell) -> None:
        self._place = place
        self._base = base
        self._shapes = shapes
        self._options = options
        self._tell = tell
        self._random = random.Random(0)  # noqa: S311, no secret depends on it
        self._digests: list[str] = []

    async def findings(self, memory: Memory, original: str) -> Findings:
        """Measures everything.

        Raises:
            SymbiontError: Triton or its host failed.
        """
        options, shapes = self._options, self._shapes
        self._write()
        self._tell("loading the base", 0.1)
        await self._place.client.ensure_host(self._base)
        warm = max(1, options.bundles // 4)
        await self._load(self._digests[:warm])
        # So that what the host needs to compute with is there before it is weighed.
        await self._ask(*max(self._cells(), key=lambda cell: cell[0] * cell[1]))()
        await self._load(self._digests[:1])
        before = await self._host("process_bytes")
        began = time.perf_counter()
        await self._load(self._digests[warm:])
        load_s = (time.perf_counter() - began) / (options.bundles - warm)
        after, held = await self._host("process_bytes"), await self._host("bundles")
        if held < options.bundles:
            raise FailedPrecondition(f"the host holds {held:.0f} of {options.bundles} bundles")
        reported = await self._host("bundle_bytes") / held
        throughput = await self._throughput()
        offered = await self._offered(throughput)
        return Findings(
            options=options,
            base=original,
            shapes=shapes,
            triton=self._place.triton,
            cores=os.cpu_count() or 1,
            computed=synthetic.bundle_bytes(shapes, options.kind),
            warm=warm,
            host_before=int(before),
            host_after=int(after),
            reported=reported,
            load_s=load_s,
            memory=memory,
            serving=self._place.serving,
            throughput=throughput,
            offered=offered,
        )

    def _write(self) -> None:
        for seed in range(self._options.bundles):
            self._tell(f"writing bundle {seed + 1} of {self._options.bundles}", 0.1 * seed / self._options.bundles)
            digest = synthetic.write(self._place.store, self._base, self._shapes, self._options.kind, seed)
            self._digests.append(digest)

    async def _load(self, digests: Sequence[str]) -> None:
        for start in range(0, len(digests), LOAD_GROUP):
            self._tell("loading bundles", 0.15 + 0.15 * self._digests.index(digests[start]) / len(self._digests))
            rows = [Row(np.array([1, 2, 3], np.int32), digest) for digest in digests[start : start + LOAD_GROUP]]
            await self._place.client.infer(self._base, rows, timeout_s=_PATIENCE_S)

    def _ask(self, rows: int, tokens: int, patience_s: float = _PATIENCE_S) -> Ask:
        """Returns what asks so many random rows, each of a random bundle."""

        async def ask() -> None:
            ids = np.random.default_rng(self._random.getrandbits(32)).integers(1, 100, (rows, tokens), np.int32)
            end = time.monotonic() + patience_s
            asked = [Row(row, self._random.choice(self._digests), expires=end) for row in ids]
            await self._place.client.infer(self._base, asked, timeout_s=patience_s)

        return ask

    def _cells(self) -> Sequence[tuple[int, int]]:
        """Returns the requests whose throughput is measured: how many rows of how many tokens."""
        lengths = [length for length in TOKENS if length <= self._shapes.max_length] or [self._shapes.max_length]
        cells = [(rows, length) for length in lengths for rows in ROWS]
        return [(rows, length) for rows, length in cells if rows == 1 or rows * length <= MAX_TOKENS]

    async def _throughput(self) -> Sequence[Throughput]:
        cells = self._cells()
        found = []
        for number, (rows, length) in enumerate(cells):
            self._tell(f"requests of {rows} rows of {length} tokens", 0.3 + 0.35 * number / len(cells))
            ask = self._ask(rows, length)
            # A runtime may prepare itself for a shape when it first sees it.
            await ask()
            answers = await closed_loop(ask, IN_FLIGHT, self._options.seconds / 4, least=2)
            found.append(Throughput(rows, length, answers.rate * rows))
        return found

    async def _offered(self, throughput: Sequence[Throughput]) -> Sequence[Offered]:
        options = self._options
        self._tell("the highest rate of answers", 0.65)
        # As many at once as a host takes in one batch.
        peak = (await closed_loop(self._ask(1, options.tokens), ROWS[-1], options.seconds, least=2 * ROWS[-1])).rate
        ask = self._ask(1, options.tokens, patience_s=max(1.0, 10 * options.p99_s))
        if not peak:
            raise Unavailable("no request of the load was answered")
        rates, loads = [share * peak for share in SHARES], list[Offered]()
        for number, rate in enumerate(rates):
            self._tell(f"{rate:.0f} requests a second", 0.7 + 0.2 * number / len(rates))
            loads.append(await self._at(ask, rate))
            if not loads[-1].keeps(options.p99_s):
                break
        for number in range(HALVINGS):
            kept = max((load.offered for load in loads if load.keeps(options.p99_s)), default=0.0)
            lost = min((load.offered for load in loads if not load.keeps(options.p99_s)), default=0.0)
            if not kept or not lost:
                break
            self._tell(f"{(kept + lost) / 2:.0f} requests a second", 0.9 + 0.1 * number / HALVINGS)
            loads.append(await self._at(ask, (kept + lost) / 2))
        return sorted(loads, key=lambda load: load.offered)

    async def _at(self, ask: Ask, rate: float) -> Offered:
        answers = await open_loop(ask, rate, max(100, round(rate * self._options.seconds)))
        return Offered(rate, answers.rate, answers.quantile(0.5), answers.quantile(0.99), answers.failed)

    async def _host(self, name: str) -> float:
        return await read_metric(self._place.metrics_url, f"symbiont_host_{name}", self._base)


async def read_metric(url: str, name: str, base: str) -> float:
    """Returns a metric of a base's host from where Triton serves them.

    Raises:
        Unavailable: it cannot be read there.
    """
    pattern = re.compile(rf'^{name}\{{[^}}]*base="{base[:12]}"[^}}]*\}} (\S+)$', re.MULTILINE)
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            found = pattern.search((await client.get(url)).raise_for_status().text)
    except httpx.HTTPError as exc:
        raise Unavailable(f"{url} gives no metrics: {exc}") from exc
    if found is None:
        raise Unavailable(f"{url} has no {name} of the base")
    return float(found[1])
