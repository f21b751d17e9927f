"""A running suite with everything in it that has a metric: models of several tasks, a release, a catalogue, a language
model, jobs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from support.language_models import save_language_model
from support.prometheus import Prometheus
from support.stacks import ForkingStack
from support.tiny import csv_of, labelled_rows, save_base
from symbiont.api.training.v1.training_job_pb2 import TrainingSpec
from symbiont.cli.target import endpoints_of
from symbiont.client import Client, training_spec
from symbiont.client.channels import Endpoints
from symbiont.local.home import Home
from symbiont.local.stack import Stack

MAX_TOKENS = 32
# So that what is off by default has something to show.
SETTINGS = {
    "SYMBIONT_CACHE_MIB": "8",
    "SYMBIONT_TENANT_WEIGHTS": '{"bank": 2, "shop": 1}',
    "SYMBIONT_PRICE_PER_RANK_HOUR": "1.2",
}
# A fifth of them judge what is trained, which drift is measured from: it takes a hundred.
ROWS = 800


@dataclass(frozen=True)
class Observed:
    """The suite, a client of it, the Prometheus that scrapes it, and the release that runs in it."""

    client: Client
    endpoints: Endpoints
    prometheus: Prometheus
    stack: Stack
    folder: Path
    release: str = ""

    def train(self, model: str, dataset: str, **options: Any) -> str:
        """Trains a version, and returns its name."""
        spec = self.spec(model, dataset, **options)
        job = self.client.create_training_job(spec, tenant="bank")
        list(self.client.watch_training_job(job.name))
        return self.client.get_training_job(job.name).model_version

    def spec(self, model: str, dataset: str, **options: Any) -> TrainingSpec:
        """Returns the spec of a short job."""
        usual = {"base_model": "tiny", "epochs": 2, "learning_rate": 5e-3, "max_tokens": MAX_TOKENS}
        return training_spec(**usual | options | {"model": model, "dataset": dataset})  # type: ignore[typeddict-item]


@contextmanager
def observed(folder: Path) -> Iterator[Observed]:
    """Starts all of it on a folder of its own; two versions of `mood`, the first in production, the second tried."""
    with pytest.MonkeyPatch.context() as patched, ExitStack() as running:
        for name, value in SETTINGS.items():
            patched.setenv(name, value)
        stack = running.enter_context(ForkingStack(Home(folder / "home"), insecure=True))
        stack.wait_ready()
        endpoints = endpoints_of(stack.record.addresses)
        with Prometheus(folder / "prometheus", stack.record.metrics_urls) as prometheus, Client(endpoints) as client:
            suite = Observed(client, endpoints, prometheus, stack, folder)
            yield replace(suite, release=_fill(suite))


def _fill(suite: Observed) -> str:
    """Registers, trains and promotes; returns the name of the release."""
    client, folder = suite.client, suite.folder
    client.register_base_model("tiny", folder=save_base(folder / "tiny"), provider="acme", license="MIT")
    save_language_model(folder / "lm", max_length=512)
    client.register_base_model("tiny-lm", folder=folder / "lm", provider="initech", license="MIT")
    (folder / "rows.csv").write_bytes(csv_of(labelled_rows(ROWS)))
    client.create_dataset("rows", folder / "rows.csv")
    first, second = (suite.train("mood", "rows", seed=seed) for seed in (1, 2))
    client.promote(first)
    release = client.create_release("mood@production", second, weight=30, shadow=True)
    client.promote(suite.train("embedder", "rows", head="embedding", embedding_size=8))
    client.create_catalogue("faq", "embedder")
    return release.name
