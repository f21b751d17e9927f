"""Real services of tokenization and inference over gRPC, and a real Triton, all on loopback.

Bundles are asked for by digest, so that no registry is needed.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from tokenizers import Encoding, Tokenizer

from support.bundles import Reference, random_bundle, tiny_base
from support.tokenizers import CHINESE, ENGLISH, wordpiece
from symbiont.api.inference.v1 import inference_pb2 as pb
from symbiont.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from symbiont.bundle import CategoryField, FlagField, NumberField
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.channel import connect
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle, Registration, build_server
from symbiont.common.settings import ServiceSettings
from symbiont.engine.openvino_stored import load_graph
from symbiont.engine.settings import HostSettings
from symbiont.inference.__main__ import assemble
from symbiont.inference.settings import InferenceSettings
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.work import Work
from symbiont.triton.client import HostClient
from symbiont.triton.installation import find_triton
from symbiont.triton.server import TritonServer

MAX_TOKENS = 48
TEXTS = [*ENGLISH, *CHINESE[:4]]
FIELDS = (
    NumberField(name="income", mean=50.0, deviation=20.0),
    CategoryField(name="region", values=("north", "south", "华东")),
    FlagField(name="owner"),
)


@dataclass
class World:
    stub: InferenceServiceStub
    store: ArtifactStore
    base: str
    tokenizer: Tokenizer
    tokenizer_digest: str
    address: str

    def bundle(self, **shape: Any) -> tuple[str, Reference]:
        digest, reference = random_bundle(
            self.store, self.base, tokenizer_digest=self.tokenizer_digest, max_tokens=MAX_TOKENS, **shape
        )
        return f"bundles/{digest}", reference

    async def ask(self, model: str, instances: Sequence[pb.Instance], **options: Any) -> pb.PredictResponse:
        return await self.stub.Predict(pb.PredictRequest(model=model, instances=instances, **options), timeout=120)

    @contextmanager
    def windows(self, stride: int) -> Iterator[None]:
        """Lets `encode` give a long text as windows that overlap by so many tokens."""
        self.tokenizer.enable_truncation(MAX_TOKENS, stride=stride)
        yield
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, *texts: str) -> Encoding:
        return self.tokenizer.encode(*texts)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        store = ArtifactStore(tmp_path_factory.mktemp("artifacts"))
        tokenizer = wordpiece()
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 64}
        digest = store.put("tokenizers", {"tokenizer.json": tokenizer.to_str().encode()}, fields)
        base = tiny_base(store, vocab_size=tokenizer.get_vocab_size())
        # As a training would have left it: the host need not load torch.
        load_graph(store, base)
        installation = find_triton(start=Path(__file__).parent)
        triton = await stack.enter_async_context(TritonServer(installation, tmp_path_factory.mktemp("triton")))
        hosts = await stack.enter_async_context(
            HostClient(triton.url, HostSettings(store.root, threads=1, precision="fp32"))
        )
        tokenization = await _serve(stack, "tokenization", _tokenization(stack, store))
        settings = InferenceSettings(artifact_root=store.root, default_timeout_seconds=120)
        metrics, lifecycle = ServiceMetrics("inference"), Lifecycle()
        # Nobody listens at the registry's address: nothing here asks it.
        registry = await stack.enter_async_context(connect("127.0.0.1:9"))
        channel = await stack.enter_async_context(connect(tokenization))
        services, background = assemble(settings, metrics, lifecycle, registry, channel, hosts)
        for work in background:
            await stack.enter_async_context(work)
        address = await _serve(stack, "inference", services, metrics, lifecycle)
        asking = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        yield World(InferenceServiceStub(asking), store, base, tokenizer, digest, address)


def _tokenization(stack: AsyncExitStack, store: ArtifactStore) -> Sequence[Registration]:
    metrics = TokenizationMetrics(ServiceMetrics("tokenization").registry)
    executor = stack.enter_context(ThreadPoolExecutor(2))
    library, work = TokenizerLibrary(store, 4), Work(executor, 2, 1 << 24, metrics)
    return [
        registration(Catalogue(library, metrics, work), Tokenization(library, Limits(4096, 1 << 20, 2), metrics, work))
    ]


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
