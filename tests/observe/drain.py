"""Two of each process, restarted one after the other while callers go on: no call may fail.

`cd tests && python -m observe.drain --calls 10000` (`make drain`). Callers use the Python client, whose channels
balance over a static list of addresses, and which sends a call again that a process was too late to take. Each process
is ended by SIGTERM, as an orchestrator does it; the next one's turn comes when it takes its part of the calls again.
"""

import argparse
import asyncio
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from prometheus_client.parser import text_string_to_metric_families

from support.postgres import postgres
from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.waiting import until
from symbiont.client import AsyncClient, RequestError, training_spec
from symbiont.client.channels import Endpoints
from symbiont.engine.settings import HostSettings
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

MODEL = "mood"
CALLERS = 8
# A process that starts loads libraries, and on a busy machine waits for its turn.
PATIENCE_S = 60


@dataclass
class Calls:
    """What became of the calls: how many were answered, by kind, and what the others said."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return self.answered.total() + self.failed.total()


@dataclass
class Replica:
    """One of two processes: how it is restarted, and how much it has answered since."""

    name: str
    restart: Callable[[], Awaitable[None]]
    answered: Callable[[], float]


class Suite:
    """Two of each process, on one store and one PostgreSQL."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._folder, self._artifacts = folder, folder / "artifacts"
        triton = find_triton(start=Path(__file__).parent)
        self.tritons = [TritonServer(triton, self._made(f"triton-{number}")) for number in (1, 2)]
        self.tokenization = self._two("tokenization")
        tokenization = balanced(self.tokenization)
        self.training = self._two(
            "training", database_url=database_url, state_root=folder / "jobs", tokenization_address=tokenization
        )
        self.inference = self._two(
            "inference",
            tokenization_address=tokenization,
            training_address=balanced(self.training),
            triton_address=",".join(triton.url for triton in self.tritons),
            triton_bundle_servers=len(self.tritons),
            host_threads=1,
        )
        self.endpoints = Endpoints(balanced(self.training), balanced(self.inference), tokenization)

    @property
    def services(self) -> Sequence[ServiceProcess]:
        return [*self.tokenization, *self.training, *self.inference]

    def replicas(self, base: str) -> list[Replica]:
        """Returns all processes, in the order in which they are restarted."""

        def service(one: ServiceProcess) -> Replica:
            async def restart() -> None:
                assert await asyncio.to_thread(one.stop) == 0, one.log.read_text()
                await asyncio.to_thread(one.start)

            return Replica(one.log.parent.name, restart, lambda: answered_by_service(one))

        def server(one: TritonServer) -> Replica:
            async def restart() -> None:
                await one.stop(30)
                await one.start(PATIENCE_S)
                async with HostClient(one.url, HostSettings(self._artifacts)) as client:
                    await until(lambda: client.host_ready(base), PATIENCE_S)

            return Replica(one.log_file.parent.name, restart, lambda: answered_by_triton(one))

        before = map(service, [*self.tokenization, *self.training])
        return [*before, *map(server, self.tritons), *map(service, self.inference)]

    def _two(self, name: str, **settings: object) -> list[ServiceProcess]:
        folders = [self._made(f"{name}-{number}") for number in (1, 2)]
        return [ServiceProcess(name, folder, artifact_root=self._artifacts, **settings) for folder in folders]

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder


def balanced(services: Sequence[ServiceProcess]) -> str:
    """Returns the target of a channel that spreads its calls over them."""
    return "ipv4:" + ",".join(service.address for service in services)


def _sum(url: str, sample: str, **labels: str) -> float:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
    except OSError:
        return 0
    found = (s for family in families for s in family.samples if s.name == sample)
    return sum(s.value for s in found if labels.items() <= s.labels.items())


def answered_by_service(one: ServiceProcess) -> float:
    """Returns how many calls of the load a service has answered since it was started."""
    url, sample = f"http://{one.metrics_address}/metrics", "symbiont_rpc_seconds_count"
    return sum(_sum(url, sample, rpc=rpc, code="OK") for rpc in ("Predict", "Tokenize", "GetModel"))


def answered_by_triton(one: TritonServer) -> float:
    """Returns how many requests a Triton has answered since it was started."""
    return _sum(f"http://127.0.0.1:{one.metrics_port}/metrics", "nv_inference_request_success_total")


