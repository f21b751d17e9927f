"""Who is let in: a call that would be answered too late is better refused at once, before anything is done for it."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from symbiont.common.errors import DeadlineExceeded, ResourceExhausted
from symbiont.inference.metrics import SchedulingMetrics
from symbiont.inference.scheduling.call import Turn
from symbiont.inference.scheduling.pace import Pace
from symbiont.inference.scheduling.queue import FairQueue
from symbiont.inference.types import Priority

QUEUE_FULL, WAIT_TOO_LONG = "QUEUE_FULL", "WAIT_TOO_LONG"
# Of what is free in the queue, one tenant may hold so many times as much: alone it gets four fifths of the queue, and
# always leaves room for others (Choudhury and Hahne, Dynamic Queue Length Thresholds, 1998).
_ALPHA = 4
# Part of a call's time that it may be expected to wait; the rest is for tokens, the host, and surprises.
PATIENCE = 0.75
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 10.0
# Bytes of UTF-8 for each token, and special tokens of a text: English has somewhat less, Chinese somewhat more.
_BYTES_PER_TOKEN, _SPECIAL = 4, 2


class Load(Protocol):
    """What a host has to do beside its queue."""

    # Tokens that were sent to it and are not answered.
    tokens_in_flight: int

    @property
    def tokens_parked(self) -> int:
        """Tokens that wait for their bundle."""
        ...


class Admission:
    """The door of one host's queue.

    Args:
        max_tokens: most that wait, together with those that are being made of texts.
    """

    def __init__(
        self,
        queue: FairQueue,
        pace: Pace,
        host: Load,
        max_tokens: int,
        clock: Callable[[], float],
        metrics: SchedulingMetrics,
    ) -> None:
        self._queue = queue
        self._pace = pace
        self._host = host
        self._max_tokens = max_tokens
        self._clock = clock
        self._metrics = metrics
        # Tokens of calls that are let in and not yet in the queue.
        self._expected: Counter[tuple[Priority, str]] = Counter()
        self.expected = 0

    @contextmanager
    def expecting(self, turn: Turn, rows: int, tokens: int) -> Iterator[None]:
        """Lets a call in whose tokens are about to be made, and keeps room for them until the block ends.

        Raises:
            ResourceExhausted: it would wait for too long, or the queue is full.
            DeadlineExceeded: it came too late.
        """
        self.check(turn, rows, tokens, PATIENCE)
        key = turn.priority, turn.tenant
        self._expected[key] += tokens
        self.expected += tokens
        try:
            yield
        finally:
            self._expected[key] -= tokens
            self.expected -= tokens
            if not self._expected[key]:
                del self._expected[key]

    def check(self, turn: Turn, rows: int, tokens: int, patience: float = 1.0) -> None:
        """Refuses what may not wait here; see `expecting`."""
        left = turn.expires - self._clock()
        if left <= 0:
            self._metrics.expired("admission", rows)
            raise DeadlineExceeded("the deadline passed before any work was done")
        own_expected = self._expected[turn.priority, turn.tenant] if self.expected else 0
        own = self._queue.tokens_of(turn) + own_expected
        free = self._max_tokens - self._queue.tokens - self._host.tokens_parked - self.expected
        if free <= 0 or (own and own + tokens > _ALPHA * free):
            raise self._refusal("too many tokens wait here", QUEUE_FULL, self._pace.seconds(tokens - free))
        # What is on its way to the queue will wait there too.
        ahead = float(self._host.tokens_in_flight)
        if self._queue.tokens or self.expected:
            ahead += self._queue.ahead(turn, own_expected, self.expected)
        wait, work = self._pace.seconds(ahead), self._pace.seconds(tokens)
        late = max(wait - patience * left, wait + work - left)
        # Where nobody is in the way, whoever asks for more than can be done in time may try.
        if ahead and late > 0:
            problem = f"it would take about {wait + work:.1f} s, and there are {left:.1f} s left"
            raise self._refusal(problem, WAIT_TOO_LONG, late)

    def _refusal(self, problem: str, reason: str, pause: float) -> ResourceExhausted:
        pause = min(max(pause, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)
        return ResourceExhausted(f"overloaded: {problem}; come back later", reason=reason, retry_after_s=pause)


def estimate(texts: Sequence[str], max_tokens: int) -> int:
    """Returns about how many tokens texts have, none more than `max_tokens` (0: no limit)."""
    limit = max_tokens or 1 << 31
    return sum(min(limit, _SPECIAL + _bytes(text) // _BYTES_PER_TOKEN) for text in texts)


def _bytes(text: str) -> int:
    # An ASCII string knows that it is one.
    return len(text) if text.isascii() else len(text.encode())
