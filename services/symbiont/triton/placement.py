"""Which of several servers a row goes to: by a hash that every process computes alike, so that none has to be asked.

Rendezvous hashing (Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on
Networking 6, 1998): each server has a weight for each key, and the heaviest one gets it. One that goes leaves only its
own keys, to whoever was next for each, and gets the same keys back when it returns.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count

from symbiont.common.lru import Lru
from symbiont.engine.row import Row

_REMEMBERED = 10_000


@dataclass(frozen=True)
class Spread:
    """Over how many servers work is spread.

    Attributes:
        base_servers: servers that hold a base; 0: all of them.
        bundle_servers: servers that hold a bundle, of those that hold its base.
    """

    base_servers: int = 0
    bundle_servers: int = 1


def rendezvous(key: str, servers: Iterable[str]) -> list[str]:
    """Returns servers in the order in which they are to be asked for a key: the same in every process."""
    return sorted(servers, key=lambda server: (_weight(key, server), server), reverse=True)


class Placement:
    """The place of rows while one set of servers is ready; another set has another placement.

    Args:
        servers: by their addresses, at least one.
    """

    def __init__(self, servers: Sequence[str], spread: Spread) -> None:
        self._servers = servers
        self._spread = spread
        self._places: Lru[tuple[str, str], Sequence[str]] = Lru(_REMEMBERED)
        # Where a row may go to several, they take turns.
        self._turn = count()

    def holders(self, base: str) -> Sequence[str]:
        """Returns the servers that hold a base."""
        return rendezvous(base, self._servers)[: self._spread.base_servers or None]

    def divide(self, base: str, rows: Sequence[Row]) -> Mapping[str, Sequence[int]]:
        """Returns the indices of the rows for each server that gets some."""
        parts: defaultdict[str, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            places = self._of(base, row.bundle)
            parts[places[0] if len(places) == 1 else places[next(self._turn) % len(places)]].append(index)
        return parts

    def _of(self, base: str, bundle: str) -> Sequence[str]:
        places = self._places.get((base, bundle))
        if places is None:
            holders = self.holders(base)
            # The plain base takes no slot: its rows may go to any server that holds it.
            places = rendezvous(f"{base}/{bundle}", holders)[: self._spread.bundle_servers] if bundle else holders
            self._places.put((base, bundle), places)
        return places


def _weight(key: str, server: str) -> bytes:
    return blake2b(f"{server}\0{key}".encode(), digest_size=8).digest()
