"""The process that `python -m symbiont.tokenization` is."""

import asyncio
from typing import Any

from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore


async def test_sigterm_lets_a_call_in_flight_end_and_exits_0(
    launch: Any, stop: Any, store: ArtifactStore, tokenizer_digest: str
) -> None:
    running = await launch("tokenization", artifact_root=str(store.root), drain_seconds="30")
    stub = TokenizationServiceStub(running.channel)
    small = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=["order"])
    await stub.Tokenize(small)
    large = pb.TokenizeRequest(tokenizer=small.tokenizer, texts=["cancel the order 请帮我 " * 80] * 2000)
    answer = asyncio.ensure_future(stub.Tokenize(large))
    in_flight = {"service": "tokenization", "rpc": "Tokenize"}
    async with asyncio.timeout(10):
        while not (await running.samples())("symbiont_rpc_in_flight", **in_flight):
            assert not answer.done()
    stopped = asyncio.create_task(stop(running))
    assert len((await answer).lengths) == 2000
    assert await stopped == 0
