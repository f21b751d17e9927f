"""What happens when ten times more is asked than can be done: goodput, refusals, latency and memory.

`python tests/benchmarks/bench_overload.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one
is missed. `--small` does the same in seconds, for checking that the benchmark itself still runs.

The real suite answers calls of 16 texts. Its peak is what callers that wait for each answer get; then calls arrive at
ten times that rate, whatever becomes of them, each with twice the time that it takes at the peak, at least a second.
Callers, services and Triton share the cores.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).parents[1]))
from symbiont.common.threads import QUIET

os.environ.update(QUIET)

import grpc
import psutil
from rich.console import Console
from rich.table import Table
from serving.mood import MODEL, train
from serving.suite import add_home, running_suite

from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.cli.demo.texts import labelled_sets

TEXTS_PER_CALL = 16
CALLERS = 8
TIMES_TOO_MUCH = 10
LEAST_DEADLINE_S = 1.0


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    seconds: float


FULL, SMALL = Scale(rounds=5, seconds=6.0), Scale(rounds=1, seconds=0.1)


@dataclass
class Outcome:
    """What became of the calls of one measurement; times in seconds."""

    seconds: float = 0.0
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)

    def texts_per_s(self, per_call: int = TEXTS_PER_CALL) -> float:
        return per_call * len(self.answered) / self.seconds


@dataclass(frozen=True)
class Figure:
    """One measurement, a value for each round. With `at_least` or `at_most` it is a bar, which its median holds."""

    name: str
    unit: str
    values: Sequence[float]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_bar(self) -> bool:
        return self.at_least is not None or self.at_most is not None

    @property
    def held(self) -> bool:
        found = median(self.values)
        return (self.at_least is None or found >= self.at_least) and (self.at_most is None or found <= self.at_most)


class Load:
    """Callers of a running service, of a tenant or of none."""

    def __init__(self, channel: grpc.aio.Channel, model: str, texts: Sequence[str], tenant: str = "") -> None:
        self._metadata = (("symbiont-tenant", tenant),) if tenant else ()
        self._stub = InferenceServiceStub(channel)
        self._model = f"models/{model}"
        self._texts = cycle(texts)

    def request(self, texts: int) -> pb.PredictRequest:
        instances = [pb.Instance(text=text) for text in islice(self._texts, texts)]
        return pb.PredictRequest(model=self._model, instances=instances)

    async def call(self, outcome: Outcome, request: pb.PredictRequest, seconds: float) -> None:
        started = time.perf_counter()
        try:
            await self._stub.Predict(request, timeout=seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as exc:
            outcome.codes[exc.code().name] += 1
            if exc.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                outcome.refused.append(time.perf_counter() - started)
        else:
            outcome.answered.append(time.perf_counter() - started)

    async def closed(self, callers: int, texts: int, seconds: float) -> Outcome:
        """So many callers, each of which asks again when it has its answer."""
        outcome, started = Outcome(), time.perf_counter()

        async def ask() -> None:
            while time.perf_counter() < started + seconds:
                await self.call(outcome, self.request(texts), 30)

        await asyncio.gather(*(ask() for _ in range(callers)))
        outcome.seconds = time.perf_counter() - started
        return outcome

    async def open(self, per_second: float, texts: int, deadline: float, seconds: float) -> Outcome:
        """Calls at a rate, whether or not those before them are answered."""
        outcome, started, calls = Outcome(), time.perf_counter(), set[asyncio.Task[None]]()
        sent = 0
        while (now := time.perf_counter()) < started + seconds:
            while sent < per_second * (now - started):
                task = asyncio.create_task(self.call(outcome, self.request(texts), deadline))
                calls.add(task)
                task.add_done_callback(calls.discard)
                sent += 1
            await asyncio.sleep(0.002)
        outcome.seconds = time.perf_counter() - started
        # The answers after that are of the time before.
        await asyncio.gather(*calls)
        return outcome


def p99(values: Sequence[float]) -> float:
    """Returns the 99th percentile in milliseconds; 0 of nothing."""
    return 1e3 * (quantiles(values, n=100)[98] if len(values) > 1 else sum(values))


async def measure(address: str, pid: int, model: str, texts: Sequence[str], scale: Scale) -> list[Figure]:
    """Runs the rounds, after one that is not counted."""
    process = psutil.Process(pid)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    async with grpc.aio.insecure_channel(address) as channel:
        load = Load(channel, model, texts)
        for number in range(scale.rounds + 1):
            one = await load.closed(1, 1, scale.seconds / 2)
            many = await load.closed(32, 1, scale.seconds)
            peak = await load.closed(CALLERS, TEXTS_PER_CALL, scale.seconds)
            before = process.memory_info().rss
            rate = TIMES_TOO_MUCH * peak.texts_per_s() / TEXTS_PER_CALL
            deadline = max(LEAST_DEADLINE_S, 2 * median(peak.answered))
            over = await load.open(
                rate, TEXTS_PER_CALL, deadline, max(scale.seconds, min(3 * deadline, 4 * scale.seconds))
            )
            after = process.memory_info().rss
            Console(width=120).print(f"round {number}: {dict(over.codes)}, {len(over.answered)} answered")
            if number:
                note("one", 1e3 * median(one.answered))
                note("many", many.texts_per_s(1))
                note("many-p99", p99(many.answered))
                note("peak", peak.texts_per_s())
                note("goodput", over.texts_per_s())
                note("ratio", over.texts_per_s() / peak.texts_per_s())
                note("refused", p99(over.refused))
                note("accepted", p99(over.answered) / (1e3 * deadline))
                note("deadline", deadline)
                note("late", over.codes["DEADLINE_EXCEEDED"] / max(1, len(over.answered)))
                note("memory", (after - before) / 2**20)
    return [
        Figure("one caller, one text: p50", "ms", found["one"]),
        Figure("32 callers, one text: throughput", "texts/s", found["many"]),
        Figure("32 callers, one text: p99", "ms", found["many-p99"]),
        Figure(f"peak: {CALLERS} callers, {TEXTS_PER_CALL} texts", "texts/s", found["peak"]),
        Figure(f"goodput at {TIMES_TOO_MUCH}x", "texts/s", found["goodput"]),
        Figure(f"goodput at {TIMES_TOO_MUCH}x / peak", "", found["ratio"], at_least=0.90),
        Figure("refused calls: p99", "ms", found["refused"], at_most=50),
        Figure("deadline of a call", "s", found["deadline"]),
        Figure("accepted calls: p99 / deadline", "", found["accepted"], at_most=1.05),
        Figure("let in and too late / answered", "", found["late"]),
        Figure("memory of the service: growth in the overload", "MiB", found["memory"], at_most=32),
    ]


def report(figures: Sequence[Figure], title: str = "overload") -> bool:
    """Prints the tables; returns whether every bar held."""
    console, table = Console(width=120), Table("measurement", "median", "lowest", "highest", title=title)
    for figure in figures:
        values = figure.values
        table.add_row(figure.name, f"{median(values):.2f} {figure.unit}", f"{min(values):.2f}", f"{max(values):.2f}")
    console.print(table)
    for figure in figures:
        if figure.is_bar:
            wanted = f"at least {figure.at_least:g}" if figure.at_least is not None else f"at most {figure.at_most:g}"
            state = "held" if figure.held else "missed"
            console.print(f"{state}: {figure.name}: {median(figure.values):.2f} {figure.unit} ({wanted})")
    return all(figure.held for figure in figures)


def main() -> int:
    """Runs the suite and the measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="one short round; bars are printed but do not count")
    add_home(parser)
    parser.add_argument("--model", default=MODEL, help="that suite's model")
    asked = parser.parse_args()
    small = asked.small
    texts = [row.text for labelled in labelled_sets() for row in labelled.held_out]
    with running_suite(asked.home, asked.model, train) as suite:
        address, pid = suite.record.addresses["inference"], suite.record.processes["inference"].pid
        figures = asyncio.run(measure(address, pid, asked.model, texts, SMALL if small else FULL))
    return 0 if report(figures) or small else 1


if __name__ == "__main__":
    sys.exit(main())
