"""Any number of batches over one stream: in order, with flow control, and gone when the caller is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import psutil
import pytest

from support.waiting import until
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore
from symbiont.tokenization.streaming import PART_CELLS

ENGLISH, CHINESE = "Where is my order? ", "请帮我取消订单，谢谢。"


def settings(tokenizer: str, **fields: Any) -> pb.TokenizeStreamRequest:
    return pb.TokenizeStreamRequest(settings=pb.StreamSettings(tokenizer=tokenizer, **fields))


def batch(texts: Sequence[str], pairs: Sequence[str] = ()) -> pb.TokenizeStreamRequest:
    return pb.TokenizeStreamRequest(batch=pb.TextBatch(texts=texts, pair_texts=pairs))


@pytest.fixture
def stub(service: Any) -> Any:
    return TokenizationServiceStub(service.channel)


async def test_every_batch_is_answered_in_order_as_a_single_call_would_be(stub: Any, put: Any) -> None:
    name = put("minilm")
    # Large and small ones in turn: their work does not end in the order in which it began.
    batches = [[f"{ENGLISH}{i} {CHINESE}" * (40 if i % 3 == 0 else 1)] * (1 + i % 50) for i in range(60)]
    options = pb.TokenizeOptions(outputs=[pb.OUTPUT_OFFSETS, pb.OUTPUT_ATTENTION_MASK], padding=pb.Padding())
    messages = [settings(name, options=options), *map(batch, batches)]
    parts = [part async for part in stub.TokenizeStream(iter(messages))]
    assert [(part.batch, part.last) for part in parts] == [(i, True) for i in range(60)]
    for texts, part in zip(batches, parts, strict=True):
        assert part.rows == await stub.Tokenize(pb.TokenizeRequest(tokenizer=name, texts=texts, options=options))


async def test_padded_rows_go_out_in_messages_as_small_as_others(stub: Any, put: Any) -> None:
    # The width changes from row to row: of a message, it is that of its longest.
    name, texts = put("minilm"), ["a" if i % 700 else ENGLISH * 20 for i in range(4096)]
    wanted = [pb.OUTPUT_ATTENTION_MASK, pb.OUTPUT_TYPE_IDS, pb.OUTPUT_SPECIAL_TOKENS_MASK, pb.OUTPUT_SEQUENCE_IDS]
    options = pb.TokenizeOptions(padding=pb.Padding(multiple_of=64), outputs=wanted)
    messages = [settings(name, options=options), batch(texts)]
    parts = [part async for part in stub.TokenizeStream(iter(messages))]
    assert len(parts) > 4
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    assert [i for part in parts for i in part.rows.text_indices] == list(range(4096))
    widths = set()
    for part in parts:
        (width,) = set(part.rows.lengths)
        assert len(part.rows.ids) == len(part.rows.sequence_ids) == width * len(part.rows.lengths)
        assert len(part.rows.ids) * (1 + len(wanted)) <= PART_CELLS
        some = [texts[i] for i in part.rows.text_indices]
        alone = await stub.Tokenize(pb.TokenizeRequest(tokenizer=name, texts=some, options=options))
        assert (part.rows.ids, part.rows.attention_mask) == (alone.ids, alone.attention_mask)
        widths.add(width)
    assert widths == {64, 128}


async def test_a_row_that_padding_makes_too_large_is_refused(stub: Any, refusal: Any, put: Any) -> None:
    wanted = [pb.OUTPUT_ATTENTION_MASK, pb.OUTPUT_TYPE_IDS, pb.OUTPUT_SPECIAL_TOKENS_MASK, pb.OUTPUT_SEQUENCE_IDS]
    options = pb.TokenizeOptions(padding=pb.Padding(length=1 << 20), outputs=wanted)
    messages = [settings(put("minilm", 1 << 20), options=options), batch(["a"])]

    async def read() -> None:
        async for _ in stub.TokenizeStream(iter(messages)):
            pass

    assert (await refusal(read()))[:2] == ("INVALID_ARGUMENT", "options.padding")


async def test_a_caller_may_wait_for_each_answer(stub: Any, put: Any) -> None:
    call = stub.TokenizeStream()
    await call.write(settings(put("unigram")))
    for number in range(20):
        await call.write(batch([f"{ENGLISH}{number}"]))
        part = await call.read()
        assert (part.batch, part.last, len(part.rows.lengths)) == (number, True, 1)
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_a_stream_without_batches_ends(stub: Any, put: Any) -> None:
    assert [part async for part in stub.TokenizeStream(iter([settings(put("minilm"))]))] == []


async def test_pairs_and_windows(stub: Any, put: Any) -> None:
    options = pb.TokenizeOptions(truncation=pb.TRUNCATION_ONLY_SECOND, windows=pb.Windows(stride=3))
    name = put("minilm")
    questions, documents = ["Where?", "Who?"], [ENGLISH * 30, CHINESE * 30]
    messages = [settings(name, max_tokens=32, options=options), batch(questions, documents)]
    parts = [part async for part in stub.TokenizeStream(iter(messages))]
    request = pb.TokenizeRequest(tokenizer=name, texts=questions, pair_texts=documents, max_tokens=32, options=options)
    assert [part.rows for part in parts] == [await stub.Tokenize(request)]
    assert len(parts[0].rows.lengths) > 4


@pytest.mark.parametrize(
    ("messages", "status", "field"),
    [
        ([], "INVALID_ARGUMENT", "settings"),
        ([batch(["a"])], "INVALID_ARGUMENT", "settings"),
        ([pb.TokenizeStreamRequest()], "INVALID_ARGUMENT", "settings"),
        ([settings("{good}"), settings("{good}")], "INVALID_ARGUMENT", "batch"),
        ([settings("minilm")], "INVALID_ARGUMENT", "tokenizer"),
        ([settings(f"tokenizers/{'0' * 64}")], "NOT_FOUND", ""),
        ([settings("{good}", max_tokens=2)], "INVALID_ARGUMENT", "max_tokens"),
        ([settings("{good}", options={"truncation": 77})], "INVALID_ARGUMENT", "settings.options.truncation"),
        ([settings("{good}", options={"windows": {"stride": 510}})], "INVALID_ARGUMENT", "options.windows.stride"),
        ([settings("{good}"), batch([])], "INVALID_ARGUMENT", "texts"),
        ([settings("{good}"), batch(["a"], ["b", "c"])], "INVALID_ARGUMENT", "pair_texts"),
        ([settings("{good}"), batch(["a" * (300 << 10)])], "INVALID_ARGUMENT", "texts"),
    ],
)
async def test_bad_streams(stub: Any, refusal: Any, put: Any, messages: Any, status: str, field: str) -> None:
    name = put("minilm")

    def named() -> Any:
        for message in messages:
            sent = pb.TokenizeStreamRequest.FromString(message.SerializeToString())
            if sent.settings.tokenizer == "{good}":
                sent.settings.tokenizer = name
            yield sent

    async def read() -> None:
        async for _ in stub.TokenizeStream(named()):
            pass

    assert (await refusal(read()))[:2] == (status, field)


async def test_what_came_before_a_bad_batch_is_answered(stub: Any, put: Any) -> None:
    call = stub.TokenizeStream(iter([settings(put("minilm")), batch(["a"]), batch(["b"]), batch([])]))
    parts = aiter(call)
    assert [(await anext(parts)).batch, (await anext(parts)).batch] == [0, 1]
    with pytest.raises(grpc.aio.AioRpcError, match="texts: there are none"):
        await anext(parts)


async def test_more_streams_than_are_taken_are_turned_away(service: Any, stub: Any, put: Any) -> None:
    name = put("minilm")
    open_ = [stub.TokenizeStream() for _ in range(2)]
    for call in open_:
        await call.write(settings(name))
        await call.write(batch(["a"]))
        assert (await call.read()).last
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stub.TokenizeStream(iter([settings(name)])):
            pass
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert int(dict(caught.value.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
    for call in open_:
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    assert [part.last async for part in stub.TokenizeStream(iter([settings(name), batch(["a"])]))] == [True]


async def test_a_reader_that_does_not_read_is_not_served_ahead(launch: Any, store: ArtifactStore, put: Any) -> None:
    running = await launch("tokenization", artifact_root=str(store.root))
    memory = psutil.Process(running.process.process.pid).memory_info
    stub: Any = TokenizationServiceStub(running.channel)
    # Many times what the windows of the connection take, which grow with the machine's slowness.
    name, texts, cap, sent = put("minilm"), [ENGLISH * 8] * 400, 1000, 0
    # A first stream, read as it comes, so that what is loaded once does not count.
    assert len([part async for part in stub.TokenizeStream(iter([settings(name), *[batch(texts)] * 8]))]) == 8
    before, enough = memory().rss, asyncio.Event()

    async def messages() -> AsyncIterator[pb.TokenizeStreamRequest]:
        nonlocal sent
        yield settings(name, options=pb.TokenizeOptions(outputs=[1, 2, 3, 4]))
        while sent < cap and not enough.is_set():
            yield batch(texts)
            sent += 1

    answers = aiter(stub.TokenizeStream(messages()))
    first = await anext(answers)
    seen, quiet = sent, 0
    # Until nothing moves any more, and for longer than a busy machine pauses.
    while quiet < 4:
        await asyncio.sleep(0.5)
        seen, quiet = sent, (quiet + 1 if sent == seen else 0)
    value = await running.samples()

    assert sent < cap
    assert value("symbiont_tokenization_held_bytes") <= 4 * batch(texts).ByteSize()
    assert memory().rss - before < 64 << 20
    enough.set()
    rest = [part.batch async for part in answers]
    assert [first.batch, *rest] == list(range(sent))
    assert memory().rss - before < 128 << 20


async def test_a_cancelled_stream_frees_its_work(launch: Any, store: ArtifactStore, put: Any) -> None:
    running = await launch("tokenization", artifact_root=str(store.root))
    stub: Any = TokenizationServiceStub(running.channel)

    async def gauges() -> list[float | None]:
        value = await running.samples()
        return [value(f"symbiont_tokenization_{name}") for name in ("held_bytes", "streams")]

    async def held() -> bool:
        return all(value and value > 0 for value in await gauges())

    async def free() -> bool:
        return await gauges() == [0, 0]

    for _ in range(3):
        call = stub.TokenizeStream(iter([settings(put("minilm")), *[batch([ENGLISH * 200] * 200)] * 50]))
        await call.read()
        await until(held)
        call.cancel()
        await until(free)
