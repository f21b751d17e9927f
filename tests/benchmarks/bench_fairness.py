"""What a tenant notices of another one's flood: the p99 of its calls, beside what it is without.

`python tests/benchmarks/bench_fairness.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one
is missed. `--small` does the same in seconds, for checking that the benchmark itself still runs.

The real suite serves both. One tenant sends calls of 16 texts at ten times the rate that is its peak, whatever becomes
of them; the other one, a process of its own, asks for one text after the other. In each round its calls are measured in
flood and in quiet, each first as often as the other. Callers, services and Triton share the cores.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
from symbiont.common.threads import QUIET

os.environ.update(QUIET)

import grpc
from bench_overload import (
    CALLERS,
    LEAST_DEADLINE_S,
    TEXTS_PER_CALL,
    TIMES_TOO_MUCH,
    Figure,
    Load,
    Outcome,
    Scale,
    p99,
    report,
)
from rich.console import Console
from serving.mood import MODEL, train
from serving.suite import add_home, running_suite

from symbiont.cli.demo.texts import labelled_sets

FULL, SMALL = Scale(rounds=6, seconds=8.0), Scale(rounds=1, seconds=0.1)
# The flood has filled the queue by then; in small it need not.
LEAD_S = 1.0
MOST = 1.5


@dataclass(frozen=True)
class Neighbour:
    """One that asks for one text after the other, each when it has the answer to the one before."""

    address: str
    model: str
    texts: Sequence[str]

    def ask(self, seconds: float) -> Outcome:
        """Returns what became of its calls in so many seconds; the first one, which connects, does not count."""

        async def asking() -> Outcome:
            async with grpc.aio.insecure_channel(self.address) as channel:
                load = Load(channel, self.model, self.texts, "neighbour")
                await load.call(Outcome(), load.request(1), 30)
                return await load.closed(1, 1, seconds)

        return asyncio.run(asking())


class Tenants:
    """One that floods, and its neighbour."""

    def __init__(self, flood: Load, neighbour: Neighbour, process: Executor, seconds: float) -> None:
        self._flood = flood
        self._neighbour = neighbour
        self._process = process
        self._seconds = seconds

    async def peak(self) -> Outcome:
        """What the one can have for itself alone."""
        return await self._flood.closed(CALLERS, TEXTS_PER_CALL, self._seconds / 2)

    async def quiet(self) -> Outcome:
        """The neighbour's calls when nobody else asks."""
        return await asyncio.get_running_loop().run_in_executor(self._process, self._neighbour.ask, self._seconds)

    async def flooded(self, peak: Outcome) -> tuple[Outcome, Outcome]:
        """The neighbour's calls in the flood, and what becomes of that."""
        rate = TIMES_TOO_MUCH * peak.texts_per_s() / TEXTS_PER_CALL
        deadline = max(LEAST_DEADLINE_S, 2 * median(peak.answered))
        lead = min(LEAD_S, self._seconds)
        flood = asyncio.create_task(self._flood.open(rate, TEXTS_PER_CALL, deadline, self._seconds + lead))
        await asyncio.sleep(lead)
        return await self.quiet(), await flood


async def measure(address: str, model: str, texts: Sequence[str], scale: Scale) -> list[Figure]:
    """Runs the rounds, after one that is not counted."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    # Not a fork of a process in which gRPC runs.
    process = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    async with grpc.aio.insecure_channel(address) as channel:
        flood, neighbour = Load(channel, model, texts, "flood"), Neighbour(address, model, texts)
        tenants = Tenants(flood, neighbour, process, scale.seconds)
        for number in range(scale.rounds + 1):
            peak = await tenants.peak()
            if number % 2:
                quiet, (flooded, flood) = await tenants.quiet(), await tenants.flooded(peak)
            else:
                (flooded, flood), quiet = await tenants.flooded(peak), await tenants.quiet()
            Console(width=120).print(
                f"round {number}: {len(quiet.answered)} in quiet, {len(flooded.answered)} in the flood, of which "
                f"{len(flood.answered)} were answered and {len(flood.refused)} refused"
            )
            if number:
                for name, outcome in (("quiet", quiet), ("flooded", flooded)):
                    note(f"{name}-p50", 1e3 * median(outcome.answered))
                    note(f"{name}-p99", p99(outcome.answered))
                note("p50", median(flooded.answered) / median(quiet.answered))
                note("p99", p99(flooded.answered) / p99(quiet.answered))
                note("lost", sum(flooded.codes.values()))
                note("goodput", flood.texts_per_s() / peak.texts_per_s())
    process.shutdown()
    return [
        Figure("in quiet: p50", "ms", found["quiet-p50"]),
        Figure("in quiet: p99", "ms", found["quiet-p99"]),
        Figure("in the flood: p50", "ms", found["flooded-p50"]),
        Figure("in the flood: p99", "ms", found["flooded-p99"]),
        Figure("p50: in the flood / in quiet", "", found["p50"]),
        Figure("p99: in the flood / in quiet", "", found["p99"], at_most=MOST),
        Figure("the neighbour's calls that were not answered", "", found["lost"], at_most=0),
        Figure("the flood's answered texts / its peak alone", "", found["goodput"]),
    ]


def main() -> int:
    """Runs the suite and the measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="short rounds; bars are printed but do not count")
    add_home(parser)
    parser.add_argument("--model", default=MODEL, help="that suite's model")
    asked = parser.parse_args()
    texts = [row.text for labelled in labelled_sets() for row in labelled.held_out]
    with running_suite(asked.home, asked.model, train) as suite:
        address = suite.record.addresses["inference"]
        figures = asyncio.run(measure(address, asked.model, texts, SMALL if asked.small else FULL))
    return 0 if report(figures, "fairness") or asked.small else 1


if __name__ == "__main__":
    sys.exit(main())
