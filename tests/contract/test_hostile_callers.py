"""Callers that mean harm, against a real service: each is refused with its code, and the others are answered."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import grpc
import pytest

from support.waiting import until
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import SERVING, Lifecycle, build_server, set_health
from symbiont.common.settings import ServiceSettings
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.work import Work

SERVICE = "/symbiont.tokenization.v1.TokenizationService"
PLACES = 8
Answers = Callable[[], Awaitable[bool]]


@pytest.fixture
async def address(store: ArtifactStore) -> AsyncIterator[str]:
    """A tokenization service with eight places, of which a silent stream keeps one for half a second."""
    metrics, lifecycle = ServiceMetrics("tokenization"), Lifecycle()
    settings = ServiceSettings(max_concurrent_calls=PLACES, idle_stream_seconds=0.5, max_message_bytes=1 << 20)
    with ThreadPoolExecutor(2) as executor:
        own, library = TokenizationMetrics(metrics.registry), TokenizerLibrary(store, 4)
        work = Work(executor, 2, 1 << 20, own)
        joined = registration(
            Catalogue(library, own, work), Tokenization(library, Limits(4096, 256 << 10, 2), own, work)
        )
        server = build_server(settings, metrics, lifecycle, [joined])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        await set_health(lifecycle, [joined], SERVING)
        yield f"127.0.0.1:{port}"
        await server.stop(0)
        metrics.close()


@pytest.fixture
async def channel(address: str) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def answers(channel: grpc.aio.Channel, tokenizer_digest: str) -> Answers:
    """Whether an honest caller is answered."""
    stub = TokenizationServiceStub(channel)

    async def ask() -> bool:
        request = pb.TokenizeRequest(tokenizer=f"tokenizers/{tokenizer_digest}", texts=["Where is my order?"])
        return bool((await stub.Tokenize(request, timeout=60)).ids)

    return ask


def raw(channel: grpc.aio.Channel, method: str, kind: str = "unary_unary") -> Any:
    """Returns a call that sends bytes as they are."""
    return getattr(channel, kind)(f"{SERVICE}/{method}")


DEEP = b"\x0a\x00" + b"\x0b" * 5000
MESSAGES = {
    "noise": b"\xff" * 64,
    "a text that is none": b"\x0a\x02\xff\xfe",
    "a length beyond the end": b"\x0a\xff\xff\xff\xff\x07x",
    "groups in groups": DEEP,
    "a field number of 0": b"\x02\x01x",
}


@pytest.mark.parametrize("method", ["Tokenize", "GetTokenizer", "Decode", "CountTokens", "DeriveTokenizer"])
@pytest.mark.parametrize("name", MESSAGES)
async def test_bytes_that_are_no_message(
    channel: grpc.aio.Channel, refusal: Any, answers: Answers, method: str, name: str
) -> None:
    code, field, text = await refusal(raw(channel, method)(MESSAGES[name]))
    assert (code, field) == ("INVALID_ARGUMENT", "request")
    assert "no message of this method" in text
    assert await answers()


async def test_bytes_that_are_no_message_in_a_stream(channel: grpc.aio.Channel, refusal: Any, answers: Answers) -> None:
    call = raw(channel, "TokenizeStream", "stream_stream")(iter([b"\xff" * 9]))
    code, field, _ = await refusal(call.read())
    assert (code, field) == ("INVALID_ARGUMENT", "request")
    assert await answers()


async def test_streams_that_send_nothing_do_not_hold_their_places(
    channel: grpc.aio.Channel, answers: Answers, address: str
) -> None:
    stub = TokenizationServiceStub(channel)
    mute = [stub.TokenizeStream() for _ in range(PLACES)]
    codes = {await call.code() for call in mute}
    assert grpc.StatusCode.DEADLINE_EXCEEDED in codes
    assert codes <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert await answers()


async def test_a_stream_that_falls_silent_ends(
    channel: grpc.aio.Channel, answers: Answers, tokenizer_digest: str
) -> None:
    call = TokenizationServiceStub(channel).TokenizeStream()
    first = pb.StreamSettings(tokenizer=f"tokenizers/{tokenizer_digest}")
    await call.write(pb.TokenizeStreamRequest(settings=first))
    await call.write(pb.TokenizeStreamRequest(batch=pb.TextBatch(texts=["order"])))
    assert (await call.read()).last
    assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await answers()


async def test_a_message_that_is_too_long_packed_or_not(channel: grpc.aio.Channel, answers: Answers) -> None:
    content = pb.TokenizeRequest(tokenizer="tokenizers/x", texts=["a" * (64 << 20)]).SerializeToString()
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(channel, "Tokenize")(content, compression=compression)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await answers()


async def test_a_flood_of_metadata(address: str, answers: Answers) -> None:
    options = [("grpc.max_metadata_size", 64 << 20), ("grpc.absolute_max_metadata_size", 64 << 20)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        for metadata in ([("x", "y" * (1 << 20))], [(f"x-{n}", "y" * 64) for n in range(4096)]):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await raw(channel, "Tokenize")(b"", metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await answers()


async def test_thousands_of_connections_that_say_nothing(address: str, answers: Answers) -> None:
    host, _, port = address.rpartition(":")
    with ExitStack() as stack:
        for number in range(2000):
            # One after another, as fast as the service takes them up.
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            if number % 3 == 1:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            elif number % 3 == 2:
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            if number % 100 == 0:
                await asyncio.sleep(0)
        assert await answers()
    # And when they are gone.
    assert await answers()


async def test_a_burst_of_calls_beyond_the_places_is_refused_at_once(
    channel: grpc.aio.Channel, answers: Answers
) -> None:
    stub = TokenizationServiceStub(channel)
    held = [stub.TokenizeStream() for _ in range(PLACES)]
    found = await asyncio.gather(
        *(stub.Tokenize(pb.TokenizeRequest(tokenizer="tokenizers/none")) for _ in range(2000)), return_exceptions=True
    )
    for call in held:
        call.cancel()
    assert all(isinstance(error, grpc.aio.AioRpcError) for error in found)
    codes = {error.code() for error in found if isinstance(error, grpc.aio.AioRpcError)}
    assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes
    # On a slow machine the streams that hold the places end before all calls have come.
    assert codes <= {
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
    }

    async def answered() -> bool:
        with suppress(grpc.aio.AioRpcError):
            return await answers()
        return False

    # The places of the streams are free again.
    await until(answered)


NAMES = [
    "tokenizers/../../../etc/passwd",
    "tokenizers//etc/passwd",
    "tokenizers/..",
    "tokenizers/a\0b",
    "tokenizers/" + "a" * 100_000,
    "tokenizers/%2e%2e%2f",
    "tokenizers/" + "a" * 64 + "/../x",
    "TOKENIZERS/X",
    "",
]


@pytest.mark.parametrize("name", NAMES)
async def test_names_that_lead_elsewhere(channel: grpc.aio.Channel, refusal: Any, name: str) -> None:
    stub = TokenizationServiceStub(channel)
    code, _, text = await refusal(stub.GetTokenizer(pb.GetTokenizerRequest(name=name)))
    assert code in ("INVALID_ARGUMENT", "NOT_FOUND")
    assert len(text) < 2000
