"""Which bundles a host has in memory, as far as what was asked of it shows."""

from collections import OrderedDict
from collections.abc import Callable


class Residency:
    """Bundles that a host answered last.

    The host keeps those used last and loads others when they are asked for, which takes a while and holds up the whole
    request. So rows of a bundle that may not be there go in a request of their own. A wrong guess costs time, not more.

    Args:
        capacity: bundles that the host keeps in one server.
        servers: tells how many servers share the bundles now.
    """

    def __init__(self, capacity: int, servers: Callable[[], int] = lambda: 1) -> None:
        self._capacity = capacity
        self._servers = servers
        self._used: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, bundle: str) -> bool:
        # The plain base is always there.
        return not bundle or bundle in self._used

    def __len__(self) -> int:
        return len(self._used)

    def use(self, bundle: str) -> None:
        """Notes that a bundle was answered."""
        if bundle:
            self._used[bundle] = None
            self._used.move_to_end(bundle)
            while len(self._used) > self._capacity * max(1, self._servers()):
                self._used.popitem(last=False)

    def clear(self) -> None:
        """Forgets all: the host may have started anew."""
        self._used.clear()
