"""Three real services, a real worker and a real Triton, which send their spans to a collector."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.trace import TracerProvider

from support.collector import Collector, collecting
from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from symbiont.api.training.v1 import training_job_pb2
from symbiont.client import Client
from symbiont.client.channels import Endpoints
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

MODEL = "mood"
# Begins its labels, and is found in nothing else.
LABEL = "label-of-a-customer"


@dataclass
class Traced:
    """A running suite, with a promoted version of MODEL."""

    endpoints: Endpoints
    collector: Collector
    job: str

    def client(self, provider: TracerProvider | None = None) -> Client:
        return Client(self.endpoints, tracer_provider=provider)


@contextmanager
def traced_suite(folder: Path, sample_ratio: float) -> Iterator[Traced]:
    """Runs it and trains the model; the services keep so large a part of the traces that begin with them."""
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        environment.setenv("SYMBIONT_TRACING_ENDPOINT", collector.grpc_address)
        environment.setenv("SYMBIONT_TRACING_SAMPLE_RATIO", str(sample_ratio))
        suite = Suite(folder)
        stack.callback(suite.channel.close)
        for service in (suite.tokenization, suite.training):
            stack.callback(service.start().stop)
        triton = stack.enter_context(_running_triton(folder / "triton", collector.http_url))
        inference = ServiceProcess(
            "inference",
            folder,
            artifact_root=folder / "artifacts",
            tokenization_address=suite.tokenization.address,
            training_address=suite.training.address,
            triton_address=triton.url,
            host_threads=1,
        )
        stack.callback(inference.start().stop)
        suite.register(save_base(folder / "tiny"))
        suite.upload("rows", csv_of([(text, f"{LABEL}-{label}") for text, label in labelled_rows(64)]))
        short = training_job_pb2.Hyperparameters(epochs=1, batch_size=16)
        job = suite.create(hyperparameters=short, model=f"models/{MODEL}").name
        assert suite.states(job)[-1] == "SUCCEEDED"
        endpoints = Endpoints(suite.training.address, inference.address, suite.tokenization.address)
        with Client(endpoints) as client:
            client.promote(suite.get(job).model_version)
            client.predict(MODEL, ["warm"])
        yield Traced(endpoints, collector, job)


@contextmanager
def _running_triton(folder: Path, tracing_url: str) -> Iterator[TritonServer]:
    """Runs a Triton on an event loop in a thread of its own."""
    folder.mkdir()
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    server = TritonServer(find_triton(start=Path(__file__).parent), folder, tracing_url)
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.kill(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
