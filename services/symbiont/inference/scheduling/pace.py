"""How fast a host computes, from what it has computed."""

# Weight of the newest request: ten requests make up most of the figure.
_NEW = 0.2
# A request that took this much longer than its computation did not wait for that: its host was loaded, or hung.
_STALL_S, _STALL_FACTOR = 0.1, 4.0


class Pace:
    """An exponential average of tokens a second."""

    def __init__(self) -> None:
        self._rate: float | None = None

    @property
    def tokens_per_s(self) -> float:
        """The figure; 0 before anything is known."""
        return self._rate or 0.0

    def note(self, tokens: int, seconds: float, computing: float, *, full: bool) -> None:
        """Takes a request in.

        Args:
            tokens: what it carried.
            seconds: since the one before it came back, or since it was sent if that was later.
            computing: what the host says it took there.
            full: more waited than it could take. Otherwise it was as small as the demand, and says at least what the
                host can do, not at most.
        """
        if seconds <= 0 or seconds > _STALL_FACTOR * computing + _STALL_S:
            return
        rate = tokens / seconds
        if self._rate is None:
            self._rate = rate if full else None
        elif full or rate > self._rate:
            # One slow request may have a reason of its own.
            self._rate += _NEW * (max(rate, self._rate / 2) - self._rate)

    def seconds(self, tokens: float) -> float:
        """Returns how long so many tokens take; 0 before anything is known."""
        return tokens / self._rate if self._rate else 0.0
