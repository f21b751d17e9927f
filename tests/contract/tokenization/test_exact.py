"""What the service gives is what the library gives in process: every field, every tokenizer, any text.

More tokenizers are tested when `SYMBIONT_TEST_TOKENIZERS` names folders with a tokenizer.json in each, colon-separated.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer

from support.sampling import few
from support.service import ServiceProcess
from support.tokenizers import NAMES, definition
from symbiont.api.tokenization.v1 import tokenization_pb2 as pb
from symbiont.api.tokenization.v1.tokenization_pb2_grpc import TokenizationServiceStub
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.unspaced import has_unspaced

MAX_TOKENS = 600
OTHERS = [Path(p) for p in os.environ.get("SYMBIONT_TEST_TOKENIZERS", "").split(":") if p]
TOKENIZERS = [*NAMES, *(path.name for path in OTHERS)]
ALL_OUTPUTS = [value for value in pb.Output.values() if value]
TRUNCATIONS = {
    pb.TRUNCATION_LONGEST_FIRST: "longest_first",
    pb.TRUNCATION_ONLY_FIRST: "only_first",
    pb.TRUNCATION_ONLY_SECOND: "only_second",
}


def utf16_units(text: str) -> list[bytes]:
    raw = text.encode("utf-16-le")
    return [raw[i : i + 2] for i in range(0, len(raw), 2)]


UNITS: dict[int, Callable[[str], Sequence[Any]]] = {
    pb.OFFSET_UNIT_CODE_POINT: list,
    pb.OFFSET_UNIT_UTF8_BYTE: lambda text: text.encode(),
    pb.OFFSET_UNIT_UTF16_UNIT: utf16_units,
}
TRICKY = [
    "Where is my order?",
    "请帮我取消订单，谢谢。 Thanks, 陈先生!",
    "[CLS] hidden [SEP] special [MASK] <mask> tokens </s> <s>",
    "e\u0301 👩‍👩‍👧 \u202eabc\u202c \u200b zero\u200dwidth שלום عربي",
    "𝕊𝕪𝕞𝕓𝕚𝕠𝕟𝕥 𠮷野家 🇨🇳🇬🇧 ❤️",
    "a\x00b \x7f \ufffd \ufeff",
    "ﬁ ﷺ ㍿ ½ İstanbul ẞ",
    "   leading, trailing and    inner spaces \t\n ",
    "x" * 3000,
    "the lazy dog 不良贷款 " * 200,
    "\u200b",
    "",
]
# Surrogates alone are no text: they have no UTF-8.
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
joined = st.lists(st.sampled_from([*TRICKY[:8], "\u0300", "👍🏽", "\u200d", "一", "ß", " "]), max_size=4).map("".join)
texts = words | joined


@dataclass
class Served:
    """A service with every tokenizer in its store."""

    stub: Any
    names: dict[str, str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("exact")
    store = ArtifactStore(folder / "artifacts")
    fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": MAX_TOKENS}
    found = {name: definition(name) for name in NAMES}
    found |= {path.name: (path / "tokenizer.json").read_bytes() for path in OTHERS}
    digests = {name: store.put("tokenizers", {"tokenizer.json": content}, fields) for name, content in found.items()}
    process = ServiceProcess("tokenization", folder, artifact_root=store.root).start()
    with grpc.insecure_channel(process.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub: Any = TokenizationServiceStub(channel)
        yield Served(stub, {name: f"tokenizers/{digest}" for name, digest in digests.items()})
    process.stop()


_libraries: dict[str, Tokenizer] = {}


def library(name: str) -> Tokenizer:
    """Returns the library's tokenizer, reset: with no padding and no truncation."""
    if name not in _libraries:
        other = {path.name: path for path in OTHERS}
        content = (other[name] / "tokenizer.json").read_bytes() if name in other else definition(name)
        _libraries[name] = Tokenizer.from_buffer(content)
    tokenizer = _libraries[name]
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def expected(name: str, request: pb.TokenizeRequest, pad_id: int) -> list[tuple[int, Encoding]]:
    """Returns (index of the text, row), as the library in process gives them for the settings of a request."""
    tokenizer, options = library(name), request.options
    windows = options.HasField("windows")
    tokenizer.enable_truncation(
        request.max_tokens,
        stride=options.windows.stride,
        strategy=TRUNCATIONS[options.truncation or pb.TRUNCATION_LONGEST_FIRST],
        direction="left" if options.truncation_side == pb.SIDE_LEFT else "right",
    )
    if options.HasField("padding"):
        padding = options.padding
        tokenizer.enable_padding(
            direction="left" if padding.side == pb.SIDE_LEFT else "right",
            pad_id=pad_id,
            pad_token=tokenizer.id_to_token(pad_id),
            length=padding.length or None,
            pad_to_multiple_of=padding.multiple_of or None,
        )
    batch: Sequence[Any] = (
        list(zip(request.texts, request.pair_texts, strict=True)) if request.pair_texts else list(request.texts)
    )
    encodings = tokenizer.encode_batch(batch, add_special_tokens=not options.omit_special_tokens)
    return [(i, row) for i, e in enumerate(encodings) for row in ([e, *e.overflowing] if windows else [e])]


