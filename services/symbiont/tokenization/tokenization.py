"""What the service does, apart from how it is called: describe tokenizers, and tokenize batches of texts."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from symbiont.common.errors import InvalidArgument
from symbiont.common.pages import page_of
from symbiont.common.resources import parse_digest_name
from symbiont.common.texts import check_text
from symbiont.tokenization.library import KIND, TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.types import Encoded, TokenizeCall, TokenizerInfo

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """Most texts in a call, and the largest text in bytes of UTF-8."""

    texts: int
    text_bytes: int


class Tokenization:
    """The service's use cases. Everything that blocks or computes runs on `executor`."""

    def __init__(
        self, library: TokenizerLibrary, limits: Limits, metrics: TokenizationMetrics, executor: Executor
    ) -> None:
        self._library = library
        self._limits = limits
        self._metrics = metrics
        self._executor = executor

    async def get(self, name: str) -> TokenizerInfo:
        """Describes the tokenizer `tokenizers/{digest}`; NotFound when there is none."""
        digest = parse_digest_name("name", KIND, name)
        return await self._run(lambda: self._library.get(digest).info)

    async def list(self, page_size: int, page_token: str) -> tuple[Sequence[TokenizerInfo], str]:
        """Describes one page of tokenizers, ordered by digest; returns it with the token of the next page."""

        def read() -> tuple[Sequence[TokenizerInfo], str]:
            digests, token = page_of([(d, d) for d in self._library.digests()], page_size, page_token)
            return self._library.describe(digests), token

        return await self._run(read)

    async def tokenize(self, call: TokenizeCall) -> Encoded:
        """Tokenizes a batch.

        Raises:
            InvalidArgument: the batch, a text or `max_tokens` is out of its limits; nothing was encoded.
            NotFound: there is no such tokenizer.
        """
        with self._metrics.refusals.counted():
            digest = parse_digest_name("tokenizer", KIND, call.tokenizer)
            self._check(call)
            return await self._run(lambda: self._encode(digest, call))

    def _check(self, call: TokenizeCall) -> None:
        if not call.texts:
            raise InvalidArgument("texts", "there are none", reason="BATCH_EMPTY")
        if len(call.texts) > self._limits.texts:
            problem = f"{len(call.texts)} texts, at most {self._limits.texts} are allowed in a call"
            raise InvalidArgument("texts", problem, reason="BATCH_TOO_LARGE")
        for index, text in enumerate(call.texts):
            check_text(f"texts[{index}]", text, self._limits.text_bytes)

    def _encode(self, digest: str, call: TokenizeCall) -> Encoded:
        tokenizer = self._library.get(digest)
        limit = tokenizer.limit(call.max_tokens)
        started = time.perf_counter()
        encoded = tokenizer.encode(call.texts, limit)
        self._metrics.encoded(encoded, time.perf_counter() - started)
        return encoded

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
