"""Generate over gRPC through the vLLM writer: everything is real but vLLM, whose contract a server stands in for."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.language_models import CHAT_TEMPLATE
from support.vllm import FakeVllm
from support.waiting import until
from symbiont.api.inference.v1 import generation_pb2 as pb
from symbiont.api.inference.v1.generation_pb2_grpc import GenerationServiceStub
from symbiont.api.training.v1 import base_model_pb2, base_model_pb2_grpc
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.channel import connect
from symbiont.common.errors import NotFound
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle, Registration
from symbiont.inference.clients import BaseListClient
from symbiont.inference.generation.servicer import generation_service
from symbiont.inference.licenses import LicenseMetrics, Licenses
from symbiont.inference.metrics import GenerationMetrics
from symbiont.inference.settings import InferenceSettings

BASES = base_model_pb2.DESCRIPTOR.services_by_name["BaseModelService"].full_name
TOKENIZER = "f" * 64


class FakeBases(base_model_pb2_grpc.BaseModelServiceServicer):
    """A registry with one language model, `tiny`."""

    def __init__(self, digest: str) -> None:
        self._digest = digest

    async def GetBaseModel(self, request: Any, context: Any) -> Any:
        if request.name != "bases/tiny":
            raise NotFound(f"{request.name} does not exist")
        return base_model_pb2.BaseModel(name=request.name, digest=self._digest, tokenizer_digest=TOKENIZER)


@dataclass
class Setting:
    """The service under test and what is around it."""

    stub: Any
    vllm: FakeVllm
    store: ArtifactStore
    digest: str
    running: Any

    async def generate(self, seconds: float = 20, **fields: Any) -> list[pb.GenerateResponse]:
        request = pb.GenerateRequest(**{"base_model": "bases/tiny", **fields})
        return [part async for part in self.stub.Generate(request, timeout=seconds)]


@pytest.fixture
async def setting(serve: Any, store: ArtifactStore) -> AsyncIterator[Setting]:
    fields = {"kind": "base", "format_version": 1, "model_kind": "causal", "max_length": 100}
    files: dict[str, Path | bytes] = {"config.json": b"{}", "chat_template.jinja": CHAT_TEMPLATE.encode()}
    digest = store.put("bases", files, {**fields, "special_tokens": {"bos_token": "<s>"}})
    async with AsyncExitStack() as stack:
        vllm = FakeVllm()
        await vllm.start()
        stack.push_async_callback(vllm.stop)
        add = base_model_pb2_grpc.add_BaseModelServiceServicer_to_server
        registry = await serve([Registration(BASES, FakeBases(digest), add)], ServiceMetrics("training"), Lifecycle())
        training = await stack.enter_async_context(connect(registry.address))
        settings = InferenceSettings(
            artifact_root=store.root,
            triton_address=vllm.address,
            generation_backend="vllm",
            generation_vllm_arguments={"gpu_memory_utilization": 0.5},
            drain_seconds=1,
        )
        metrics, lifecycle = ServiceMetrics("inference"), Lifecycle()
        own = GenerationMetrics(metrics.registry)
        licenses = Licenses(BaseListClient(training), LicenseMetrics(metrics.registry))
        service, closing = generation_service(settings, own, lifecycle.stopping, training, training, licenses)
        await stack.enter_async_context(closing)
        running = await serve([service], metrics, lifecycle)
        yield Setting(GenerationServiceStub(running.channel), vllm, store, digest, running)


def text_of(parts: list[pb.GenerateResponse]) -> str:
    return "".join(part.delta.text for part in parts)


async def test_a_prompt_is_streamed(setting: Setting) -> None:
    parts = await setting.generate(prompt="one two three")
    assert [part.WhichOneof("event") for part in parts] == ["start", *["delta"] * (len(parts) - 2), "end"]
    served = parts[0].start.served_generator
    assert (served.base_model, served.base_digest) == ("bases/tiny", setting.digest)
    assert (served.tokenizer_digest, served.backend) == (TOKENIZER, pb.GENERATION_BACKEND_VLLM)
    end = parts[-1].end
    assert text_of(parts) == "one two three"
    assert (end.finish_reason, end.prompt_tokens, end.output_tokens) == (pb.FINISH_REASON_EOS, 3, 3)
    assert end.times.total.ToNanoseconds() >= end.times.first_token.ToNanoseconds() > 0


async def test_what_vllm_is_loaded_with_and_asked(setting: Setting) -> None:
    sampling = pb.Sampling(temperature=0.5, top_p=0.25, top_k=7, repetition_penalty=1.5, seed=3)
    await setting.generate(prompt="a b", max_tokens=9, sampling=sampling)
    (model,) = setting.vllm.models.values()
    root = setting.store.root
    assert model["arguments"] == {
        "model": str(root / "bases" / setting.digest),
        "tokenizer": str(root / "tokenizers" / TOKENIZER),
        "max_num_seqs": 16,
        "gpu_memory_utilization": 0.5,
    }
    (asked,) = setting.vllm.asked
    parameters = json.loads(asked.pop("sampling_parameters"))
    assert parameters == {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.25,
        "top_k": 7,
        "repetition_penalty": 1.5,
        "seed": 3,
    }
    assert asked.pop("text_input") == "a b"
    assert all(asked.values())
    await setting.generate(prompt="a")
    defaults = json.loads(setting.vllm.asked[-1]["sampling_parameters"])
    assert (defaults["max_tokens"], defaults["temperature"], defaults["top_p"], defaults["top_k"]) == (99, 0.0, 1.0, -1)
    # Nobody chose a seed, so the service did.
    assert defaults["seed"] > 0


async def test_a_length_and_a_stop_text(setting: Setting) -> None:
    parts = await setting.generate(prompt="one two three", max_tokens=2)
    assert (text_of(parts), parts[-1].end.finish_reason) == ("one two", pb.FINISH_REASON_LENGTH)
    setting.vllm.words_until_hang = 3
    parts = await setting.generate(prompt="one two three four five", stop=["o th"])
    assert (text_of(parts), parts[-1].end.finish_reason, parts[-1].end.stop) == (
        "one tw",
        pb.FINISH_REASON_STOP,
        "o th",
    )
    await until(lambda: setting.vllm.cancelled == 1)


async def test_a_chat(setting: Setting) -> None:
    chat = pb.Chat(messages=[pb.ChatMessage(role=pb.CHAT_ROLE_USER, content="hi you")])
    await setting.generate(chat=chat)
    assert setting.vllm.asked[-1]["text_input"] == "<s>user: hi you\nassistant:"


async def test_a_caller_who_cancels_cancels_the_stream_to_vllm(setting: Setting) -> None:
    setting.vllm.words_until_hang = 1
    call = setting.stub.Generate(pb.GenerateRequest(base_model="bases/tiny", prompt="one two"))
    assert (await call.read()).HasField("start")
    call.cancel()
    await until(lambda: setting.vllm.cancelled == 1)
    samples = await setting.running.samples()
    assert samples("symbiont_inference_generations_total", finish="cancelled") == 1
    assert samples("symbiont_inference_generations_running") == 0
    assert samples("symbiont_inference_generation_streams") == 0


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_deadline(setting: Setting) -> None:
    setting.vllm.words_until_hang = 1
    error = await refusal(setting.generate(prompt="one two", seconds=0.5))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: setting.vllm.cancelled == 1)


async def test_a_server_that_goes_and_comes_back(setting: Setting) -> None:
    setting.vllm.words_until_hang = 1
    call = setting.stub.Generate(pb.GenerateRequest(base_model="bases/tiny", prompt="one two"))
    assert (await call.read()).HasField("start")
    await setting.vllm.stop()
    assert (await call.read()).delta.text == "one"
    assert (await refusal(call.read())).code() is grpc.StatusCode.UNAVAILABLE
    assert (await refusal(setting.generate(prompt="a"))).code() is grpc.StatusCode.UNAVAILABLE
    setting.vllm.words_until_hang = None
    await setting.vllm.start()

    async def back() -> bool:
        try:
            return text_of(await setting.generate(prompt="one two")) == "one two"
        except grpc.aio.AioRpcError as exc:
            if exc.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False

    await until(back)


async def test_an_error_of_the_backend(setting: Setting) -> None:
    await setting.generate(prompt="a")
    setting.vllm.error = "something that nobody knows"
    assert (await refusal(setting.generate(prompt="a"))).code() is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"base_model": "bases/nobody", "prompt": "a"}, grpc.StatusCode.NOT_FOUND, "base_model"),
        ({"base_model": "nobody", "prompt": "a"}, grpc.StatusCode.INVALID_ARGUMENT, "base_model"),
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "input"),
        ({"prompt": "a", "stop": [""]}, grpc.StatusCode.INVALID_ARGUMENT, "stop[0]"),
        ({"prompt": "a", "sampling": pb.Sampling(top_p=2)}, grpc.StatusCode.INVALID_ARGUMENT, "sampling.top_p"),
        ({"chat": pb.Chat()}, grpc.StatusCode.INVALID_ARGUMENT, "chat.messages"),
        (
            {"chat": pb.Chat(messages=[pb.ChatMessage(content="a")])},
            grpc.StatusCode.INVALID_ARGUMENT,
            "chat.messages[0].role",
        ),
        (
            {"chat": pb.Chat(messages=[pb.ChatMessage(role=pb.CHAT_ROLE_SYSTEM, content="a")])},
            grpc.StatusCode.INVALID_ARGUMENT,
            "chat.messages",
        ),
    ],
)
async def test_bad_input_is_refused_by_name(
    setting: Setting, fields: dict[str, Any], code: grpc.StatusCode, field: str
) -> None:
    error = await refusal(setting.generate(**fields))
    assert (error.code(), (error.details() or "").startswith(f"{field}: ")) == (code, True), error.details()
    assert not setting.vllm.asked


async def test_many_at_a_time(setting: Setting) -> None:
    asked = [" ".join(f"w{n}" for n in range(count)) for count in range(1, 60)]
    answers = await asyncio.gather(*(setting.generate(prompt=text) for text in asked))
    assert [text_of(parts) for parts in answers] == asked
