"""What is done with texts, apart from how it is called: tokenize, count, decode, look up, analyze."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from typing import TypeVar

from symbiont.common.errors import InvalidArgument
from symbiont.common.languages import Share, languages, scripts
from symbiont.common.resources import parse_digest_or_id
from symbiont.tokenization import analysis
from symbiont.tokenization.assembly import Assembly, uncut
from symbiont.tokenization.encoding import PIECE_BYTES, encode, figures
from symbiont.tokenization.library import KIND, TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.rows import Layout, check_rows, layout, plan
from symbiont.tokenization.streaming import Streams
from symbiont.tokenization.tokenizer import Tokenizer
from symbiont.tokenization.types import Batch, Encoded, Options, Output, Settings, StreamPart
from symbiont.tokenization.work import Stop, Work

_PREFIX = f"{KIND}/"
MAX_LOOK_UPS = 10_000
MAX_IDS = 4 << 20
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Most texts in a batch, most bytes of a batch, most streams at a time."""

    texts: int
    batch_bytes: int
    streams: int


@dataclass(frozen=True)
class Analysis:
    """A sample of texts as a tokenizer sees it."""

    digest: str
    texts: int
    blank: int
    max_tokens: int
    figures: analysis.Figures
    lengths: analysis.LengthReport
    languages: Sequence[Share]
    scripts: Sequence[Share]


