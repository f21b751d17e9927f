"""The response cache before a real Triton: whatever is asked, answers are those of a service without it.

Two inference services over gRPC, one with the cache and one without, share one Triton and one tokenization service.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from support.bundles import random_bundle, tiny_base
from support.tokenizers import ENGLISH, wordpiece
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.api.training.v1 import model_pb2, model_pb2_grpc
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.channel import connect
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle, Registration, build_server
from symbiont.common.settings import ServiceSettings
from symbiont.engine.openvino_stored import load_graph
from symbiont.engine.row import HostAnswer, Row
from symbiont.engine.settings import HostSettings
from symbiont.inference.__main__ import assemble
from symbiont.inference.cache.keys import Scope
from symbiont.inference.settings import InferenceSettings
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.work import Work
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.open_inference import open_inference_pb2 as oip
from symbiont.triton.open_inference import open_inference_pb2_grpc as oip_grpc
from symbiont.triton.server import TritonServer

pytestmark = pytest.mark.asyncio(loop_scope="module")
# Rows stand in other batches when some of a call are known: sums in another order.
TOLERANCE = 1e-5
TRAINING = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name


class CountingHosts(HostClient):
    """The real client, which counts the rows that it sends, by bundle."""

    def __init__(self, url: str, settings: HostSettings) -> None:
        super().__init__(url, settings)
        self.rows: Counter[str] = Counter()

    async def infer_rows(
        self, base_digest: str, rows: Sequence[Row], *, timeout_s: float = 30.0, request_id: str = "", spare: int = 0
    ) -> HostAnswer:
        self.rows.update(row.bundle for row in rows)
        return await super().infer_rows(base_digest, rows, timeout_s=timeout_s, request_id=request_id, spare=spare)


class Registry(model_pb2_grpc.ModelServiceServicer):
    """Versions by name."""

    def __init__(self) -> None:
        self.versions: dict[str, model_pb2.ModelVersion] = {}

    async def WatchModelAliases(self, request: Any, context: Any) -> Any:
        yield model_pb2.WatchModelAliasesResponse(complete=True)
        await asyncio.sleep(600)

    async def GetModel(self, request: Any, context: Any) -> Any:
        version = self.versions[f"{request.name}/versions/1"]
        alias = model_pb2.ModelAlias(model=request.name, alias="production", model_version=version)
        return model_pb2.Model(name=request.name, aliases=[alias])

    async def GetModelVersion(self, request: Any, context: Any) -> Any:
        return self.versions[request.name]


@dataclass
class World:
    cached: grpc.aio.Channel
    plain: grpc.aio.Channel
    hosts: CountingHosts
    token_calls: Counter[str]
    digests: dict[str, str] = field(default_factory=dict)

    async def both(self, request: Any) -> tuple[Any, Any]:
        """Returns what the services answer, with the cache and without."""
        return await ask(self.cached, request), await ask(self.plain, request)


async def ask(channel: grpc.aio.Channel, request: Any) -> Any:
    match request:
        case pb.PredictRequest():
            return await InferenceServiceStub(channel).Predict(request, timeout=60)
        case pb.ExplainRequest():
            return await InferenceServiceStub(channel).Explain(request, timeout=60)
        case oip.ModelInferRequest():
            return await oip_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)


class Listening(Tokenization):
    """The real thing, which also counts its calls."""

    calls: Counter[str]

    async def tokenize(self, settings: Any, batch: Any, expires: float | None = None) -> Any:
        self.calls["tokenize"] += 1
        return await super().tokenize(settings, batch, expires)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        store = ArtifactStore(tmp_path_factory.mktemp("artifacts"))
        tokenizer = wordpiece()
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}
        tokenizer_digest = store.put("tokenizers", {"tokenizer.json": tokenizer.to_str().encode()}, fields)
        base = tiny_base(store, vocab_size=tokenizer.get_vocab_size())
        load_graph(store, base)
        installation = find_triton(start=Path(__file__).parent)
        triton = await stack.enter_async_context(TritonServer(installation, tmp_path_factory.mktemp("triton")))
        hosts = await stack.enter_async_context(
            CountingHosts(triton.url, HostSettings(store.root, threads=1, precision="fp32"))
        )
        # Which takes longer than a call may, where the machine is busy.
        await hosts.ensure_host(base)
        registry, calls = Registry(), Counter[str]()
        service = Registration(TRAINING, registry, model_pb2_grpc.add_ModelServiceServicer_to_server)
        training = await _connect(stack, await _serve(stack, "training", [service]))
        tokenization = await _connect(stack, await _serve(stack, "tokenization", _tokenization(stack, store, calls)))
        channels = []
        for cache_mib in (16, 0):
            settings = InferenceSettings(artifact_root=store.root, cache_mib=cache_mib)
            metrics, lifecycle = ServiceMetrics("inference"), Lifecycle()
            services, _ = assemble(settings, metrics, lifecycle, training, tokenization, hosts)
            channels.append(await _connect(stack, await _serve(stack, "inference", services, metrics, lifecycle)))
        made = World(*channels, hosts, calls)
        shapes: dict[str, dict[str, Any]] = {
            "first": {"seed": 1},
            "second": {"seed": 2},
            "pair": {"seed": 3, "takes": "pair"},
            "entities": {"seed": 4, "task": "entities", "num_labels": 5},
        }
        for name, shape in shapes.items():
            common = {"tokenizer_digest": tokenizer_digest, "max_tokens": 32, "num_labels": 3}
            made.digests[name], _ = random_bundle(store, base, **{**common, **shape})
        # The second version of `mine`, and the only one of `yours`, are other bundles or other tenants.
        for model, number, name in (("mine", 1, "first"), ("mine", 2, "second"), ("yours", 1, "first")):
            registry.versions[f"models/{model}/versions/{number}"] = model_pb2.ModelVersion(
                name=f"models/{model}/versions/{number}",
                bundle_digest=made.digests[name],
                base_digest=base,
                tokenizer_digest=tokenizer_digest,
            )
        yield made


def _tokenization(stack: AsyncExitStack, store: ArtifactStore, calls: Counter[str]) -> Sequence[Registration]:
    metrics = TokenizationMetrics(ServiceMetrics("tokenization").registry)
    executor = stack.enter_context(ThreadPoolExecutor(2))
    library, work = TokenizerLibrary(store, 4), Work(executor, 2, 1 << 24, metrics)
    listening = Listening(library, Limits(4096, 1 << 20, 2), metrics, work)
    listening.calls = calls
    return [registration(Catalogue(library, metrics, work), listening)]


async def _serve(
    stack: AsyncExitStack,
    name: str,
    services: Sequence[Registration],
    metrics: ServiceMetrics | None = None,
    lifecycle: Lifecycle | None = None,
) -> str:
    metrics = metrics or ServiceMetrics(name)
    server = build_server(ServiceSettings(), metrics, lifecycle or Lifecycle(), services)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    stack.push_async_callback(server.stop, 0)
    stack.callback(metrics.close)
    return address


async def _connect(stack: AsyncExitStack, address: str) -> grpc.aio.Channel:
    return await stack.enter_async_context(connect(address))


def of_texts(model: str, *texts: str) -> pb.PredictRequest:
    return pb.PredictRequest(model=model, instances=[pb.Instance(text=text) for text in texts])


def of_ids(rows: Sequence[Sequence[int]], model: str, version: str = "1") -> oip.ModelInferRequest:
    ids = np.array(rows, np.int64)
    request = oip.ModelInferRequest(model_name=model, model_version=version, raw_input_contents=[ids.tobytes()])
    request.inputs.add(name="INPUT_IDS", datatype="INT64", shape=ids.shape)
    return request


def numbers(response: Any) -> list[float]:
    """Returns all numbers of an answer, in its order."""
    if isinstance(response, oip.ModelInferResponse):
        names = [output.name for output in response.outputs]
        return np.frombuffer(response.raw_output_contents[names.index("PROBABILITIES")], np.float32).tolist()
    if isinstance(response, pb.ExplainResponse):
        return [word.attribution for explanation in response.explanations for word in explanation.words]
    found: list[float] = []
    for prediction in response.predictions:
        # By label, because those that are equal but for rounding may change places.
        found += [c.probability for c in sorted(prediction.classification.classes, key=lambda c: c.label)]
        found += [value for e in prediction.entities.entities for value in (e.start, e.end, e.probability)]
    return found


def same(first: Any, second: Any) -> bool:
    """Whether two answers are equal but for rounding."""
    one, other = numbers(first), numbers(second)
    return len(one) == len(other) and bool(np.allclose(one, other, atol=TOLERANCE))


def questions() -> dict[str, Any]:
    """What is asked, in this order, so that each follows what it could be taken for."""
    text, twice = ENGLISH[0], [ENGLISH[0], ENGLISH[1], ENGLISH[0]]
    six = (5, 6, 7, 8, 9, 10)
    pairs = [("where is", "my order"), ("where", "is my order"), ("where is my order", "my order")]
    return {
        "a version": of_texts("models/mine/versions/1", text),
        "another version": of_texts("models/mine/versions/2", text),
        "another tenant": of_texts("models/yours/versions/1", text),
        "several, one of them twice": of_texts("models/mine/versions/1", *twice),
        **{
            f"pair {number}": pb.PredictRequest(
                model="PAIR", instances=[pb.Instance(pair=pb.Pair(first=first, second=second))]
            )
            for number, (first, second) in enumerate(pairs)
        },
        "tags": of_texts("ENTITIES", " ".join(ENGLISH), text),
        "tags of a window": of_texts("ENTITIES", text),
        "ids": of_ids([six], "mine"),
        "ids in two rows": of_ids([six[:3], six[3:]], "mine"),
        "ids in three rows": of_ids([six[:2], six[2:4], six[4:]], "mine"),
        "ids of another version": of_ids([six], "mine", "2"),
        "ids of another tenant": of_ids([six], "yours"),
        "why": pb.ExplainRequest(model="models/mine/versions/1", instances=[pb.Instance(text=text)]),
        "why another version": pb.ExplainRequest(model="models/mine/versions/2", instances=[pb.Instance(text=text)]),
    }


def for_digests(request: Any, digests: dict[str, str]) -> Any:
    if isinstance(request, pb.PredictRequest) and request.model.isupper():
        request.model = f"bundles/{digests[request.model.lower()]}"
    return request


async def test_answers_are_those_of_a_service_without_it(world: World) -> None:
    requests = {name: for_digests(request, world.digests) for name, request in questions().items()}
    first = {name: await ask(world.cached, request) for name, request in requests.items()}
    plain = {name: await ask(world.plain, request) for name, request in requests.items()}
    sent, tokenized = world.hosts.rows.total(), world.token_calls.total()
    again = {name: await ask(world.cached, request) for name, request in requests.items()}
    for name in requests:
        assert same(first[name], plain[name]), name
        # Not computed again, so equal to the last bit.
        assert numbers(again[name]) == numbers(first[name]), name
        assert numbers(first[name]), name
    assert (world.hosts.rows.total(), world.token_calls.total()) == (sent, tokenized)
    assert not same(plain["a version"], plain["another version"])
    assert not same(plain["pair 0"], plain["pair 1"])
    assert not same(plain["ids"], plain["ids of another version"])
    times = again["a version"].stage_times
    assert times.compute.ToNanoseconds() == times.queue.ToNanoseconds() == 0
    assert again["a version"].served_model == first["a version"].served_model


async def test_a_tenant_has_its_own_computed(world: World) -> None:
    text, digest = "a text that nobody asked for before", world.digests["first"]
    before = world.hosts.rows[digest]
    for model in ("mine", "mine", "yours", "yours"):
        await ask(world.cached, of_texts(f"models/{model}/versions/1", text))
    assert world.hosts.rows[digest] - before == 2


async def test_who_names_itself_another_tenant_has_its_own_computed(world: World) -> None:
    digest, stub = world.digests["first"], InferenceServiceStub(world.cached)
    request = of_texts("models/mine/versions/1", "what two tenants ask for")
    before = world.hosts.rows[digest]
    for tenant in ("north", "south", "north", "south"):
        await stub.Predict(request, timeout=60, metadata=[("symbiont-tenant", tenant)])
    await stub.Predict(request, timeout=60)
    assert world.hosts.rows[digest] - before == 3


async def test_rows_that_are_known_leave_a_call(world: World) -> None:
    known, new = ["known one", "known two"], ["new one", "new two"]
    await ask(world.cached, of_texts("models/mine/versions/1", *known))
    before = world.hosts.rows.total()
    request = of_texts("models/mine/versions/1", new[0], known[1], new[1], known[0])
    answer, plain = await world.both(request)
    assert same(answer, plain)
    assert world.hosts.rows.total() - before == len(new) + 4


async def test_a_stream_profits_too(world: World) -> None:
    stub = InferenceServiceStub(world.cached)
    request = of_texts("models/mine/versions/1", "what a stream asks for")
    expected = await ask(world.cached, request)
    before = world.hosts.rows.total()
    requests = [pb.PredictStreamRequest(id=str(number), request=request) for number in range(8)]
    answers = [answer async for answer in stub.PredictStream(iter(requests), timeout=60)]
    assert [numbers(answer.response) for answer in answers] == [numbers(expected)] * 8
    assert world.hosts.rows.total() == before


async def test_loading_a_model_computes_whatever_is_known(world: World) -> None:
    """It is asked for so that bundle and host are in memory, which no cache can do."""
    stub = oip_grpc.GRPCInferenceServiceStub(world.cached)
    before = world.hosts.rows.total()
    for _ in range(2):
        await stub.RepositoryModelLoad(oip.RepositoryModelLoadRequest(model_name="mine"), timeout=60)
    assert world.hosts.rows.total() - before == 2


async def test_with_tritons_key_these_tests_would_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That key has the bytes of the inputs, and neither parameters (the bundle, the tenant) nor shapes."""
    monkeypatch.setattr(Scope, "row_key", lambda self, row: b"host" + row.input_ids.tobytes())
    text = "a text for a wrong key"
    await ask(world.cached, of_texts("models/mine/versions/1", text))
    leaked, right = await world.both(of_texts("models/mine/versions/2", text))
    assert leaked.served_model == right.served_model
    assert not same(leaked, right)