async def train(client: AsyncClient, folder: Path) -> str:
    """Makes a model that serves; returns the digest of its base."""
    rows = folder / "rows.csv"
    rows.write_bytes(csv_of(labelled_rows(64)))
    await client.register_base_model("tiny", folder=save_base(folder / "tiny"), license="MIT")
    await client.create_dataset("rows", rows)
    spec = training_spec(base_model="tiny", dataset="rows", model=MODEL, epochs=1)
    job = (await client.create_training_job(spec)).name
    async for _ in client.watch_training_job(job):
        pass
    version = await client.promote((await client.get_training_job(job)).model_version)
    return version.aliases[0].model_version.base_digest


async def call_on(client: AsyncClient, calls: Calls, chance: Random, enough: asyncio.Event, pause_s: float) -> None:
    """Calls, one after another, until it is told that it is enough."""
    asked: dict[str, Callable[[], Awaitable[object]]] = {
        "Predict": lambda: client.predict(MODEL, ["the film was a joy", "dull"]),
        "Tokenize": lambda: client.tokenize("tiny", ["the film was a joy"]),
        "GetModel": lambda: client.get_model(MODEL),
    }
    while not enough.is_set():
        (kind,) = chance.choices([*asked], [8, 1, 1])
        try:
            await asked[kind]()
        except RequestError as exc:
            calls.failed[f"{kind}: {exc}"] += 1
        else:
            calls.answered[kind] += 1
        await asyncio.sleep(pause_s)


async def roll(replicas: Sequence[Replica], calls: Calls) -> None:
    """Restarts each; the next one's turn comes when it answers again."""
    for replica in replicas:
        before = calls.count
        await replica.restart()
        await answering([replica])
        print(f"{replica.name}: restarted under {calls.count - before} calls, {calls.failed.total()} failed so far")


async def answering(replicas: Sequence[Replica]) -> None:
    """Waits until each has answered calls."""
    silent = list(replicas)
    deadline = time.monotonic() + PATIENCE_S
    while silent := [one for one in silent if not await asyncio.to_thread(one.answered)]:
        assert time.monotonic() < deadline, f"without calls: {', '.join(one.name for one in silent)}"
        await asyncio.sleep(0.1)


async def drain(
    folder: Path, database_url: str, least_calls: int, *, one_of_two: bool = False, pause_s: float = 0.0
) -> Calls:
    """Runs the suite, restarts all of it in turn under load, or one of each two; returns what became of the calls.

    Each caller pauses so long between two calls.
    """
    suite, calls, enough = Suite(folder, database_url), Calls(), asyncio.Event()
    async with AsyncExitStack() as stack:
        for triton in suite.tritons:
            await stack.enter_async_context(triton)
        for service in suite.services:
            await asyncio.to_thread(service.start)
            stack.push_async_callback(asyncio.to_thread, service.stop)
        client = await stack.enter_async_context(AsyncClient(suite.endpoints))
        base = await train(client, folder)
        replicas = suite.replicas(base)
        restarted = replicas[::2] if one_of_two else replicas
        await client.predict(MODEL, ["warm"])
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(call_on(client, calls, Random(number), enough, pause_s))
            await answering(replicas)
            for round_ in count(1):
                print(f"round {round_}")
                await roll(restarted, calls)
                if calls.count >= least_calls:
                    break
            enough.set()
    return calls


def main() -> int:
    """Runs it and says what came of it; returns the exit status."""
    parser = argparse.ArgumentParser(prog="drain", description="Restarts every process under load.")
    parser.add_argument("--calls", type=int, default=10_000, help="least calls, after whole rounds (default 10000)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="symbiont-drain-") as folder, postgres() as url:
        calls = asyncio.run(drain(Path(folder), url, asked.calls))
    print(f"{calls.count} calls ({', '.join(f'{n} {kind}' for kind, n in sorted(calls.answered.items()))})")
    for problem, number in calls.failed.most_common():
        print(f"failed {number} times: {problem}")
    print(f"{calls.failed.total()} failed")
    return int(bool(calls.failed))


if __name__ == "__main__":
    sys.exit(main())
