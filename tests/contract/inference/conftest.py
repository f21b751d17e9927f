"""The inference service with real gRPC peers, wired as its process wires it; only Triton is a stand-in."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tritonclient.grpc import aio as triton_aio
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from support.waiting import until
from symbiont.api.inference.v1 import inference_pb2
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.training.v1 import base_model_pb2, base_model_pb2_grpc, model_pb2, model_pb2_grpc
from symbiont.bundle import (
    BundleManifest,
    BusinessField,
    Calibration,
    CategoryField,
    ClassificationHead,
    EmbeddingHead,
    EntityHead,
    FlagField,
    Golden,
    Head,
    Lineage,
    MultiLabelHead,
    NoMethod,
    NumberField,
    ScoreHead,
    SpanHead,
    write_bundle,
)
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.channel import connect
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound, SymbiontError
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.principal import Guard
from symbiont.common.request_id import current_request_id
from symbiont.common.server import ANYBODY, Lifecycle, Registration, build_server
from symbiont.common.settings import ServiceSettings
from symbiont.engine.row import HostAnswer, Row, Times
from symbiont.inference.__main__ import assemble
from symbiont.inference.settings import InferenceSettings
from symbiont.inference.warming import REQUEST_ID, TEXT
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.work import Work

BASE = "a" * 64
FIELDS = (
    NumberField(name="income", mean=50.0, deviation=20.0),
    CategoryField(name="home region", values=("north", "south")),
    FlagField(name="owner"),
)
BASES = base_model_pb2.DESCRIPTOR.services_by_name["BaseModelService"].full_name
TRAINING = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name


class FakeBases(base_model_pb2_grpc.BaseModelServiceServicer):
    """The base models of a registry."""

    def __init__(self) -> None:
        self.bases: list[base_model_pb2.BaseModel] = []

    async def ListBaseModels(self, request: Any, context: Any) -> Any:
        # A page has one, so that whoever wants all must turn them.
        first = int(request.page_token or 0)
        more = str(first + 1) if first + 1 < len(self.bases) else ""
        return base_model_pb2.ListBaseModelsResponse(base_models=self.bases[first : first + 1], next_page_token=more)


class FakeTraining(model_pb2_grpc.ModelServiceServicer):
    """A registry in memory on a port of its own, which can go and come back."""

    def __init__(self) -> None:
        self.versions: dict[str, model_pb2.ModelVersion] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.releases: dict[tuple[str, str], model_pb2.Release] = {}
        self.ended: list[model_pb2.EndReleaseRequest] = []
        self.calls: list[str] = []
        self.bases = FakeBases()
        self._watchers: list[asyncio.Queue[model_pb2.ModelAlias]] = []
        self._port = 0
        self._server: Any = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        service = Registration(TRAINING, self, model_pb2_grpc.add_ModelServiceServicer_to_server)
        add = base_model_pb2_grpc.add_BaseModelServiceServicer_to_server
        services = [service, Registration(BASES, self.bases, add)]
        self._server = build_server(ServiceSettings(), ServiceMetrics("training"), Lifecycle(), services)
        self._port = self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)

    def promote(self, model: str, alias: str, version: model_pb2.ModelVersion) -> None:
        self.versions[version.name] = version
        self.aliases[model, alias] = version.name
        self._tell(model, alias)

    def release(self, model: str, alias: str, version: model_pb2.ModelVersion, **values: Any) -> str:
        """Begins a release; returns its name."""
        name = f"models/{model}/aliases/{alias}/releases/release-{version.name.rpartition('/')[2]}"
        self.versions[version.name] = version
        self.releases[model, alias] = model_pb2.Release(name=name, candidate_version=version, **values)
        self._tell(model, alias)
        return name

    def end_release(self, model: str, alias: str) -> None:
        del self.releases[model, alias]
        self._tell(model, alias)

    async def EndRelease(self, request: Any, context: Any) -> Any:
        self.ended.append(request)
        _, model, _, alias, _, _ = request.name.split("/")
        if (model, alias) in self.releases:
            self.end_release(model, alias)
        return model_pb2.Release(name=request.name)

    def _tell(self, model: str, alias: str) -> None:
        for queue in self._watchers:
            queue.put_nowait(self._alias(model, alias))

    def _alias(self, model: str, alias: str) -> model_pb2.ModelAlias:
        version = self.versions[self.aliases[model, alias]]
        release = self.releases.get((model, alias))
        return model_pb2.ModelAlias(model=f"models/{model}", alias=alias, model_version=version, release=release)

    async def GetModel(self, request: Any, context: Any) -> Any:
        self.calls.append(request.name)
        found = [self._alias(*key) for key in self.aliases if f"models/{key[0]}" == request.name]
        if not found:
            raise NotFound(f"{request.name} does not exist")
        return model_pb2.Model(name=request.name, aliases=found)

    async def GetModelVersion(self, request: Any, context: Any) -> Any:
        self.calls.append(request.name)
        if request.name not in self.versions:
            raise NotFound(f"{request.name} does not exist")
        return self.versions[request.name]

    async def WatchModelAliases(self, request: Any, context: Any) -> Any:
        queue: asyncio.Queue[model_pb2.ModelAlias] = asyncio.Queue()
        self._watchers.append(queue)
        everything = [self._alias(*key) for key in self.aliases]
        yield model_pb2.WatchModelAliasesResponse(aliases=everything, complete=True)
        while True:
            yield model_pb2.WatchModelAliasesResponse(aliases=[await queue.get()])


@dataclass
class FakeTriton:
    """Answers a row with the logits of its bundle, the first one shifted by the row's length over a thousand.

    Rows of `broken` bundles have an error. First rows, which versions are tried with, are counted apart, in `warmed`.
    """

    logits: dict[str, list[float]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    # Bundles whose rows take a tenth of a second more.
    slow: set[str] = field(default_factory=set)
    damage: type[NotFound] | type[IntegrityError] = IntegrityError
    warmed: list[str] = field(default_factory=list)
    bundles: list[list[str]] = field(default_factory=list)
    loaded: set[str] = field(default_factory=set)
    request_ids: list[str] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    asked: int = 0
    error: SymbiontError | None = None
    seconds: float = 0.0
    # Of each row, one request after another.
    row_seconds: float = 0.0
    # Closed, it keeps every request.
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    # Bundles of the rows, in the order in which they came.
    order: list[str] = field(default_factory=list)
    _computing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.gate.set()

    async def host_ready(self, base_digest: str) -> bool:
        return base_digest in self.loaded and not self.error

    async def ensure_host(self, base_digest: str) -> None:
        if self.error:
            raise self.error
        self.loaded.add(base_digest)

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float, request_id: str, spare: int = 0
    ) -> HostAnswer:
        if request_id == REQUEST_ID:
            self.warmed += [row.bundle for row in rows]
            return self._answer(rows)
        self.request_ids.append(request_id)
        self.asked += len(rows)
        self.timeouts.append(timeout_s)
        self.order.extend(row.bundle for row in rows)
        await asyncio.sleep(self.seconds + 0.1 * any(row.bundle in self.slow for row in rows))
        async with self._computing:
            await self.gate.wait()
            computing = self.row_seconds * len(rows)
            await asyncio.sleep(computing)
        self.rows = [row.input_ids.tolist() for row in rows]
        self.bundles.append([row.bundle for row in rows])
        return self._answer(rows, computing or 0.002)

    def _answer(self, rows: Sequence[Row], computed: float = 0.002) -> HostAnswer:
        if isinstance(self.error, NotFound | InvalidArgument | IntegrityError):
            # Of these each row has its own.
            return HostAnswer([self.error] * len(rows), Times())
        if self.error:
            raise self.error
        return HostAnswer([self._value(row) for row in rows], Times(0.001, computed))

    def _value(self, row: Row) -> Any:
        if row.bundle in self.broken:
            return self.damage(f"bundles/{row.bundle}: damaged")
        value = np.array(self.logits[row.bundle], dtype=np.float32)
        value[0] += len(row.input_ids) / 1000
        return value


class Listening(Tokenization):
    """The real thing, which also notes whose requests it serves."""

    request_ids: list[str]
    texts: int = 0

    async def tokenize(self, settings: Any, batch: Any, expires: float | None = None) -> Any:
        if list(batch.texts) != [TEXT]:
            self.request_ids.append(current_request_id())
            self.texts += len(batch.texts)
        return await super().tokenize(settings, batch, expires)


@dataclass
class Suite:
    """The service under test, its peers, and two models: `mood` with two labels and `intent` with three."""

    inference: Any
    training: FakeTraining
    tokenization: Any
    triton: FakeTriton
    store: ArtifactStore
    tokenizer_digest: str
    listening: "Listening"
    tokenizing: Registration

    @property
    def token_request_ids(self) -> list[str]:
        """The ids of the requests that tokenization served."""
        return self.listening.request_ids

    def make_version(
        self,
        model: str,
        number: int,
        labels: Sequence[str],
        logits: list[float],
        *,
        head: Head | None = None,
        fields: Sequence[BusinessField] = (),
        takes: Any = "text",
        base: str = BASE,
        **changes: Any,
    ) -> model_pb2.ModelVersion:
        """Stores a bundle of its own, of a classifier unless told otherwise, and describes it as the registry does."""
        head = head or ClassificationHead(pooling="mean", hidden_size=4, num_labels=len(labels))
        width = sum(field.width for field in fields)
        manifest = BundleManifest(
            base_digest=base,
            tokenizer_digest=self.tokenizer_digest,
            max_tokens=32,
            task=head.kind,
            input=takes,
            labels=tuple(labels),
            fields=tuple(fields),
            method=NoMethod(),
            head=head,
            calibration=Calibration(temperature=2.0),
            lineage=Lineage(
                job=f"jobs/{model}-{number}", training_dataset="", evaluation_dataset="", seed=0, code_version="0"
            ),
            golden=Golden(
                input_ids=((2,),), logits=((0.0,) * head.outputs,), features=((0.0,) * width,) if width else ()
            ),
        )
        tensors = {
            "weight": np.full((head.outputs, 4 + width), number, dtype=np.float32),
            "bias": np.zeros(head.outputs, dtype=np.float32),
        }
        digest = write_bundle(self.store, manifest, {}, tensors)
        self.triton.logits[digest] = logits
        values = {"bundle_digest": digest, "base_digest": base, "tokenizer_digest": self.tokenizer_digest, **changes}
        return model_pb2.ModelVersion(name=f"models/{model}/versions/{number}", **values)


@pytest.fixture
def changes() -> dict[str, Any]:
    """Settings of the service that a file of tests needs otherwise."""
    return {}


@pytest.fixture
def bases() -> list[base_model_pb2.BaseModel]:
    """What the registry knows of bases; a file of tests may have others."""
    return []


@pytest.fixture
def guard() -> Guard:
    """Says who calls, and whether they may; a file of tests may have another."""
    return ANYBODY


@pytest.fixture
async def suite(
    serve: Any,
    store: ArtifactStore,
    tokenizer_digest: str,
    changes: dict[str, Any],
    guard: Guard,
    bases: list[base_model_pb2.BaseModel],
) -> AsyncIterator[Suite]:
    async with AsyncExitStack() as stack:
        training, triton = FakeTraining(), FakeTriton()
        training.bases.bases += bases
        await training.start()
        stack.push_async_callback(training.stop)

        tokenization_metrics = ServiceMetrics("tokenization")
        executor = stack.enter_context(ThreadPoolExecutor(2))
        own = TokenizationMetrics(tokenization_metrics.registry)
        library, work = TokenizerLibrary(store, 4), Work(executor, 2, 1 << 24, own)
        listening = Listening(library, Limits(4096, 1 << 20, 2), own, work)
        listening.request_ids = []
        service = registration(Catalogue(library, own, work), listening)
        tokenization = await serve([service], tokenization_metrics, Lifecycle())

        channels = [await stack.enter_async_context(connect(a)) for a in (training.address, tokenization.address)]
        values = {"host_check_seconds": 0.02, "default_timeout_seconds": 5, "max_message_bytes": 16 << 20, **changes}
        settings = InferenceSettings(artifact_root=store.root, **values)
        metrics, lifecycle = ServiceMetrics("inference"), Lifecycle()
        services, background = assemble(settings, metrics, lifecycle, channels[0], channels[1], triton)
        for work in background:
            await stack.enter_async_context(work)
        inference = await serve(services, metrics, lifecycle, guard=guard)
        await until(lambda: lifecycle.ready)

        made = Suite(inference, training, tokenization, triton, store, tokenizer_digest, listening, service)
        training.promote("mood", "production", made.make_version("mood", 1, ["bad", "good"], [0.0, 2.0]))
        training.promote("intent", "production", made.make_version("intent", 1, ["a", "b", "c"], [4.0, 0.0, 2.0]))
        yield made


@pytest.fixture
def kinds(suite: Suite) -> Suite:
    """The suite with a model of each further task: their answers are of no use here, what they refuse is."""
    labels = MultiLabelHead(pooling="mean", hidden_size=4, num_labels=2, thresholds=(0.5, 0.6))
    made: dict[str, dict[str, Any]] = {
        "topics": {"head": labels, "labels": ["a", "b"]},
        "credit": {"head": ScoreHead(pooling="mean", hidden_size=4), "fields": FIELDS},
        "pairs": {"labels": ["no", "yes"], "takes": "pair"},
        "vectors": {"head": EmbeddingHead(pooling="mean", hidden_size=4, size=4)},
        "names": {"head": EntityHead(hidden_size=4, num_labels=3), "labels": ["O", "B-x", "I-x"]},
        "answers": {"head": SpanHead(hidden_size=4), "takes": "pair"},
    }
    for model, shape in made.items():
        version = suite.make_version(model, 1, shape.pop("labels", ()), [1.0, 2.0], **shape)
        suite.training.promote(model, "production", version)
    return suite


@pytest.fixture
def eventually() -> Any:
    """Calls until the answer satisfies a condition; returns it."""

    async def ask(call: Any, holds: Any) -> Any:
        async with asyncio.timeout(60):
            while not holds(answer := await call()):  # noqa: ASYNC110, a service tells nobody of its changes
                await asyncio.sleep(0.02)
        return answer

    return ask


@pytest.fixture
def open_stub(suite: Any) -> Any:
    return GRPCInferenceServiceStub(suite.inference.channel)


@pytest.fixture
async def client(suite: Any) -> Any:
    async with triton_aio.InferenceServerClient(suite.inference.address) as made:
        yield made


@pytest.fixture
def predict(suite: Any) -> Any:
    """What Predict says: per text label -> probability, and the best label."""

    async def ask(model: str, *texts: str) -> tuple[list[dict[str, float]], list[str]]:
        instances = [inference_pb2.Instance(text=text) for text in texts]
        request = inference_pb2.PredictRequest(model=f"models/{model}", instances=instances)
        answer = await InferenceServiceStub(suite.inference.channel).Predict(request)
        classes = [p.classification.classes for p in answer.predictions]
        return [{c.label: c.probability for c in row} for row in classes], [row[0].label for row in classes]

    return ask


@pytest.fixture
def tokenizer(definition: bytes) -> Tokenizer:
    made = Tokenizer.from_buffer(definition)
    made.no_padding()
    made.no_truncation()
    return made
