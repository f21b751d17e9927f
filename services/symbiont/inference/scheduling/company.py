"""Whether one tenant fills a host while others come by with little: they wait for what is computed when they come."""

# How long a tenant is expected back.
_BACK_S = 5.0


class Company:
    """Remembers the last two tenants that asked, which is all that must be known of any number of them."""

    def __init__(self) -> None:
        self._last, self._last_at, self._other_at = "", 0.0, -_BACK_S

    def note(self, tenant: str, now: float) -> None:
        """Takes note of a call."""
        if tenant != self._last:
            self._other_at, self._last = self._last_at if self._last else -_BACK_S, tenant
        self._last_at = now

    def is_mixed(self, now: float) -> bool:
        """Whether two tenants have asked lately."""
        return now - self._other_at < _BACK_S
