"""Calls that wait for tokens at the same moment share one call of the tokenization service.

There a call of 64 texts costs little more than one of one text, and does not wait for others: who calls it joins.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from symbiont.common.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument
from symbiont.common.tracing import Context, kept, together, waited
from symbiont.inference.metrics import SchedulingMetrics
from symbiont.inference.ports import TokenSource
from symbiont.inference.tokens import TokenQuery, Tokens

# Tokenizer, and where it cuts.
_Key = tuple[str, int]


@dataclass(frozen=True)
class CoalescingLimits:
    """Most calls of the service in flight, and most texts and characters in one that is shared."""

    in_flight: int = 2
    texts: int = 256
    characters: int = 128 << 10


@dataclass(frozen=True, eq=False)
class _Waiter:
    texts: Sequence[str]
    expires: float
    tokens: "asyncio.Future[Tokens]"
    began: float
    trace: Context | None

    @property
    def characters(self) -> int:
        return sum(map(len, self.texts))


class TokenCoalescer:
    """A source of tokens that joins calls, without making any of them wait while the service is free."""

    def __init__(
        self,
        source: TokenSource,
        limits: CoalescingLimits,
        metrics: SchedulingMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._waiting: OrderedDict[_Key, dict[_Waiter, None]] = OrderedDict()
        self._going = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Calls that have not been sent."""
        return sum(len(waiters) for waiters in self._waiting.values())

    async def tokenize(self, digest: str, query: TokenQuery, max_tokens: int, timeout_s: float) -> Tokens:
        """Tokenizes a batch; errors are those of the service, and of this call alone.

        Only what asks for plain ids goes together: most calls do.
        """
        if not query.plain:
            return await self._source.tokenize(digest, query, max_tokens, timeout_s)
        if self._going < self._limits.in_flight and not self._waiting:
            self._metrics.tokenized(1)
            self._going += 1
            try:
                return await self._source.tokenize(digest, query, max_tokens, timeout_s)
            finally:
                self._came_back()
        now, tokens = self._clock(), asyncio.get_running_loop().create_future()
        waiter = _Waiter(query.texts, now + timeout_s, tokens, now, kept())
        self._waiting.setdefault((digest, max_tokens), {})[waiter] = None
        try:
            return await waiter.tokens
        finally:
            self._forget((digest, max_tokens), waiter)

    def _came_back(self) -> None:
        self._going -= 1
        while self._waiting and self._going < self._limits.in_flight:
            key, waiters = self._next()
            if waiters:
                self._going += 1
                task = asyncio.create_task(self._run(key, waiters))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _next(self) -> tuple[_Key, list[_Waiter]]:
        """Takes out those who go together next: of the tokenizer that was waited for longest, in their order."""
        key, waiting = next(iter(self._waiting.items()))
        taken: list[_Waiter] = []
        texts = characters = 0
        for waiter in list(waiting):
            texts, characters = texts + len(waiter.texts), characters + waiter.characters
            if taken and (texts > self._limits.texts or characters > self._limits.characters):
                break
            self._forget(key, waiter)
            if waiter.expires > self._clock():
                taken.append(waiter)
            elif not waiter.tokens.done():
                self._metrics.expired("tokenization", len(waiter.texts))
                waiter.tokens.set_exception(DeadlineExceeded("the deadline passed before the text was tokenized"))
        if key in self._waiting:
            self._waiting.move_to_end(key)
        return key, taken

    def _forget(self, key: _Key, waiter: _Waiter) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and waiter in waiting:
            del waiting[waiter]
            if not waiting:
                del self._waiting[key]

    async def _run(self, key: _Key, waiters: Sequence[_Waiter]) -> None:
        self._metrics.tokenized(len(waiters))
        now = self._clock()
        for waiter in waiters:
            waited("queue", waiter.trace, now - waiter.began)
        texts = sum(len(waiter.texts) for waiter in waiters)
        try:
            with together("tokens", [waiter.trace for waiter in waiters], {"symbiont.texts": texts}):
                await self._ask(key, waiters)
        finally:
            self._came_back()

    async def _ask(self, key: _Key, waiters: Sequence[_Waiter]) -> None:
        texts = [text for waiter in waiters for text in waiter.texts]
        left = max(waiter.expires for waiter in waiters) - self._clock()
        try:
            tokens = await self._source.tokenize(key[0], TokenQuery(texts), key[1], max(left, 1e-3))
        except (FailedPrecondition, InvalidArgument) as exc:
            if len(waiters) == 1:
                _fail(waiters, exc)
                return
            # It may be about one of them only.
            for waiter in waiters:
                await self._ask(key, [waiter])
        except Exception as exc:  # noqa: BLE001, whatever it is, those who wait must hear of it
            _fail(waiters, exc)
        else:
            _hand_out(tokens, waiters)


def _fail(waiters: Sequence[_Waiter], error: Exception) -> None:
    for waiter in waiters:
        if not waiter.tokens.done():
            waiter.tokens.set_exception(error)


def _hand_out(tokens: Tokens, waiters: Sequence[_Waiter]) -> None:
    start = 0
    for waiter in waiters:
        end = start + len(waiter.texts)
        if not waiter.tokens.done():
            own = replace(tokens, rows=tokens.rows[start:end], truncated=tokens.truncated[start:end])
            waiter.tokens.set_result(own)
        start = end
