"""A bounded table that forgets what was unused for longest."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most `capacity` entries. It has no lock: threads that share one must hold their own."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("capacity must be at least 1")
        self._capacity = capacity
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Returns an entry, which becomes the most recently used one; None when it is not there."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Adds or replaces an entry, and drops the least recently used one when there are too many."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def values(self) -> list[V]:
        """Returns all entries, the least recently used one first."""
        return list(self._entries.values())

    def drop(self, key: K) -> None:
        """Forgets an entry; one that is not there is no error."""
        self._entries.pop(key, None)
