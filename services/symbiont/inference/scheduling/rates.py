"""What a tenant may ask for in a second, whatever is free; shares of the queue matter where nothing is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from symbiont.common.errors import ResourceExhausted

# So much of what was not asked for is kept for a burst.
BURST_SECONDS = 2.0
_CALLS, _TOKENS = "calls", "tokens"


@dataclass(frozen=True)
class Rate:
    """Calls and tokens of a tenant in a second; None where there is no limit."""

    calls: float | None = None
    tokens: float | None = None


class _Bucket:
    """What is left of a rate. It may be overdrawn by one call, for which the next ones wait."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = rate * BURST_SECONDS
        self._at = now

    def wait(self, now: float) -> float:
        """Returns the seconds until a call may take something; 0 for now."""
        self._left = min(self._left + (now - self._at) * self._rate, self._rate * BURST_SECONDS)
        self._at = now
        return max(-self._left / self._rate, 0.0)

    def take(self, amount: float) -> None:
        self._left -= amount


class Rates:
    """The limits of all tenants in this process. A call is counted where it waits for a host, whatever its protocol, or
    where its answer is known. What a generation will take is not known before: it is let on, and the next ones wait."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float] = time.monotonic) -> None:
        """`rates` are by tenant; who is not named has no limit."""
        self._clock = clock
        now = clock()
        self._buckets = {
            tenant: {
                word: _Bucket(limit, now)
                for word, limit in ((_CALLS, rate.calls), (_TOKENS, rate.tokens))
                if limit is not None
            }
            for tenant, rate in rates.items()
        }

    def take(self, tenant: str, tokens: int) -> None:
        """Counts a call.

        Raises:
            ResourceExhausted: the tenant has asked for more than it may; it says when it may again.
        """
        self._take(tenant, {_CALLS: 1, _TOKENS: tokens})

    def take_known(self, tenant: str) -> None:
        """Counts a call that no host computes tokens for; ResourceExhausted as of `take`, of calls alone."""
        self._take(tenant, {_CALLS: 1})

    def add_tokens(self, tenant: str, tokens: int) -> None:
        """Counts tokens of a call that was let on before they were known."""
        if bucket := self._buckets.get(tenant, {}).get(_TOKENS):
            bucket.take(tokens)

    def _take(self, tenant: str, amounts: Mapping[str, int]) -> None:
        asked = {word: bucket for word, bucket in self._buckets.get(tenant, {}).items() if word in amounts}
        if not asked:
            return
        now = self._clock()
        seconds, word = max((bucket.wait(now), word) for word, bucket in asked.items())
        if seconds > 0:
            problem = f"the tenant asks for more {word} in a second than it may: try again in {seconds:.2g} s"
            raise ResourceExhausted(problem, reason="TENANT_RATE", retry_after_s=seconds)
        for word, bucket in asked.items():
            bucket.take(amounts[word])


UNLIMITED = Rates({})