class Tokenization:
    """The use cases that are about texts. What is large runs in the threads of `work`.

    `expires`, where a method takes it, is the `time.monotonic()` after which nobody waits for the answer. Every method
    raises InvalidArgument, NotFound, ResourceExhausted when too much waits, and DeadlineExceeded when `expires` came
    before the work began.
    """

    def __init__(self, library: TokenizerLibrary, limits: Limits, metrics: TokenizationMetrics, work: Work) -> None:
        self._library = library
        self._limits = limits
        self._metrics = metrics
        self._work = work
        self._streams = Streams(self._tokenizer, self._check, metrics, work, limits.streams)

    async def tokenize(self, settings: Settings, batch: Batch, expires: float | None = None) -> Encoded:
        """Tokenizes a batch."""
        with self._metrics.refusals.counted():
            self._check(batch)
            laid = layout(await self._tokenizer(settings.tokenizer), settings, pairs=bool(batch.pairs))
            return await self._work.do(batch.size, lambda stop: self._rows(laid, batch, stop), expires)

    def stream(
        self, settings: Settings, batches: AsyncIterator[Batch]
    ) -> AbstractAsyncContextManager[AsyncGenerator[StreamPart]]:
        """Tokenizes batches as they come; gives their rows in order. See `Streams.run`."""
        return aclosing(self._streams.run(settings, batches))

    async def count(
        self, name: str, batch: Batch, *, omit_special_tokens: bool, expires: float | None = None
    ) -> Encoded:
        """Counts the tokens of texts: gives their original lengths, and no rows."""
        with self._metrics.refusals.counted():
            self._check(batch)
            settings = Settings(name, options=Options(omit_special_tokens=omit_special_tokens))
            laid = layout(await self._tokenizer(name), settings, pairs=bool(batch.pairs))

            def work(stop: Stop) -> Encoded:
                return Encoded(laid.tokenizer.info.digest, original_lengths=self._lengths(laid, batch, stop))

            return await self._work.do(batch.size, work, expires)

    async def decode(
        self, name: str, ids: Sequence[int], lengths: Sequence[int], *, keep_special_tokens: bool
    ) -> tuple[list[str], str]:
        """Returns the text of each row of ids, and the digest of the tokenizer."""
        with self._metrics.refusals.counted():
            self._check_rows(ids, lengths)
            tokenizer = await self._tokenizer(name)

            def work(stop: Stop) -> list[str]:
                _check_vocabulary(tokenizer, ids)
                return tokenizer.decode(_split(ids, lengths or [len(ids)]), keep_special_tokens=keep_special_tokens)

            return await self._work.do(4 * len(ids), work), tokenizer.info.digest

    async def look_up(self, name: str, tokens: Sequence[str], ids: Sequence[int]) -> tuple[list[int], list[str], str]:
        """Returns the id of each token, -1 for none; the token of each id; and the digest of the tokenizer."""
        with self._metrics.refusals.counted():
            asked = len(tokens) + len(ids)
            if not 1 <= asked <= MAX_LOOK_UPS:
                problem = f"{asked} are asked for, 1 to {MAX_LOOK_UPS} are looked up"
                raise InvalidArgument("tokens", problem, reason="BATCH_TOO_LARGE" if asked else "BATCH_EMPTY")
            tokenizer = await self._tokenizer(name)
            _check_vocabulary(tokenizer, ids)
            found = [tokenizer.id_of(token) for token in tokens]
            strings = [tokenizer.token_of(identifier) or "" for identifier in ids]
            return [-1 if number is None else number for number in found], strings, tokenizer.info.digest

    async def analyze(self, name: str, batch: Batch, max_tokens: int, expires: float | None = None) -> Analysis:
        """Describes a sample of texts."""
        with self._metrics.refusals.counted():
            self._check(batch)
            laid = layout(await self._tokenizer(name), Settings(name, max_tokens), pairs=bool(batch.pairs))
            # Never where it arrives: telling languages apart takes longer than encoding.
            size = max(batch.size, PIECE_BYTES)
            return await self._work.do(size, lambda stop: self._analysis(laid, batch, stop), expires)

    async def _tokenizer(self, name: str) -> Tokenizer:
        # A name that is known needs no check.
        if name.startswith(_PREFIX) and (found := self._library.cached(name[len(_PREFIX) :])):
            return found
        key = parse_digest_or_id("tokenizer", KIND, name)
        return await self._work.block(lambda: self._library.get(key))

    def _check(self, batch: Batch) -> None:
        count = len(batch.texts)
        if not count:
            raise InvalidArgument("texts", "there are none", reason="BATCH_EMPTY")
        if count > self._limits.texts:
            problem = f"{count} texts, at most {self._limits.texts} are allowed in a batch"
            raise InvalidArgument("texts", problem, reason="BATCH_TOO_LARGE")
        if batch.pairs and len(batch.pairs) != count:
            raise InvalidArgument("pair_texts", f"there are {len(batch.pairs)} for {count} texts", reason="PAIRS")
        if batch.size > self._limits.batch_bytes:
            problem = f"they take {batch.size} bytes, at most {self._limits.batch_bytes} are allowed in a batch"
            raise InvalidArgument("texts", problem, reason="TEXT_TOO_LONG")

    def _check_rows(self, ids: Sequence[int], lengths: Sequence[int]) -> None:
        if not ids and not lengths:
            raise InvalidArgument("ids", "there are none", reason="BATCH_EMPTY")
        for field, values, most in (("ids", ids, MAX_IDS), ("lengths", lengths, self._limits.texts)):
            if len(values) > most:
                raise InvalidArgument(
                    field, f"{len(values)} of them, at most {most} are taken", reason="BATCH_TOO_LARGE"
                )
        if lengths and sum(lengths) != len(ids):
            raise InvalidArgument("lengths", f"they add up to {sum(lengths)}, but there are {len(ids)} ids")

    def _rows(self, laid: Layout, batch: Batch, stop: Stop) -> Encoded:
        started = time.perf_counter()
        first, second = encode(laid, batch, stop)
        encoded = uncut(laid, first) if laid.ids_alone else None
        if encoded is None:
            rows = plan(laid, first, second)
            check_rows(laid, rows)
            assembly = Assembly(laid, batch, first, second)
            encoded = assembly.encoded(rows, indexed=len(rows) > len(batch.texts))
            encoded.original_lengths = assembly.original_lengths()
            if Output.CUTS in laid.options.outputs:
                encoded.cuts = assembly.cuts(rows)
        counts = self._metrics.of(encoded.digest)
        seconds = time.perf_counter() - started
        counts.worked(len(batch.texts), len(encoded.ids), laid.cut(encoded.original_lengths), seconds)
        return encoded

    def _lengths(self, laid: Layout, batch: Batch, stop: Stop) -> list[int]:
        started = time.perf_counter()
        first, second = encode(laid, batch, stop)
        lengths = Assembly(laid, batch, first, second).original_lengths()
        self._metrics.of(laid.tokenizer.info.digest).worked(len(batch.texts), 0, 0, time.perf_counter() - started)
        return lengths

    def _analysis(self, laid: Layout, batch: Batch, stop: Stop) -> Analysis:
        started = time.perf_counter()
        first, second = encode(laid, batch, stop)
        lengths = Assembly(laid, batch, first, second).original_lengths()
        digest = laid.tokenizer.info.digest
        self._metrics.of(digest).worked(len(batch.texts), 0, 0, time.perf_counter() - started)
        stop.check()
        whole = [f"{a} {b}" for a, b in zip(batch.texts, batch.pairs, strict=True)] if batch.pairs else batch.texts
        return Analysis(
            digest=digest,
            texts=len(batch.texts),
            blank=sum(not text.strip() for text in whole),
            max_tokens=laid.max_tokens,
            figures=figures(laid.tokenizer, [*batch.texts, *batch.pairs], [*first, *second]),
            lengths=analysis.lengths(lengths, laid.max_tokens),
            languages=languages(whole),
            scripts=scripts(whole),
        )


def _split(ids: Sequence[int], lengths: Sequence[int]) -> list[Sequence[int]]:
    rows, at = [], 0
    for length in lengths:
        rows.append(ids[at : at + length])
        at += length
    return rows


def _check_vocabulary(tokenizer: Tokenizer, ids: Sequence[int]) -> None:
    outside = {number for number in set(ids) if tokenizer.token_of(number) is None}
    if outside:
        index = next(i for i, number in enumerate(ids) if number in outside)
        problem = f"{ids[index]} is outside the vocabulary of {tokenizer.info.vocabulary_size}"
        raise InvalidArgument(f"ids[{index}]", problem, reason="OUTSIDE_VOCABULARY")
