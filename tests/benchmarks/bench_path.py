"""What the path costs: Predict through three services and Triton against the same engine in process, interleaved.

`python tests/benchmarks/bench_path.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one is
missed. `--small` does the same in seconds, for checking that the benchmark itself still runs.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
from symbiont.common.threads import QUIET

os.environ.update(QUIET | {"TOKENIZERS_PARALLELISM": "false"})

import numpy as np
from rich.console import Console
from rich.table import Table
from serving.mood import MODEL, train
from serving.suite import RunningSuite, add_home, running_suite
from tokenizers import Tokenizer

from support.bundles import random_bundle
from symbiont.cli.demo.texts import labelled_sets
from symbiont.client import AsyncClient
from symbiont.common.artifacts import ArtifactStore, SigningKey
from symbiont.common.channel import connect
from symbiont.engine.engine import Engine
from symbiont.engine.loading import load_runtime
from symbiont.engine.row import Row
from symbiont.engine.settings import HostSettings
from symbiont.inference.clients import TokenizationClient
from symbiont.inference.tokens import TokenQuery
from symbiont.local.signing import key_file
from symbiont.triton.client import HostClient

BUNDLES = 8
CALL = 32
MAX_TOKENS = 64
# What tokenization's hop adds to a call of inference: with one text in it, and with 64.
HOP_ONE, HOP_MANY = "hop-one", "hop-many"
Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Bar:
    """A promise: `value` of one measurement over another, at least or at most `limit`."""

    name: str
    measured: str
    over: str
    limit: float
    at_least: bool


BARS = (
    Bar(f"calls of {CALL} texts, throughput: Predict / in process", "predict-many", "engine-many", 0.70, True),
    Bar("one text, p50: Predict / in process", "predict-one", "engine-one", 1.5, False),
    Bar(f"64 rows of {BUNDLES} bundles / of one bundle, throughput", "host-mixed", "host-single", 0.85, True),
)


class Bench:
    """The measurements, on a running suite and an engine of the same base beside it. `calls` are those of a median."""

    def __init__(self, suite: RunningSuite, texts: Sequence[str], calls: int) -> None:
        self.calls = calls
        store = ArtifactStore(suite.home.artifacts)
        base, self.model = suite.version.base_digest, suite.model
        self.base, self.bundle, self.texts = base, suite.version.bundle_digest, texts
        self.engine = Engine(load_runtime(HostSettings(store.root, base, threads=os.cpu_count() or 1), store), store)
        self.bundles = [
            random_bundle(store, base, seed=seed, rank=8, num_labels=2 + seed)[0] for seed in range(BUNDLES)
        ]
        key = SigningKey.read(key_file(suite.home))
        for bundle in self.bundles:
            store.sign(bundle, key)
        self.client = AsyncClient(suite.endpoints)
        self.host = HostClient(suite.record.addresses["triton"], HostSettings(artifact_root=store.root))
        self.tokenizer_digest = suite.version.tokenizer_digest
        self.tokenizer = Tokenizer.from_file(str(store.path("tokenizers", self.tokenizer_digest) / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.channel = connect(suite.record.addresses["tokenization"])
        self.tokenization = TokenizationClient(self.channel)

    def rows(self, texts: Sequence[str]) -> list[np.ndarray]:
        return [np.array(e.ids, np.int32) for e in self.tokenizer.encode_batch_fast(list(texts))]

    async def engine_many(self) -> float:
        return await self.throughput(CALL, self.in_process)

    async def predict_many(self) -> float:
        return await self.throughput(CALL, lambda texts: self.client.predict(self.model, texts))

    async def engine_one(self) -> float:
        return await self.latency(self.in_process)

    async def predict_one(self) -> float:
        return await self.latency(lambda texts: self.client.predict(self.model, texts))

    async def host_single(self) -> float:
        return await self.throughput(64, lambda texts: self.ask_host(texts, self.bundles[:1]))

    async def host_mixed(self) -> float:
        return await self.throughput(64, lambda texts: self.ask_host(texts, self.bundles))

    async def hop_one(self) -> float:
        return await self.hop(1)

    async def hop_many(self) -> float:
        return await self.hop(64)

    async def in_process(self, texts: Sequence[str]) -> object:
        return self.engine.infer([Row(row, self.bundle) for row in self.rows(texts)])

    async def ask_host(self, texts: Sequence[str], bundles: Sequence[str]) -> object:
        rows = [Row(row, bundles[i % len(bundles)]) for i, row in enumerate(self.rows(texts))]
        return await self.host.infer(self.base, rows)

    async def throughput(self, size: int, ask: Callable[[Sequence[str]], Awaitable[object]]) -> float:
        """Returns texts per second, one call after another."""
        size = min(size, len(self.texts))
        started = time.perf_counter()
        for start in range(0, len(self.texts) - size + 1, size):
            await ask(self.texts[start : start + size])
        return len(self.texts) // size * size / (time.perf_counter() - started)

    async def latency(self, ask: Callable[[Sequence[str]], Awaitable[object]]) -> float:
        """Returns the median time of a call with one text, in milliseconds."""
        seconds = []
        for text in self.texts[: self.calls]:
            started = time.perf_counter()
            await ask([text])
            seconds.append(time.perf_counter() - started)
        return 1e3 * median(seconds)

    async def hop(self, size: int) -> float:
        """Returns by how much a call of tokenization outlasts the tokenizer's own work, median, in milliseconds."""
        seconds = []
        for number in range(self.calls):
            texts = [self.texts[(number + i) % len(self.texts)] for i in range(size)]
            began = time.perf_counter()
            await self.tokenization.tokenize(self.tokenizer_digest, TokenQuery(texts), MAX_TOKENS, timeout_s=60)
            called = time.perf_counter()
            self.rows(texts)
            seconds.append(called - began - (time.perf_counter() - called))
        return 1e3 * median(seconds)

    async def run(self, rounds: int) -> dict[str, list[float]]:
        """Returns the figures of each measurement; the rounds are interleaved, and one goes before them unmeasured."""
        names = sorted({HOP_ONE, HOP_MANY, *(name for bar in BARS for name in (bar.measured, bar.over))})
        found: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds + 1):
            for name in names:
                figure = await getattr(self, name.replace("-", "_"))()
                if number:
                    found[name].append(figure)
        await self.channel.close()
        await self.client.close()
        await self.host.close()
        return found


