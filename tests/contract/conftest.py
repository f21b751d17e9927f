"""Real services on loopback: in this process, or as processes of their own."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from prometheus_client.parser import text_string_to_metric_families
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from support.service import ServiceProcess
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.principal import Guard
from symbiont.common.server import ANYBODY, SERVING, Lifecycle, Registration, build_server, set_health
from symbiont.common.settings import ServiceSettings

SENTENCES = [
    "Where is my order?",
    "Please cancel the invoice and refund me.",
    "请帮我取消订单，谢谢。",
    "今天天气很好。",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


@dataclass
class Running:
    """A service that listens."""

    address: str
    channel: grpc.aio.Channel
    metrics_url: str = ""
    metrics: ServiceMetrics | None = None
    lifecycle: Lifecycle | None = None
    server: grpc.aio.Server | None = None
    process: ServiceProcess | None = None

    async def samples(self) -> Callable[..., float | None]:
        """Returns a look-up in the metrics as they are now: (name, **labels) -> value."""
        if self.metrics and not self.metrics_url:
            self.metrics_url = f"http://127.0.0.1:{self.metrics.serve('127.0.0.1:0')}/metrics"
        async with httpx.AsyncClient() as client:
            text = (await client.get(self.metrics_url)).text
        found = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        return lambda name, **labels: found.get((name, frozenset(labels.items())))

    async def listed_services(self) -> list[str]:
        """Returns what reflection lists."""
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        return [service.name async for answer in call for service in answer.list_services_response.service]


Serve = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a service in this process, on a free port unless it is told another."""
    async with AsyncExitStack() as stack:

        async def start(
            services: Sequence[Registration],
            metrics: ServiceMetrics,
            lifecycle: Lifecycle,
            address: str = "127.0.0.1:0",
            guard: Guard = ANYBODY,
        ) -> Running:
            server = build_server(ServiceSettings(), metrics, lifecycle, services, guard=guard)
            address = f"127.0.0.1:{server.add_insecure_port(address)}"
            await server.start()
            stack.push_async_callback(server.stop, 0)
            stack.callback(metrics.close)
            await set_health(lifecycle, services, SERVING)
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            return Running(address, channel, metrics=metrics, lifecycle=lifecycle, server=server)

        yield start


@pytest.fixture
async def launch(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Starts a service with settings, on free ports whatever they are, and waits until its log says that it serves."""
    async with AsyncExitStack() as stack:

        async def start(service: str, **settings: str) -> Running:
            chosen = {"address": "127.0.0.1:0", "metrics_address": "127.0.0.1:0", **settings}
            process = ServiceProcess(service, Path(tempfile.mkdtemp(dir=tmp_path)), **chosen)
            await asyncio.to_thread(process.start)
            stack.push_async_callback(end, process)
            lines = process.events()
            assert {line["service"] for line in lines} == {service}
            (serving,) = [line for line in lines if line["event"] == "serving"]
            address = f"127.0.0.1:{serving['port']}"
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            return Running(address, channel, f"http://127.0.0.1:{serving['metrics_port']}/metrics", process=process)

        yield start


async def end(process: ServiceProcess) -> None:
    await asyncio.to_thread(process.kill)


@pytest.fixture
def stop() -> Callable[[Running], Awaitable[int]]:
    """Sends SIGTERM; returns the exit status."""

    async def send(running: Running) -> int:
        assert running.process
        return await asyncio.to_thread(running.process.stop)

    return send


@pytest.fixture
def refusal() -> Callable[[Any], Awaitable[tuple[str, str, str]]]:
    """Awaits a call that must fail; returns its status, the field at fault ('' for none) and its text."""

    async def told(call: Any) -> tuple[str, str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        field, request = "", error_details_pb2.BadRequest()
        status = rpc_status.from_call(caught.value)
        for detail in status.details if status else ():
            if detail.Unpack(request):
                field = request.field_violations[0].field
        return caught.value.code().name, field, caught.value.details() or ""

    return told


@pytest.fixture(scope="session")
def definition() -> bytes:
    """A tokenizer.json that pads to 40 and cuts at 8, as published ones do."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL))
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    tokenizer.enable_padding(length=40)
    tokenizer.enable_truncation(8)
    return tokenizer.to_str().encode()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def tokenizer_digest(store: ArtifactStore, definition: bytes) -> str:
    """A stored tokenizer that takes 32 tokens."""
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": 32}
    return store.put("tokenizers", {"tokenizer.json": definition}, fields)