def none_as_minus_one(values: Sequence[int | None]) -> list[int]:
    return [-1 if value is None else value for value in values]


def word_ids(name: str, request: pb.TokenizeRequest, index: int, row: Encoding) -> list[int]:
    """Returns the library's, except that of scripts without spaces each token is a word: see `words_of`."""
    texts = [request.texts[index], *([request.pair_texts[index]] if request.pair_texts else [])]
    numbers = [words_of(name, text) for text in texts]
    return [
        -1 if word is None or sequence is None else numbers[sequence][word, offsets]
        for word, sequence, offsets in zip(row.word_ids, row.sequence_ids, row.offsets, strict=True)
    ]


def words_of(name: str, text: str) -> dict[tuple[int, tuple[int, int]], int]:
    """Returns the word of each token of a text, by the library's word and where the token stands."""
    encoding = library(name).encode(text, add_special_tokens=False)
    numbers: dict[tuple[int, tuple[int, int]], int] = {}
    before, start = None, 0
    for word, (begin, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
        if word is None:
            continue
        parted = has_unspaced(text[start:end])
        if before is None or word != before[0] or (parted and begin >= before[1]):
            numbers.setdefault((word, (begin, end)), max(numbers.values(), default=-1) + 1)
        else:
            numbers.setdefault((word, (begin, end)), max(numbers.values()))
        before, start = (word, end), begin
    return numbers


def sequence_ids(row: Encoding) -> list[int]:
    """Returns the library's, except that padding is of no text: without a post-processor the library calls it 0."""
    values = none_as_minus_one(row.sequence_ids)
    return [value if taken else -1 for value, taken in zip(values, row.attention_mask, strict=True)]


def type_ids(row: Encoding, second_type: int) -> list[int]:
    """Returns the library's, except in windows of a second text after the first window.

    There the library forgets the type that its own post-processor gave to the first window, and says 1: a type that
    RoBERTa, for example, does not have.
    """
    return [second_type if place == 1 else kind for place, kind in zip(row.sequence_ids, row.type_ids, strict=True)]


def type_of_second(name: str, request: pb.TokenizeRequest) -> int:
    """Returns the type that the library gives to a second text that is not cut."""
    row = library(name).encode("a", "b", add_special_tokens=not request.options.omit_special_tokens)
    return row.type_ids[row.sequence_ids.index(1)]


def check(name: str, request: pb.TokenizeRequest, response: pb.TokenizeResponse, pad_id: int) -> None:
    """Compares a response with all outputs, offsets in code points, with the library."""
    second_type = type_of_second(name, request) if request.pair_texts else 0
    rows = expected(name, request, pad_id)
    assert list(response.lengths) == [len(row.ids) for _, row in rows]
    assert list(response.text_indices or range(len(rows))) == [index for index, _ in rows]
    columns: dict[str, list[Any]] = {
        "ids": [value for _, row in rows for value in row.ids],
        "attention_mask": [value for _, row in rows for value in row.attention_mask],
        "type_ids": [value for _, row in rows for value in type_ids(row, second_type)],
        "special_tokens_mask": [value for _, row in rows for value in row.special_tokens_mask],
        "sequence_ids": [value for _, row in rows for value in sequence_ids(row)],
        "word_ids": [value for index, row in rows for value in word_ids(name, request, index, row)],
        "tokens": [value for _, row in rows for value in row.tokens],
        "starts": [start for _, row in rows for start, _ in row.offsets],
        "ends": [end for _, row in rows for _, end in row.offsets],
    }
    for field, values in columns.items():
        assert list(getattr(response, field)) == values, field


def whole(name: str, request: pb.TokenizeRequest) -> list[Encoding]:
    """Returns the encodings that the library gives before any cut."""
    batch: Sequence[Any] = (
        list(zip(request.texts, request.pair_texts, strict=True)) if request.pair_texts else list(request.texts)
    )
    return library(name).encode_batch(batch, add_special_tokens=not request.options.omit_special_tokens)


@st.composite
def requests(draw: st.DrawFn, served: Served, name: str) -> pb.TokenizeRequest:
    """Draws a request that the service must answer."""
    count = draw(st.integers(1, 3))
    drawn = [draw(texts) for _ in range(count)]
    pairs = [draw(texts) for _ in range(count)] if name != "bare" and draw(st.booleans()) else []
    options = pb.TokenizeOptions(
        outputs=ALL_OUTPUTS,
        truncation_side=draw(st.sampled_from([pb.SIDE_LEFT, pb.SIDE_RIGHT])),
        omit_special_tokens=draw(st.booleans()),
    )
    maximum = draw(st.integers(6, 24) | st.just(200))
    if draw(st.booleans()):
        options.windows.stride = draw(st.integers(0, 2))
        strategies = [pb.TRUNCATION_ONLY_FIRST, pb.TRUNCATION_ONLY_SECOND] if pairs else [pb.TRUNCATION_ONLY_FIRST]
    else:
        strategies = [pb.TRUNCATION_LONGEST_FIRST, pb.TRUNCATION_ONLY_FIRST]
        strategies += [pb.TRUNCATION_ONLY_SECOND] if pairs else []
    options.truncation = draw(st.sampled_from(strategies))
    if draw(st.booleans()):
        options.padding.side = draw(st.sampled_from([pb.SIDE_LEFT, pb.SIDE_RIGHT]))
        options.padding.multiple_of = draw(st.sampled_from([0, 1, 8]))
        options.padding.length = draw(st.sampled_from([0, maximum, maximum + 5]))
    return pb.TokenizeRequest(
        tokenizer=served.names[name], texts=drawn, pair_texts=pairs, max_tokens=maximum, options=options
    )


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_field_equals_the_librarys(served: Served, name: str, data: st.DataObject) -> None:
    request = data.draw(requests(served, name))
    info = served.stub.GetTokenizer(pb.GetTokenizerRequest(name=served.names[name]))
    try:
        response = served.stub.Tokenize(request)
    except grpc.RpcError as exc:
        # The one text of a pair that may not be cut leaves no room for the other: the library raises too, or gives
        # rows that are too long.
        no_room = "leave no room" in exc.details() or "a window has room" in exc.details()
        only_one = request.options.truncation in (pb.TRUNCATION_ONLY_FIRST, pb.TRUNCATION_ONLY_SECOND)
        if not (exc.code() is grpc.StatusCode.INVALID_ARGUMENT and request.pair_texts and only_one and no_room):
            raise
        reject()
    check(name, request, response, info.pad_id)
    before = whole(name, request)
    assert list(response.original_lengths) == [len(encoding.ids) for encoding in before]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_tricky_texts_equal_the_librarys(served: Served, name: str) -> None:
    info = served.stub.GetTokenizer(pb.GetTokenizerRequest(name=served.names[name]))
    for pairs in [[], list(reversed(TRICKY))] if info.takes_pairs else [[]]:
        for maximum in (12, 128, MAX_TOKENS):
            options = pb.TokenizeOptions(outputs=ALL_OUTPUTS, padding=pb.Padding(multiple_of=8))
            request = pb.TokenizeRequest(
                tokenizer=served.names[name], texts=TRICKY, pair_texts=pairs, max_tokens=maximum, options=options
            )
            check(name, request, served.stub.Tokenize(request), info.pad_id)


@pytest.mark.parametrize("name", few(TOKENIZERS, "minilm"))
def test_words_of_100_000_characters(served: Served, name: str) -> None:
    long = ["x" * 100_000, "信" * 100_000, "😀" * 25_000, "e\u0301" * 50_000]
    request = pb.TokenizeRequest(tokenizer=served.names[name], texts=long, max_tokens=64)
    request.options.windows.stride = 7
    request.options.outputs.extend([pb.OUTPUT_OFFSETS])
    response = served.stub.Tokenize(request)
    counts = served.stub.CountTokens(pb.CountTokensRequest(tokenizer=request.tokenizer, texts=long))
    assert list(counts.counts) == [len(encoding.ids) for encoding in whole(name, request)]
    rows = expected(name, request, 0)
    assert list(response.ids) == [value for _, row in rows for value in row.ids]
    assert list(response.ends) == [end for _, row in rows for _, end in row.offsets]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", TOKENIZERS)
def test_offsets_cut_the_token_out_of_the_text_in_every_unit(served: Served, name: str, unit: pb.OffsetUnit) -> None:
    outputs = [pb.OUTPUT_OFFSETS, pb.OUTPUT_SEQUENCE_IDS]
    request = pb.TokenizeRequest(tokenizer=served.names[name], texts=TRICKY, max_tokens=MAX_TOKENS)
    request.options.MergeFrom(pb.TokenizeOptions(outputs=outputs, offset_unit=unit))
    response = served.stub.Tokenize(request)
    points = [
        text[start:end]
        for (_, row), text in zip(expected(name, request, 0), TRICKY, strict=True)
        for start, end in row.offsets
    ]
    rows, at = [], 0
    for text, length in zip(TRICKY, response.lengths, strict=True):
        parts = UNITS[unit](text)
        span = slice(at, at + length)
        rows += [parts[s:e] for s, e in zip(response.starts[span], response.ends[span], strict=True)]
        at += length
    assert rows == [UNITS[unit](piece) for piece in points]


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("keep", [False, True])
def test_decode_equals_the_librarys(served: Served, name: str, keep: bool) -> None:
    tokenizer = library(name)
    rows = [encoding.ids for encoding in tokenizer.encode_batch(TRICKY)]
    request = pb.DecodeRequest(
        tokenizer=served.names[name],
        ids=[i for row in rows for i in row],
        lengths=[len(row) for row in rows],
        keep_special_tokens=keep,
    )
    decoded = list(served.stub.Decode(request).texts)
    assert decoded == tokenizer.decode_batch(rows, skip_special_tokens=not keep)
    one = pb.DecodeRequest(tokenizer=served.names[name], ids=rows[0], keep_special_tokens=keep)
    assert list(served.stub.Decode(one).texts) == decoded[:1]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_vocabulary_both_ways(served: Served, name: str) -> None:
    vocabulary = library(name).get_vocab(with_added_tokens=True)
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])[:4000]
    found = served.stub.LookUpVocabulary(
        pb.LookUpVocabularyRequest(
            tokenizer=served.names[name], tokens=[*tokens, "no such token"], ids=[vocabulary[token] for token in tokens]
        )
    )
    assert list(found.ids) == [*(vocabulary[token] for token in tokens), -1]
    assert list(found.tokens) == tokens


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_is_cut_is_reported(served: Served, name: str) -> None:
    for side in (pb.SIDE_RIGHT, pb.SIDE_LEFT):
        request = pb.TokenizeRequest(tokenizer=served.names[name], texts=TRICKY, max_tokens=9)
        request.options.MergeFrom(pb.TokenizeOptions(outputs=[pb.OUTPUT_CUTS], truncation_side=side))
        response = served.stub.Tokenize(request)
        info = served.stub.GetTokenizer(pb.GetTokenizerRequest(name=request.tokenizer))
        room = 9 - info.special_tokens_per_text
        bare = library(name).encode_batch(TRICKY, add_special_tokens=False)
        lost = {
            i: e.offsets[room:] if side == pb.SIDE_RIGHT else e.offsets[: len(e.ids) - room]
            for i, e in enumerate(bare)
            if len(e.ids) > room
        }
        assert {cut.text_index: (cut.tokens, cut.start, cut.end) for cut in response.cuts} == {
            i: (len(spans), min(s for s, _ in spans), max(e for _, e in spans)) for i, spans in lost.items()
        }


def test_the_padding_and_truncation_of_a_file_stay_in_it(served: Served) -> None:
    carried = Tokenizer.from_buffer(definition("minilm"))
    assert len(carried.encode("hello world").ids) == 128
    request = pb.TokenizeRequest(tokenizer=served.names["minilm"], texts=["hello world", "word " * 300, "word " * 900])
    response = served.stub.Tokenize(request)
    assert list(response.lengths) == [4, 302, MAX_TOKENS]
    assert list(response.original_lengths) == [4, 302, 902]
    assert list(response.ids[:4]) == [101, 7592, 2088, 102]
