"""The process that `python -m symbiont.tokenization` is."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest

from support.sampling import few
from support.waiting import until
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore

IN_FLIGHT = {"service": "tokenization", "rpc": "Tokenize"}


async def test_sigterm_lets_a_call_in_flight_end_and_exits_0(
    launch: Any, stop: Any, store: ArtifactStore, tokenizer_digest: str
) -> None:
    running = await launch("tokenization", artifact_root=str(store.root), drain_seconds="30")
    stub = TokenizationServiceStub(running.channel)
    small = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=["order"])
    await stub.Tokenize(small)
    large = pb.TokenizeRequest(tokenizer=small.tokenizer, texts=["cancel the order 请帮我 " * 80] * 2000)
    answer = asyncio.ensure_future(stub.Tokenize(large))
    async with asyncio.timeout(60):
        while not (await running.samples())("symbiont_rpc_in_flight", **IN_FLIGHT):
            assert not answer.done()
    stopped = asyncio.create_task(stop(running))
    assert len((await answer).lengths) == 2000
    assert await stopped == 0


async def test_a_unix_socket_beside_tcp(
    launch: Any, stop: Any, store: ArtifactStore, tokenizer_digest: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenization.sock"
    running = await launch("tokenization", artifact_root=str(store.root), unix_socket=str(path))
    request = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=["cancel the order"])
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        answer = await TokenizationServiceStub(channel).Tokenize(request)
    assert answer == await TokenizationServiceStub(running.channel).Tokenize(request)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await stop(running) == 0
    assert not path.exists()


async def test_a_socket_that_a_killed_process_left_is_taken_over(
    launch: Any, store: ArtifactStore, tokenizer_digest: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenization.sock"
    settings = {"artifact_root": str(store.root), "unix_socket": str(path)}
    killed = await launch("tokenization", **settings)
    killed.process.kill()
    assert path.is_socket()
    await launch("tokenization", **settings)
    request = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=["order"])
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        assert (await TokenizationServiceStub(channel).Tokenize(request)).lengths


async def test_more_calls_than_are_taken_get_resource_exhausted_and_none_hangs(
    launch: Any, store: ArtifactStore, tokenizer_digest: str
) -> None:
    running = await launch("tokenization", artifact_root=str(store.root), max_held_bytes="200000")
    stub = TokenizationServiceStub(running.channel)
    request = pb.TokenizeRequest(
        tokenizer=f"tokenizers/{tokenizer_digest}", texts=["cancel the order 请帮我 " * 60] * 16
    )

    async def call() -> tuple[grpc.StatusCode, str]:
        try:
            assert len((await stub.Tokenize(request, timeout=60)).lengths) == 16
        except grpc.aio.AioRpcError as exc:
            return exc.code(), str(dict(exc.trailing_metadata() or ()).get("grpc-retry-pushback-ms", ""))
        return grpc.StatusCode.OK, ""

    async with asyncio.timeout(100):
        ends = await asyncio.gather(*(call() for _ in range(1000)))
    codes = {code for code, _ in ends}
    assert codes == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all(int(pushback) > 0 for code, pushback in ends if code is grpc.StatusCode.RESOURCE_EXHAUSTED)
    value = await running.samples()
    refused = sum(code is grpc.StatusCode.RESOURCE_EXHAUSTED for code, _ in ends)
    assert value("symbiont_tokenization_refusals_total", reason="OVERLOADED") == refused
    assert value("symbiont_tokenization_held_bytes") == 0


@pytest.mark.parametrize("mib", few([2, 10], 2))
async def test_a_long_text_is_refused_or_windowed_as_asked(
    launch: Any, store: ArtifactStore, put: Any, refusal: Any, mib: int
) -> None:
    running = await launch("tokenization", artifact_root=str(store.root))
    stub = TokenizationServiceStub(running.channel)
    name, text = put("minilm", 32), "cancel the order " * ((mib << 20) // 17)
    refuse = pb.TokenizeOptions(truncation=pb.TRUNCATION_REFUSE)
    told = await refusal(stub.Tokenize(pb.TokenizeRequest(tokenizer=name, texts=[text], options=refuse)))
    assert told[:2] == ("INVALID_ARGUMENT", "texts[0]")
    windows = pb.TokenizeOptions(windows=pb.Windows(stride=2))
    whole = pb.StreamSettings(tokenizer=name, options=windows)
    messages = [
        pb.TokenizeStreamRequest(settings=whole),
        pb.TokenizeStreamRequest(batch=pb.TextBatch(texts=[text])),
    ]
    parts = [part async for part in stub.TokenizeStream(iter(messages))]
    assert len(parts) > 1
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    original = parts[0].rows.original_lengths[0]
    assert original > mib * 100_000
    fresh = [length - 2 for part in parts for length in part.rows.lengths]
    assert sum(fresh) - 2 * (len(fresh) - 1) == original - 2
    told = await refusal(stub.Tokenize(pb.TokenizeRequest(tokenizer=name, texts=[text * (20 // mib)])))
    assert told[0] in ("INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_work_that_nobody_waits_for_is_dropped(
    launch: Any, store: ArtifactStore, tokenizer_digest: str, how: str
) -> None:
    running = await launch("tokenization", artifact_root=str(store.root), encode_threads="1")
    stub = TokenizationServiceStub(running.channel)
    request = pb.TokenizeRequest(
        tokenizer=f"tokenizers/{tokenizer_digest}", texts=["cancel the order 请帮我 " * 80] * 2000
    )
    calls = [stub.Tokenize(request, timeout=1.0 if how == "deadline" else None) for _ in range(8)]
    waiting = asyncio.gather(*calls, return_exceptions=True)

    async def in_flight() -> bool:
        return bool((await running.samples())("symbiont_rpc_in_flight", **IN_FLIGHT))

    async def dropped_and_free() -> bool:
        value = await running.samples()
        name = "symbiont_tokenization_dropped_batches_total"
        dropped = sum(value(name, reason=reason) or 0 for reason in ("CANCELLED", "EXPIRED"))
        return bool(dropped) and value("symbiont_tokenization_held_bytes") == 0

    await until(in_flight, 30)
    if how == "cancel":
        for call in calls:
            call.cancel()
    await asyncio.wait([waiting])
    await until(dropped_and_free, 30)
    assert (await stub.Tokenize(pb.TokenizeRequest(tokenizer=request.tokenizer, texts=["order"]))).lengths
