"""Any number of batches over one stream, of which a few are held at a time."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

from symbiont.common.errors import ResourceExhausted
from symbiont.tokenization.assembly import Assembly
from symbiont.tokenization.encoding import PIECE_BYTES, encode
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.rows import Layout, Row, layout, length_of, parts, plan
from symbiont.tokenization.tokenizer import Tokenizer
from symbiont.tokenization.types import Batch, Encoded, Output, Settings, StreamPart, Truncation
from symbiont.tokenization.work import Stop, Work

# What one message holds, about, padding included: a megabyte.
PART_CELLS = 256 << 10
# Batches of one stream that are read and not yet taken; enough to keep two threads and the wire busy.
BATCHES = 4
PAUSE_S = 5.0


class Prepared:
    """A batch in tokens, of which messages are made one at a time."""

    def __init__(self, laid: Layout, batch: Batch, stop: Stop) -> None:
        """Encodes the batch, and makes its first message: most batches have no other."""
        first, second = encode(laid, batch, stop)
        self._laid = laid
        self._assembly = Assembly(laid, batch, first, second)
        self.rows: Sequence[Row] = plan(laid, first, second)
        self.messages: Sequence[Sequence[Row]] = list(parts(laid, self.rows, PART_CELLS))
        self._indexed = len(self.messages) > 1 or len(self.rows) > len(batch.texts)
        self.lengths = self._assembly.original_lengths()
        self.first = self.message(0)

    def maker(self, index: int) -> Callable[[Stop], Encoded]:
        """Returns the work of making one message."""
        return lambda _: self.message(index)

    def message(self, index: int) -> Encoded:
        """Makes one message."""
        encoded = self._assembly.encoded(self.messages[index], indexed=self._indexed)
        if index == 0:
            encoded.original_lengths = self.lengths
            if Output.CUTS in self._laid.options.outputs:
                encoded.cuts = self._assembly.cuts(self.rows)
        return encoded


class Streams:
    """The streams of a process.

    Args:
        tokenizer_of: finds a tokenizer by its resource name.
        check: refuses a batch that is out of its limits.
        most: streams that may be open at a time.
    """

    def __init__(
        self,
        tokenizer_of: Callable[[str], Awaitable[Tokenizer]],
        check: Callable[[Batch], None],
        metrics: TokenizationMetrics,
        work: Work,
        most: int,
    ) -> None:
        self._tokenizer_of = tokenizer_of
        self._check = check
        self._metrics = metrics
        self._work = work
        self._most = most
        self._open = 0

    async def run(self, settings: Settings, batches: AsyncIterator[Batch]) -> AsyncGenerator[StreamPart]:
        """Tokenizes batches as they come; yields their rows in order.

        No more than a few batches are held: the next one is read when the rows of the oldest have been taken.

        Raises:
            InvalidArgument: a setting or a batch is wrong; what came before it has been answered.
            NotFound: there is no such tokenizer.
            ResourceExhausted: too many streams are open.
        """
        with self._metrics.refusals.counted():
            if self._open >= self._most:
                problem = f"{self._open} streams are open, no more are taken: come back later"
                raise ResourceExhausted(problem, reason="OVERLOADED", retry_after_s=PAUSE_S)
            tokenizer = await self._tokenizer_of(settings.tokenizer)
            # Settings that only a pair allows are judged with the first batch.
            if settings.options.truncation is not Truncation.ONLY_SECOND:
                layout(tokenizer, settings, pairs=False)
            self._open += 1
            self._metrics.streams.set(self._open)
            try:
                async with aclosing(_Stream(self, tokenizer, settings).parts(batches)) as found:
                    async for part in found:
                        yield part
            finally:
                self._open -= 1
                self._metrics.streams.set(self._open)

    async def prepare(self, tokenizer: Tokenizer, settings: Settings, batch: Batch) -> Prepared:
        """Encodes one batch."""
        self._check(batch)
        laid = layout(tokenizer, settings, pairs=bool(batch.pairs))

        def make(stop: Stop) -> Prepared:
            started = time.perf_counter()
            prepared = Prepared(laid, batch, stop)
            tokens = sum(length_of(laid, row) for row in prepared.rows)
            counts = self._metrics.of(tokenizer.info.digest)
            counts.worked(len(batch.texts), tokens, laid.cut(prepared.lengths), time.perf_counter() - started)
            return prepared

        return await self._work.run(batch.size, make)

    @property
    def work(self) -> Work:
        """Where the work of all streams is done."""
        return self._work


class _Stream:
    """One stream: a task reads batches ahead, the rows are taken in order."""

    def __init__(self, streams: Streams, tokenizer: Tokenizer, settings: Settings) -> None:
        self._streams = streams
        self._tokenizer = tokenizer
        self._settings = settings
        self._free = asyncio.Semaphore(BATCHES)
        self._queue: asyncio.Queue[tuple[asyncio.Task[Prepared], int] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Prepared]] = set()
        self._held = 0

    async def parts(self, batches: AsyncIterator[Batch]) -> AsyncGenerator[StreamPart]:
        """Yields the rows of all batches, then ends, or raises what was wrong."""
        reader = asyncio.create_task(self._read(batches))
        number = 0
        try:
            while entry := await self._queue.get():
                task, size = entry
                prepared = await task
                self._tasks.discard(task)
                async for part in self._messages(number, prepared):
                    yield part
                self._hold(-size)
                self._free.release()
                number += 1
            await reader
        finally:
            for left in (reader, *self._tasks):
                left.cancel()
            await asyncio.gather(reader, *self._tasks, return_exceptions=True)
            self._hold(-self._held)

    async def _read(self, batches: AsyncIterator[Batch]) -> None:
        try:
            await self._free.acquire()
            async for batch in batches:
                await self._streams.work.room(batch.size)
                self._hold(batch.size)
                task = asyncio.create_task(self._streams.prepare(self._tokenizer, self._settings, batch))
                self._tasks.add(task)
                self._queue.put_nowait((task, batch.size))
                await self._free.acquire()
        finally:
            self._queue.put_nowait(None)

    async def _messages(self, number: int, prepared: Prepared) -> AsyncIterator[StreamPart]:
        """Yields the messages of a batch; each is made when the one before was taken."""
        last = len(prepared.messages) - 1
        yield StreamPart(number, last == 0, prepared.first)
        for index in range(1, last + 1):
            yield StreamPart(number, index == last, await self._streams.work.run(PIECE_BYTES, prepared.maker(index)))

    def _hold(self, size: int) -> None:
        self._held += size
        self._streams.work.hold(size)
