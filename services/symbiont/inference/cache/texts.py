"""The tokens of texts, kept so that a text that is known needs no call of the tokenization service either."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from symbiont.common.errors import InvalidArgument
from symbiont.inference.cache.keys import Scope
from symbiont.inference.cache.store import Store, bytes_of, frozen
from symbiont.inference.metrics import CacheMetrics
from symbiont.inference.tokens import Ids, Places, TokenQuery, Tokens

Tokenize = Callable[[TokenQuery], Awaitable[Tokens]]
# What the objects of a text cost beside its arrays.
_TEXT_BYTES = 160


@dataclass(frozen=True, slots=True, eq=False)
class TextTokens:
    """The rows of one text, as in Tokens, and what is known of them."""

    rows: Sequence[Ids]
    truncated: bool
    segment_starts: Sequence[int]
    places: Sequence[Places]

    @property
    def size(self) -> int:
        """Bytes that it costs."""
        arrays: list[NDArray[Any]] = list(self.rows)
        for one in self.places:
            arrays += (one.sequences, one.words, one.starts, one.ends)
        return _TEXT_BYTES + bytes_of(*arrays)


class TextCache:
    """Tokens by text."""

    def __init__(self, store: Store[TextTokens], metrics: CacheMetrics) -> None:
        self._store = store
        self._metrics = metrics

    async def tokenize(self, scope: Scope, query: TokenQuery, tokenizer: str, tokenize: Tokenize) -> Tokens:
        """Returns the tokens of a batch, asking for those texts alone that are not known.

        Args:
            scope: for whom and by what they are made.
            tokenizer: its digest, for the answer.
            tokenize: asks the service; what it raises is raised here, about the texts as they are numbered in `query`.
        """
        keys = _keys(scope, query)
        index_of: dict[bytes, int] = {}
        for index, key in enumerate(keys):
            index_of.setdefault(key, index)
        found = {key: kept for key in index_of if (kept := self._store.get(key)) is not None}
        missing = [key for key in index_of if key not in found]
        self._metrics.looked_up("texts", hits=len(keys) - len(missing), misses=len(missing))
        if missing:
            made = await _ask(query, [index_of[key] for key in missing], tokenize)
            for key, tokens in zip(missing, split(made, len(missing)), strict=True):
                found[key] = tokens
                self._store.put(key, tokens, tokens.size)
        return join([found[key] for key in keys], tokenizer)


def _keys(scope: Scope, query: TokenQuery) -> Sequence[bytes]:
    options = f"{query.stride} {query.places}".encode()
    if not query.pair_texts:
        return [scope.key(options, text.encode()) for text in query.texts]
    pairs = zip(query.texts, query.pair_texts, strict=True)
    return [scope.key(options, first.encode(), second.encode()) for first, second in pairs]


async def _ask(query: TokenQuery, indices: Sequence[int], tokenize: Tokenize) -> Tokens:
    seconds = [query.pair_texts[index] for index in indices] if query.pair_texts else ()
    try:
        return await tokenize(replace(query, texts=[query.texts[index] for index in indices], pair_texts=seconds))
    except InvalidArgument as exc:
        raise _renumbered(exc, indices) from exc


def _renumbered(error: InvalidArgument, indices: Sequence[int]) -> InvalidArgument:
    for number, index in enumerate(indices):
        if error.field == f"texts[{number}]":
            message = str(error).removeprefix(f"{error.field}: ")
            return InvalidArgument(f"texts[{index}]", message, reason=error.reason)
    return error


def split(tokens: Tokens, texts: int) -> Sequence[TextTokens]:
    """Returns the tokens of each text, in arrays that nobody can change."""
    rows_of: list[list[int]] = [[] for _ in range(texts)]
    for row in range(len(tokens.rows)):
        rows_of[tokens.text_of[row] if tokens.text_of else row].append(row)
    return [
        TextTokens(
            [frozen(tokens.rows[row]) for row in rows],
            tokens.truncated[text],
            [tokens.segment_starts[row] for row in rows] if tokens.segment_starts else (),
            [_frozen_places(tokens.places[row]) for row in rows] if tokens.places else (),
        )
        for text, rows in enumerate(rows_of)
    ]


def join(texts: Sequence[TextTokens], tokenizer: str) -> Tokens:
    """The inverse of `split`."""
    single = all(len(text.rows) == 1 for text in texts)
    return Tokens(
        [row for text in texts for row in text.rows],
        [text.truncated for text in texts],
        tokenizer,
        [start for text in texts for start in text.segment_starts],
        () if single else [index for index, text in enumerate(texts) for _ in text.rows],
        [places for text in texts for places in text.places],
    )


def _frozen_places(places: Places) -> Places:
    return Places(*map(frozen, (places.sequences, places.words, places.starts, places.ends)))
