"""Whether one tenant fills a host while others come by with little: they wait for what is computed when they come."""

from symbiont.inference.scheduling.queue import FairQueue

# How long a tenant is expected back.
_BACK_S = 5.0
# Who floods may wait for nothing for so long: all of it was just sent, or refused.
_LULL_S = 2.0


class Company:
    """Remembers the last two tenants that asked, which is all that must be known of any number, and who floods."""

    def __init__(self) -> None:
        self._last, self._last_at, self._other_at = "", 0.0, -_BACK_S
        self._flooding, self._flooded_at = "", -_LULL_S

    def note(self, tenant: str, now: float) -> None:
        """Takes note of a call."""
        if tenant != self._last:
            self._other_at, self._last = self._last_at if self._last else -_BACK_S, tenant
        self._last_at = now

    def is_mixed(self, now: float) -> bool:
        """Whether two tenants have asked lately."""
        return now - self._other_at < _BACK_S

    def flooding(self, queue: FairQueue, tokens: int, now: float) -> str:
        """Returns the tenant that waits with more than so many tokens, while others come by with less; "" for none."""
        if not self.is_mixed(now):
            return ""
        if found := queue.flooding(tokens):
            self._flooding, self._flooded_at = found, now
            return found
        lulls = queue.tokens <= tokens and now - self._flooded_at < _LULL_S
        return self._flooding if lulls else ""
