"""Three real services, a real worker and a real Triton, which send their spans to a collector."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler

from support.collector import Collected, Collector, collecting
from support.service import ServiceProcess
from support.tiny import csv_of, labelled_rows, save_base
from support.training_suite import Suite
from support.waiting import until_sync
from symbiont.api.training.v1 import training_job_pb2
from symbiont.client import Client
from symbiont.client.channels import Endpoints
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

MODEL = "mood"
# Begins its labels, and is found in nothing else.
LABEL = "label-of-a-customer"

TOKENIZE = "symbiont.tokenization.v1.TokenizationService/Tokenize"
PREDICT = "symbiont.inference.v1.InferenceService/Predict"
# Each hop of a Predict: the process, the span, and the span that it hangs below.
HOPS = [
    ("caller", "symbiont.inference.v1/Predict", None),
    ("inference", PREDICT, ("caller", "symbiont.inference.v1/Predict")),
    ("inference", "resolve", ("inference", PREDICT)),
    ("inference", "tokenize", ("inference", PREDICT)),
    ("inference", TOKENIZE, ("inference", "tokenize")),
    ("tokenization", TOKENIZE, ("inference", TOKENIZE)),
    ("inference", "infer", ("inference", PREDICT)),
    ("inference", "queue", ("inference", "infer")),
    ("inference", "host", ("inference", "infer")),
    ("triton", "InferRequest", ("inference", "host")),
]
# It sends its spans every five seconds.
TRITON_S = 12


@dataclass
class Traced:
    """A running suite, with a promoted version of MODEL."""

    endpoints: Endpoints
    collector: Collector
    job: str


@contextmanager
def calling(suite: Traced, sampler: Sampler | None = None) -> Iterator[Client]:
    """Gives a client whose spans go to the same collector, as those of a program that has a tracer."""
    provider = TracerProvider(resource=Resource.create({"service.name": "caller"}), sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(suite.collector.grpc_address, insecure=True)))
    with Client(suite.endpoints, tracer_provider=provider) as client:
        yield client
    provider.shutdown()


def whole(collector: Collector, trace: str) -> Sequence[Collected]:
    """Waits until the trace of a Predict has all hops of ours, and for some time for those of Triton.

    Triton 2.51 loses the spans of some requests, most of all on a busy machine: they are in nothing that it sends.
    """
    wanted = {(service, name) for service, name, _ in HOPS if service != "triton"}

    def missing() -> set[tuple[str, str]]:
        return wanted - {(span.service, span.name) for span in collector.trace(trace)}

    try:
        until_sync(lambda: not missing())
    except AssertionError as exc:
        there = sorted((span.service, span.name) for span in collector.trace(trace))
        raise AssertionError(f"{missing()} are missing in {trace}, which has {there}") from exc
    with suppress(AssertionError):
        until_sync(lambda: has_triton(collector.trace(trace)), TRITON_S)
    return collector.trace(trace)


def has_triton(trace: Sequence[Collected]) -> bool:
    """Whether Triton's spans are in a trace."""
    return {"InferRequest", "compute"} <= {span.name for span in trace if span.service == "triton"}


@contextmanager
def traced_suite(folder: Path, sample_ratio: float) -> Iterator[Traced]:
    """Runs it and trains the model; the services keep so large a part of the traces that begin with them."""
    with ExitStack() as stack:
        collector = stack.enter_context(collecting())
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        # In seconds: on a machine that is busy, what comes late is not lost.
        environment.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
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
