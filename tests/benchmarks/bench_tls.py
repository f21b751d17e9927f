"""What certificates and tokens cost on the path of a Predict: a suite with TLS on every hop beside a plain one.

`python tests/benchmarks/bench_tls.py` prints a table, says for each bar *held* or *missed*, and exits 1 when one is
missed. `--small` does the same in seconds, for checking that the benchmark itself still runs.

Two suites of the same models, with a Triton each. In each round both answer the same calls of one text, 32 at a time
over a channel that is kept, in an order drawn anew: plainly, by a client certificate, and by a token beside it. The
cost of a call is the CPU time that all processes of the suite and the caller spend on it: on a machine that is full it
is what its throughput comes from, and unlike that it does not depend on who else uses the machine.
"""

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))
from symbiont.common.threads import QUIET

os.environ.update(QUIET)

import psutil
from bench_observability import CALLERS, interval
from rich.console import Console
from rich.table import Table
from serving.mood import MODEL, train
from serving.suite import RunningSuite, add_home, running_suite

from support.issuer import LittleIssuer
from support.stacks import BenchmarkStack
from support.waiting import until
from symbiont.cli.demo.texts import labelled_sets
from symbiont.cli.target import endpoints_of
from symbiont.client import AsyncClient, Credentials, RequestError
from symbiont.client.channels import Endpoints
from symbiont.local.home import Home, RunRecord
from symbiont.local.stack import Stack

LIMIT = 1.10


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    calls: int


FULL, SMALL = Scale(rounds=10, calls=192), Scale(rounds=1, calls=16)
PLAIN, MUTUAL, TOKEN = "plain", "mutual TLS", "mutual TLS and a token"


@dataclass(frozen=True)
class Kind:
    """A suite, and how it is called."""

    record: RunRecord
    credentials: Credentials

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of the services."""
        return endpoints_of(self.record.addresses)

    def cpu_seconds(self) -> float:
        """Returns what its processes have used, those of Triton's models among them, and this one."""
        leaders = [psutil.Process(one.pid) for one in self.record.processes.values()]
        everyone = [psutil.Process(), *leaders, *(child for one in leaders for child in one.children(recursive=True))]
        return sum(sum(process.cpu_times()[:2]) for process in everyone)


class Bench:
    """The measurements."""

    def __init__(self, kinds: Mapping[str, Kind], model: str, texts: Sequence[str], scale: Scale) -> None:
        self._kinds, self._model, self._texts, self._scale = kinds, model, texts, scale

    async def run(self) -> dict[str, list[float]]:
        """Returns of each kind, for each round, the CPU milliseconds of a call."""
        found: dict[str, list[float]] = {name: [] for name in self._kinds}
        chance = random.Random(0)
        clients = {
            name: AsyncClient(kind.endpoints, credentials=kind.credentials) for name, kind in self._kinds.items()
        }
        for client in clients.values():
            await until(partial(self._answers, client), 60)
        for number in range(self._scale.rounds + 1):
            for name in chance.sample(sorted(self._kinds), len(self._kinds)):
                before = self._kinds[name].cpu_seconds()
                await self._load(clients[name])
                # The first round warms up.
                if number:
                    found[name].append(1e3 * (self._kinds[name].cpu_seconds() - before) / self._scale.calls)
        for client in clients.values():
            await client.close()
        return found

    async def _answers(self, client: AsyncClient) -> bool:
        try:
            return bool(await client.predict(self._model, ["Is anybody there?"]))
        except RequestError:
            return False

    async def _load(self, client: AsyncClient) -> None:
        left = iter(islice(cycle(self._texts), self._scale.calls))

        async def ask() -> None:
            for text in left:
                await client.predict(self._model, [text])

        await asyncio.gather(*(ask() for _ in range(CALLERS)))


def report(found: Mapping[str, Sequence[float]]) -> bool:
    """Prints the table; returns whether every bar held."""
    console, table = Console(width=120), Table("calls", "CPU ms a call", title="cost")
    for name, figures in found.items():
        table.add_row(name, f"{median(figures):.2f}")
    console.print(table)
    held = True
    for name in (MUTUAL, TOKEN):
        ratios = [a / b for a, b in zip(found[name], found[PLAIN], strict=True)]
        low, high = interval(ratios)
        ok = median(ratios) <= LIMIT
        held &= ok
        word = "held" if ok else "missed"
        console.print(f"{word}: {name}: {median(ratios):.3f} ({low:.3f} to {high:.3f}) of {PLAIN}, at most {LIMIT}")
    return held


@contextmanager
def secured(suite: RunningSuite, folder: Path, issuer: LittleIssuer) -> Iterator[Stack]:
    """Runs a suite with certificates, which believes an issuer, on a copy of another's home."""
    left_out = shutil.ignore_patterns("run.json", "lock", "logs", "triton", "tls", "jobs")
    shutil.copytree(suite.home.root, folder / "home", ignore=left_out)
    os.environ["SYMBIONT_TOKEN_ISSUER"] = issuer.url
    try:
        with BenchmarkStack(Home(folder / "home")) as stack:
            stack.wait_ready()
            yield stack
    finally:
        del os.environ["SYMBIONT_TOKEN_ISSUER"]


def main() -> int:
    """Runs the suites and the measurements; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="few calls, two rounds; bars are printed but do not count")
    add_home(parser)
    parser.add_argument("--model", default=MODEL, help="that suite's model")
    asked = parser.parse_args()
    texts = [row.text for labelled in labelled_sets() for row in labelled.held_out]
    with ExitStack() as stack:
        suite = stack.enter_context(running_suite(asked.home, asked.model, train))
        issuer = stack.enter_context(LittleIssuer())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        secure = stack.enter_context(secured(suite, folder, issuer))
        own = Credentials.find(secure.home.root)
        token = issuer.token(exp=4_000_000_000, tenant=None, roles=["caller"])
        kinds = {
            PLAIN: Kind(suite.record, Credentials()),
            MUTUAL: Kind(secure.record, own),
            TOKEN: Kind(secure.record, Credentials(own.tls, lambda: token)),
        }
        found = asyncio.run(Bench(kinds, asked.model, texts, SMALL if asked.small else FULL).run())
    return 0 if report(found) or asked.small else 1


if __name__ == "__main__":
    sys.exit(main())
