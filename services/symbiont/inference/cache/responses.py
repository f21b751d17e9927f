"""The response cache: one bounded store, and what is kept there."""

from collections.abc import Sequence
from typing import Any

from symbiont.engine.row import HostAnswer, Row
from symbiont.inference.cache.keys import Scope
from symbiont.inference.cache.rows import Compute, RowCache
from symbiont.inference.cache.store import Store
from symbiont.inference.cache.texts import TextCache, Tokenize
from symbiont.inference.metrics import CacheMetrics
from symbiont.inference.tokens import TokenQuery, Tokens
from symbiont.inference.types import Priority, Served


class ResponseCache:
    """Keeps the tokens of texts and the values of rows, for each tenant apart.

    Args:
        capacity: bytes of all that is kept.
        seconds: for how long each thing is kept.
    """

    def __init__(self, capacity: int, seconds: float, metrics: CacheMetrics) -> None:
        store: Store[Any] = Store(capacity, seconds, metrics)
        self._texts = TextCache(store, metrics)
        self._rows = RowCache(store, metrics)

    async def tokenize(self, tenant: str, served: Served, query: TokenQuery, tokenize: Tokenize) -> Tokens:
        """See TextCache.tokenize."""
        tokenizer = served.version.tokenizer_digest
        scope = Scope.of_texts(tenant, tokenizer, served.bundle.max_tokens)
        return await self._texts.tokenize(scope, query, tokenizer, tokenize)

    async def infer(
        self, tenant: str, base: str, rows: Sequence[Row], priority: Priority, compute: Compute
    ) -> HostAnswer:
        """See RowCache.infer."""
        return await self._rows.infer(tenant, base, rows, priority, compute)
