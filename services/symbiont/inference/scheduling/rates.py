"""What a tenant may ask for in a second, whatever is free; shares of the queue matter where nothing is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from symbiont.common.errors import ResourceExhausted

# So much of what was not asked for is kept for a burst.
BURST_SECONDS = 2.0


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
    """The limits of all tenants in this process. A call is counted where it waits for a host, whatever its protocol."""

    def __init__(self, rates: Mapping[str, Rate], clock: Callable[[], float] = time.monotonic) -> None:
        """`rates` are by tenant; who is not named has no limit."""
        self._clock = clock
        now = clock()
        self._buckets: dict[str, list[tuple[str, _Bucket]]] = {
            tenant: [
                (word, _Bucket(limit, now))
                for word, limit in (("calls", rate.calls), ("tokens", rate.tokens))
                if limit is not None
            ]
            for tenant, rate in rates.items()
        }

    def take(self, tenant: str, tokens: int) -> None:
        """Counts a call.

        Raises:
            ResourceExhausted: the tenant has asked for more than it may; it says when it may again.
        """
        buckets = self._buckets.get(tenant)
        if not buckets:
            return
        now = self._clock()
        waits = [(bucket.wait(now), word) for word, bucket in buckets]
        seconds, word = max(waits)
        if seconds > 0:
            problem = f"the tenant asks for more {word} in a second than it may: try again in {seconds:.2g} s"
            raise ResourceExhausted(problem, reason="TENANT_RATE", retry_after_s=seconds)
        for word, bucket in buckets:
            bucket.take(1 if word == "calls" else tokens)


UNLIMITED = Rates({})