def report(found: dict[str, list[float]]) -> bool:
    """Prints the tables; returns whether every bar held."""
    console, table = Console(width=120), Table("measurement", "median", "lowest", "highest", title="the path")
    for name, figures in found.items():
        unit = "ms" if name.endswith("-one") or name == HOP_MANY else "texts/s"
        table.add_row(name, f"{median(figures):.1f} {unit}", f"{min(figures):.1f}", f"{max(figures):.1f}")
    console.print(table)
    hops = ratio_of(found, HOP_MANY, HOP_ONE)
    console.print(f"tokenization's hop, 64 texts in one RPC / one text in one RPC: {hops:.2f} (no bar)")
    held = True
    for bar in BARS:
        ratio = ratio_of(found, bar.measured, bar.over)
        ok = ratio >= bar.limit if bar.at_least else ratio <= bar.limit
        held &= ok
        wanted = f"{'at least' if bar.at_least else 'at most'} {bar.limit}"
        console.print(f"{'held' if ok else 'missed'}: {bar.name}: {ratio:.2f} ({wanted})")
    return held


def ratio_of(found: dict[str, list[float]], measured: str, over: str) -> float:
    """Returns one measurement over another, by rounds: their figures were taken within seconds of each other."""
    return median(a / b for a, b in zip(found[measured], found[over], strict=True))


def main() -> int:
    """Runs the suite and the measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few texts, one round; bars are printed but do not count")
    add_home(parser)
    parser.add_argument("--model", default=MODEL, help="that suite's model")
    asked = parser.parse_args()
    small = asked.small
    texts = [row.text for labelled in labelled_sets() for row in labelled.held_out][: 16 if small else 640]
    with running_suite(asked.home, asked.model, train) as suite:

        async def measure() -> dict[str, list[float]]:
            return await Bench(suite, texts, 4 if small else 64).run(1 if small else 5)

        found = asyncio.run(measure())
    return 0 if report(found) or small else 1


if __name__ == "__main__":
    sys.exit(main())
