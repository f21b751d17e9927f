"""How fast a host computes, from what it has computed."""

from dataclasses import dataclass

# Weight of the newest request: ten requests make up most of a figure.
_NEW = 0.2
# A request that took this much longer than its computation did not wait for that: its host was loaded, or hung.
_STALL_S, _STALL_FACTOR = 1.0, 4.0
# Spread of the sizes of requests, as a part of their mean, from which a cost a token can be told from a cost a request.
_SPREAD, _TRY = 0.1, 4
# A request is large enough when all but this part of its time goes with its tokens ...
_OVERHEAD = 0.25
# ... unless it then takes so many times longer than wanted.
_PATIENCE = 4.0


@dataclass(frozen=True)
class Sizes:
    """What a request may take: about so many seconds are wanted, and never fewer nor more tokens than these."""

    seconds: float = 0.1
    least: int = 128
    first: int = 256
    most: int = 16384


@dataclass(frozen=True)
class _Sample:
    """What came back at one moment: requests that the host computed together count as one."""

    tokens: int
    seconds: float
    computing: float
    full: bool


class Pace:
    """Exponential averages: of the tokens a second, and of what a request costs and each of its tokens."""

    def __init__(self) -> None:
        self._held: _Sample | None = None
        # The first request that was full, and means of the tokens and the seconds of all of them.
        self._first: tuple[float, float] | None = None
        self._full: tuple[float, float] | None = None
        # Means of tokens, seconds, tokens squared, tokens times seconds; nothing before the first request.
        self._means: tuple[float, float, float, float] | None = None
        self._token_s = 0.0
        # Requests in a row that were too alike to learn from.
        self._alike = 0

    @property
    def tokens_per_s(self) -> float:
        """Tokens a second when there is enough to do; 0 before anything is known."""
        return self._full[0] / self._full[1] if self._full else 0.0

    def note(self, tokens: int, seconds: float, computing: float, *, full: bool) -> None:
        """Takes a request in that came back.

        Args:
            tokens: what it carried.
            seconds: since the one before it came back, or since it was sent if that was later.
            computing: what the host says it took there.
            full: more waited than it could take. Otherwise it was as small as the demand, and says at least what the
                host can do, not at most.
        """
        held, self._held = self._held, _Sample(tokens, max(0.0, seconds), computing, full)
        if held is None:
            return
        if seconds < computing / 2:
            # It was computed along with the one before it.
            tokens, seconds, full = held.tokens + tokens, held.seconds + max(0.0, seconds), held.full or full
            self._held = _Sample(tokens, seconds, max(computing, held.computing), full)
        elif 0 < held.seconds <= _STALL_FACTOR * held.computing + _STALL_S:
            self._learn(held)

    def gave_up(self, tokens: int, seconds: float) -> None:
        """Takes a request in that had not come back after so many seconds: the host is no faster than that."""
        if self._full and tokens / seconds < self.tokens_per_s:
            self._learn_speed(tokens, seconds)

    def _learn(self, sample: _Sample) -> None:
        self._learn_costs(sample.tokens, sample.seconds)
        if sample.full or (self._full and sample.tokens / sample.seconds > self.tokens_per_s):
            self._learn_speed(sample.tokens, sample.seconds)

    def _learn_speed(self, tokens: float, seconds: float) -> None:
        if not self._first:
            self._first = tokens, seconds
            return
        if not self._full:
            # What comes first may have had to wait for what is made once. Were it believed alone, all that waits behind
            # it would be refused.
            self._full = min(self._first, (tokens, seconds), key=lambda one: one[1] / one[0])
            return
        # One slow request may have a reason of its own.
        seconds = min(seconds, 2 * tokens / self.tokens_per_s)
        self._full = self._full[0] + _NEW * (tokens - self._full[0]), self._full[1] + _NEW * (seconds - self._full[1])

    def seconds(self, tokens: float) -> float:
        """Returns how long so many tokens take; 0 before anything is known."""
        return tokens * self._full[1] / self._full[0] if self._full else 0.0

    def request_tokens(self, sizes: Sizes) -> int:
        """Returns how many tokens a request should have at most.

        As many as take the time that is wanted; more where a request costs so much that most of that time would go for
        nothing.
        """
        if not self._means or not self._token_s:
            return sizes.first
        tokens, seconds, _, _ = self._means
        request_s = max(0.0, seconds - self._token_s * tokens)
        wanted = (sizes.seconds - request_s) / self._token_s
        efficient = request_s * (1 / _OVERHEAD - 1) / self._token_s
        longest = (_PATIENCE * sizes.seconds - request_s) / self._token_s
        best = min(max(wanted, min(efficient, longest), sizes.least), sizes.most)
        # Now and then another size, where all were alike: what is never tried cannot be known.
        return int(best / 2 if self._alike % _TRY == _TRY - 1 else best)

    def _learn_costs(self, tokens: int, seconds: float) -> None:
        """Fits seconds = cost of a request + tokens * cost of a token: least squares, weighted by age."""
        found = float(tokens), seconds, float(tokens**2), tokens * seconds
        if not self._means:
            self._means, self._token_s = found, seconds / tokens
            return
        a, b, c, d = (old + _NEW * (new - old) for old, new in zip(self._means, found, strict=True))
        self._means = a, b, c, d
        spread = c - a * a
        if spread > (_SPREAD * a) ** 2:
            # Never less than a tenth of the whole: a token has a cost, whatever the noise says.
            self._token_s = min(max((d - a * b) / spread, 0.1 * b / a), b / a)
            self._alike = 0
        else:
            self._alike += 1
            # Nothing to tell the two apart by: the last that was known of them goes along with the whole.
            self._token_s = min(self._token_s, b / a)
