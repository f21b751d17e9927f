"""A stored tokenizer gives exactly what the library gives, under any concurrency, and never its file's padding."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, processors

from symbiont.common.errors import FailedPrecondition, IntegrityError, InvalidArgument
from symbiont.tokenization.tokenizer import StoredTokenizer
from symbiont.tokenization.types import Encoded

DIGEST = "d" * 64
NAMES = ["minilm", "wordpiece", "bpe", "unigram", "bare"]
TEXTS = [
    "Where is my order?",
    "请帮我取消订单，谢谢。 Thanks!",
    "[CLS] hidden [SEP] special [MASK] tokens </s> <s>",
    "e\u0301 👩‍👩‍👧 \u202eabc\u202c \u200b zero\u200dwidth שלום",
    "a\x00b",
    "x" * 3000,
    "the lazy dog " * 700,
    "\u200b",
]


def rows(encoded: Encoded) -> list[list[int]]:
    ids = iter(encoded.ids)
    return [[next(ids) for _ in range(length)] for length in encoded.lengths]


def library(definition: bytes, texts: list[str], max_tokens: int | None) -> list[list[int]]:
    tokenizer = Tokenizer.from_buffer(definition)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_tokens:
        tokenizer.enable_truncation(max_tokens)
    return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


@pytest.fixture(params=NAMES)
def definition(request: pytest.FixtureRequest, definitions: dict[str, bytes]) -> bytes:
    return definitions[request.param]


@pytest.mark.parametrize("max_tokens", [3, 4, 17, 128, 512, 10_000])
def test_every_row_equals_the_librarys(definition: bytes, max_tokens: int) -> None:
    encoded = StoredTokenizer(DIGEST, definition, 10_000).encode(TEXTS, max_tokens)
    assert rows(encoded) == library(definition, TEXTS, max_tokens)
    assert encoded.original_lengths == [len(ids) for ids in library(definition, TEXTS, None)]
    assert encoded.truncated == sum(length > max_tokens for length in encoded.original_lengths)
    assert encoded.digest == DIGEST


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4), max_tokens=st.integers(3, 24))
@pytest.mark.parametrize("name", NAMES)
def test_any_text_equals_the_librarys(
    definitions: dict[str, bytes], loaded: dict[str, StoredTokenizer], name: str, texts: list[str], max_tokens: int
) -> None:
    encoded = loaded[name].encode(texts, max_tokens)
    oracle = library_of(definitions[name], max_tokens)
    assert rows(encoded) == [encoding.ids for encoding in oracle.encode_batch(texts)]


@pytest.fixture(scope="module")
def loaded(definitions: dict[str, bytes]) -> dict[str, StoredTokenizer]:
    return {name: StoredTokenizer(DIGEST, definitions[name], 1000) for name in NAMES}


_oracles: dict[bytes, Tokenizer] = {}


def library_of(definition: bytes, max_tokens: int) -> Tokenizer:
    oracle = _oracles.setdefault(definition, Tokenizer.from_buffer(definition))
    oracle.no_padding()
    oracle.enable_truncation(max_tokens)
    return oracle


def test_minilms_padding_to_128_does_not_leak(definitions: dict[str, bytes]) -> None:
    carried = Tokenizer.from_buffer(definitions["minilm"])
    assert len(carried.encode("hello world").ids) == 128
    tokenizer = StoredTokenizer(DIGEST, definitions["minilm"], 512)
    assert tokenizer.encode(["hello world"], 512).ids == [101, 7592, 2088, 102]
    assert tokenizer.encode(["word " * 300], 512).lengths == [302]


def test_concurrent_calls_with_different_maxima_do_not_mix(definitions: dict[str, bytes]) -> None:
    tokenizer = StoredTokenizer(DIGEST, definitions["wordpiece"], 1000)
    maxima = [random.Random(0).randrange(3, 200) for _ in range(60)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda maximum: tokenizer.encode(TEXTS, maximum), maxima))
    for maximum, answer in zip(maxima, answers, strict=True):
        assert rows(answer) == library(definitions["wordpiece"], TEXTS, maximum)


def test_it_describes_itself(definitions: dict[str, bytes]) -> None:
    info = StoredTokenizer(DIGEST, definitions["minilm"], 512).info
    assert (info.family, info.vocabulary_size, info.max_tokens) == ("WordPiece", 30522, 512)
    assert [(t.token, t.id) for t in info.special_tokens] == [
        ("[PAD]", 0),
        ("[UNK]", 100),
        ("[CLS]", 101),
        ("[SEP]", 102),
        ("[MASK]", 103),
    ]
    families = {name: StoredTokenizer(DIGEST, definitions[name], 9).info.family for name in ("bpe", "unigram")}
    assert families == {"bpe": "BPE", "unigram": "Unigram"}


@pytest.mark.parametrize(("asked", "cut"), [(0, 512), (3, 3), (512, 512)])
def test_the_limit(definitions: dict[str, bytes], asked: int, cut: int) -> None:
    assert StoredTokenizer(DIGEST, definitions["minilm"], 512).limit(asked) == cut


@pytest.mark.parametrize("asked", [-1, 1, 2, 513])
def test_a_limit_without_room_or_over_the_maximum_is_refused(definitions: dict[str, bytes], asked: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        StoredTokenizer(DIGEST, definitions["minilm"], 512).limit(asked)
    assert caught.value.field == "max_tokens"


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"model": 1}'])
def test_what_is_no_tokenizer_is_refused(content: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be read"):
        StoredTokenizer(DIGEST, content, 512)


def test_special_tokens_inside_the_text_are_refused() -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "[X]": 2}, []))
    tokenizer.post_processor = processors.TemplateProcessing(single="[X] $A [X] $A", special_tokens=[("[X]", 2)])
    with pytest.raises(IntegrityError, match="stand around the text"):
        StoredTokenizer(DIGEST, tokenizer.to_str().encode(), 512)


def test_a_text_that_cannot_be_encoded_is_not_the_callers_fault() -> None:
    definition = Tokenizer(models.WordPiece({"a": 0})).to_str().encode()
    with pytest.raises(FailedPrecondition, match="cannot encode"):
        StoredTokenizer(DIGEST, definition, 512).encode(["zzz"], 512)
