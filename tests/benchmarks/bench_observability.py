"""What metrics and traces cost on the path of a Predict: services as they are beside services without, interleaved.

`python tests/benchmarks/bench_observability.py` prints a table, says for each bar *held* or *missed*, and exits 1 when
one is missed. `--small` does the same in seconds, for checking that the benchmark itself still runs.

Five pairs of tokenization and inference services share one Triton and one registry; in each round every pair answers
the same calls of one text, 32 at a time, in an order drawn anew. The cost of a call is the CPU time that inference,
tokenization and Triton spend on it: on a machine that is full it is what its throughput comes from, and unlike that it
does not depend on who else uses the machine.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
from symbiont.common.threads import QUIET

os.environ.update(QUIET)

import grpc
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from serving.mood import MODEL, train
from serving.suite import RunningSuite, add_home, running_suite

from support.collector import collecting
from support.service import ServiceProcess
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.cli.demo.texts import labelled_sets
from symbiont.local.services import TRITON_TRACING_URL

CALLERS = 32
LIMIT = 1.03
# Kinds of services.
SHIPPED, NO_METRICS, NO_TRACES, FEW, ALL = "as shipped", "no metrics", "no traces", "ratio 0.01", "ratio 1"
BARE = Path(__file__).parents[1] / "support" / "bare_service.py"


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    calls: int
    kinds: tuple[str, ...]


FULL = Scale(rounds=24, calls=384, kinds=(SHIPPED, NO_METRICS, NO_TRACES, FEW, ALL))
SMALL = Scale(rounds=1, calls=16, kinds=(SHIPPED, NO_TRACES, ALL))


@dataclass(frozen=True)
class Comparison:
    """What something costs: the calls of one pair of services over those of another.

    Triton's part is as long as all the rest and varies by more than is to be measured. It counts where Triton itself
    does something else: where it makes spans of its own.
    """

    name: str
    measured: str
    over: str
    with_triton: bool = False

    def ratios(self, found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[float]:
        """Returns, of each round, the whole path with what the measured services spend more, over the whole path."""
        part, whole = "path" if self.with_triton else "services", median(found[self.over]["path"])
        more = (a - b for a, b in zip(found[self.measured][part], found[self.over][part], strict=True))
        return [1 + each / whole for each in more]


COMPARISONS = (
    Comparison("metrics", SHIPPED, NO_METRICS),
    Comparison("the code of traces, with traces off", SHIPPED, NO_TRACES),
    Comparison("traces, one call in a hundred kept", FEW, SHIPPED),
    Comparison("traces, all kept", ALL, SHIPPED, with_triton=True),
)


class Pair:
    """Tokenization and inference of one kind."""

    def __init__(self, suite: RunningSuite, folder: Path, without: str, **settings: object) -> None:
        folder.mkdir()
        root, addresses = suite.home.artifacts, suite.record.addresses
        self.tokenization = ServiceProcess("tokenization", folder, artifact_root=root, **settings)
        self.inference = ServiceProcess(
            "inference",
            folder,
            artifact_root=root,
            tokenization_address=self.tokenization.address,
            training_address=addresses["training"],
            triton_address=addresses["triton"],
            **settings,
        )
        self.services = (self.tokenization, self.inference)
        for service in self.services:
            if without:
                service.run([sys.executable, "-P", str(BARE), service.name, without])

    def cpu_seconds(self) -> float:
        """Returns what both have used, threads that send spans among them."""
        return sum(sum(psutil.Process(service.process.pid).cpu_times()[:2]) for service in self.services)

    def scrape(self) -> None:
        """Reads the metrics, as Prometheus does every few seconds."""
        for service in self.services:
            urllib.request.urlopen(f"http://{service.metrics_address}/metrics").read()


class Bench:
    """The measurements."""

    def __init__(self, suite: RunningSuite, pairs: Mapping[str, Pair], texts: Sequence[str], scale: Scale) -> None:
        self._triton = psutil.Process(suite.record.processes["triton"].pid)
        self._model = f"models/{suite.model}"
        self._pairs, self._texts, self._scale = pairs, texts, scale

    async def run(self) -> dict[str, dict[str, list[float]]]:
        """Returns of each pair, for each round: CPU milliseconds of a call, in all and in the services."""
        found: dict[str, dict[str, list[float]]] = {name: {"path": [], "services": []} for name in self._pairs}
        chance = random.Random(0)
        for number in range(self._scale.rounds + 1):
            for name in chance.sample(sorted(self._pairs), len(self._pairs)):
                services, triton = await self._measure(self._pairs[name])
                # The first round warms up.
                if number:
                    found[name]["services"].append(services)
                    found[name]["path"].append(services + triton)
        return found

    async def _measure(self, pair: Pair) -> tuple[float, float]:
        before = pair.cpu_seconds(), self._triton_seconds()
        async with grpc.aio.insecure_channel(pair.inference.address) as channel:
            await self._load(InferenceServiceStub(channel))
        pair.scrape()
        after = pair.cpu_seconds(), self._triton_seconds()
        services, triton = (1e3 * (b - a) / self._scale.calls for a, b in zip(before, after, strict=True))
        return services, triton

    async def _load(self, stub: InferenceServiceStub) -> None:
        left = iter(islice(cycle(self._texts), self._scale.calls))

        async def ask() -> None:
            for text in left:
                request = pb.PredictRequest(model=self._model, instances=[pb.Instance(text=text)])
                await stub.Predict(request, timeout=60)

        await asyncio.gather(*(ask() for _ in range(CALLERS)))

    def _triton_seconds(self) -> float:
        everyone = [self._triton, *self._triton.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in everyone)


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % interval of the median over rounds, by a bootstrap of a thousand draws."""
    drawn = np.random.default_rng(0).choice(ratios, (1000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return float(low), float(high)


def _said(ratios: Sequence[float]) -> str:
    low, high = interval(ratios)
    return f"{median(ratios):.3f} ({low:.3f} to {high:.3f})"


def report(found: Mapping[str, Mapping[str, Sequence[float]]]) -> bool:
    """Prints the tables; returns whether every bar held."""
    console, table = Console(width=120), Table("services", "whole path, CPU ms a call", "services alone", title="cost")
    for name, figures in found.items():
        table.add_row(name, f"{median(figures['path']):.2f}", f"{median(figures['services']):.2f}")
    console.print(table)
    held = True
    for one in COMPARISONS:
        if not {one.measured, one.over} <= found.keys():
            continue
        alone = zip(found[one.measured]["services"], found[one.over]["services"], strict=True)
        ratios, services = one.ratios(found), [a / b for a, b in alone]
        ok = median(ratios) <= LIMIT
        held &= ok
        word = "held" if ok else "missed"
        console.print(f"{word}: {one.name}: {_said(ratios)}, at most {LIMIT}; services alone {_said(services)}")
    return held


def main() -> int:
    """Runs the services and the measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few calls of few kinds, one round; bars do not count")
    add_home(parser)
    parser.add_argument("--model", default=MODEL, help="that suite's model")
    asked = parser.parse_args()
    texts = [row.text for labelled in labelled_sets() for row in labelled.held_out]
    with ExitStack() as stack:
        collector = stack.enter_context(collecting(keep=False))
        os.environ[TRITON_TRACING_URL] = collector.http_url
        suite = stack.enter_context(running_suite(asked.home, asked.model, train))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def traced(ratio: float) -> dict[str, object]:
            return {"tracing_endpoint": collector.grpc_address, "tracing_sample_ratio": ratio}

        scale = SMALL if asked.small else FULL
        settings: dict[str, tuple[str, dict[str, object]]] = {
            SHIPPED: ("", {}),
            NO_METRICS: ("metrics", {}),
            NO_TRACES: ("traces", {}),
            FEW: ("", traced(0.01)),
            ALL: ("", traced(1)),
        }
        pairs = {
            kind: Pair(suite, folder / kind.replace(" ", "-"), settings[kind][0], **settings[kind][1])
            for kind in scale.kinds
        }
        services = [service for pair in pairs.values() for service in pair.services]
        for service in services:
            stack.callback(service.end)
        # Together: each spends most of its start on imports, and they would be waited for one after the other.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda service: service.start(), services))
        found = asyncio.run(Bench(suite, pairs, texts, scale).run())
    return 0 if report(found) or asked.small else 1


if __name__ == "__main__":
    sys.exit(main())
