"""Tokens that are kept are those that the tokenization service gave, and only texts that are new are sent to it."""

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symbiont.common.errors import InvalidArgument, Unavailable
from symbiont.inference.cache.keys import Scope
from symbiont.inference.cache.store import Store
from symbiont.inference.cache.texts import TextCache, join, split
from symbiont.inference.metrics import CacheMetrics
from symbiont.inference.tokens import Places, TokenQuery, Tokens

DIGEST = "c" * 64


def tokens_of(query: TokenQuery) -> Tokens:
    """Tokens that tell which text they are of, in as many rows as it has words where there is a stride."""
    rows, text_of, starts, places = [], [], [], []
    for index, text in enumerate(query.texts):
        pair = query.pair_texts[index] if query.pair_texts else ""
        for window in range(len(text.split()) if query.stride is not None else 1):
            ids = np.array([*text.encode(), window, *pair.encode()], np.int32)
            rows.append(ids)
            text_of.append(index)
            starts.append(len(text.encode()) + 1)
            places.append(Places(*(ids + offset for offset in (1, 2, 3, 4))))
    return Tokens(
        rows,
        ["cut" in text for text in query.texts],
        DIGEST,
        starts if query.pair_texts else (),
        text_of if query.stride is not None else (),
        places if query.places else (),
    )


class Service:
    def __init__(self) -> None:
        self.asked: list[Sequence[str]] = []
        self.error: Exception | None = None

    async def __call__(self, query: TokenQuery) -> Tokens:
        self.asked.append(query.texts)
        if self.error:
            raise self.error
        return tokens_of(query)


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def cache(cache_metrics: CacheMetrics) -> TextCache:
    return TextCache(Store(1 << 20, 60.0, cache_metrics), cache_metrics)


def plain(tokens: Tokens) -> Any:
    """Returns tokens in a form that can be compared; a text that is one row needs no index."""
    return (
        [row.tolist() for row in tokens.rows],
        list(tokens.truncated),
        tokens.tokenizer_digest,
        list(tokens.segment_starts),
        list(tokens.text_of) or list(range(len(tokens.rows))),
        [[array.tolist() for array in (p.sequences, p.words, p.starts, p.ends)] for p in tokens.places],
    )


TEXTS = ["one", "two words", "cut here", "你好"]
QUERIES = [
    TokenQuery(TEXTS),
    TokenQuery(TEXTS, places=True),
    TokenQuery(TEXTS, ["a", "b", "c", "d"]),
    TokenQuery(TEXTS, stride=2, places=True),
    TokenQuery(TEXTS, ["a", "b", "c", "d"], stride=0, places=True),
]


@pytest.mark.parametrize("query", QUERIES, ids=["plain", "places", "pairs", "windows", "pairs in windows"])
async def test_known_texts_are_as_the_service_gave_them(
    cache: TextCache, scope: Scope, service: Service, query: TokenQuery
) -> None:
    for _ in range(2):
        assert plain(await cache.tokenize(scope, query, DIGEST, service)) == plain(tokens_of(query))
    assert len(service.asked) == 1


async def test_only_new_texts_are_asked_for(cache: TextCache, scope: Scope, service: Service, looked_up: Any) -> None:
    await cache.tokenize(scope, TokenQuery(["a", "b"]), DIGEST, service)
    query = TokenQuery(["c", "b", "d", "c", "a"])
    assert plain(await cache.tokenize(scope, query, DIGEST, service)) == plain(tokens_of(query))
    assert service.asked == [["a", "b"], ["c", "d"]]
    assert looked_up("texts") == [3, 4, 0]


async def test_what_is_asked_for_makes_another_answer(cache: TextCache, scope: Scope, service: Service) -> None:
    for query in (*QUERIES, TokenQuery(["onea"]), TokenQuery(["one"], ["a "]), TokenQuery(["on"], ["ea"])):
        await cache.tokenize(scope, query, DIGEST, service)
    assert len(service.asked) == 8


async def test_a_refused_text_is_named_as_the_caller_numbered_it(
    cache: TextCache, scope: Scope, service: Service
) -> None:
    await cache.tokenize(scope, TokenQuery(["a"], ["x"]), DIGEST, service)
    service.error = InvalidArgument("texts[1]", "it leaves no room", reason="TEXT_TOO_LONG")
    with pytest.raises(InvalidArgument) as caught:
        await cache.tokenize(scope, TokenQuery(["a", "b", "a", "c"], ["x"] * 4), DIGEST, service)
    assert (caught.value.field, caught.value.reason) == ("texts[3]", "TEXT_TOO_LONG")
    assert str(caught.value) == "texts[3]: it leaves no room"


async def test_errors_are_not_kept(cache: TextCache, scope: Scope, service: Service) -> None:
    service.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await cache.tokenize(scope, TokenQuery(["a"]), DIGEST, service)
    service.error = None
    assert plain(await cache.tokenize(scope, TokenQuery(["a"]), DIGEST, service)) == plain(tokens_of(TokenQuery(["a"])))


async def test_what_is_handed_out_cannot_be_changed(cache: TextCache, scope: Scope, service: Service) -> None:
    query = TokenQuery(["a"], places=True)
    for _ in range(2):
        tokens = await cache.tokenize(scope, query, DIGEST, service)
        for array in (tokens.rows[0], tokens.places[0].starts):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 9


@given(st.lists(st.sampled_from(["a", "b c", "d e f", "cut"]), min_size=1, max_size=6), st.sampled_from([None, 1]))
def test_joining_undoes_splitting(texts: list[str], stride: int | None) -> None:
    tokens = tokens_of(TokenQuery(texts, texts, stride, places=True))
    assert plain(join(split(tokens, len(texts)), DIGEST)) == plain(tokens)


@pytest.mark.parametrize("query", QUERIES[:2], ids=["plain", "places"])
async def test_the_bytes_counted_are_the_bytes_used(
    cache_metrics: CacheMetrics, scope: Scope, query: TokenQuery
) -> None:
    store: Store[Any] = Store(1 << 30, 60.0, cache_metrics)
    made = tokens_of(TokenQuery(["a text of about twenty-four"], places=query.places))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000):
            (text,) = split(made, 1)
            store.put(number.to_bytes(32, "little"), text, text.size)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert store.size == pytest.approx(used, rel=0.15)
