"""A table that is bounded in bytes and in time, and forgets what was unused for longest."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

V = TypeVar("V")
A = TypeVar("A", bound=np.generic)

# What one entry costs beside its content: its key, its place in the table, and the objects around its bytes.
# As measured by tracemalloc; a test holds it.
ENTRY_BYTES = 256
# What an array costs beside its bytes.
ARRAY_BYTES = 144


def frozen(array: npt.NDArray[A]) -> npt.NDArray[A]:
    """Returns a copy that nobody can change, not even by asking numpy for it: it stands on `bytes`.

    Args:
        array: [n]; all that a host and the tokenization service give for one row has one dimension.
    """
    return np.frombuffer(array.tobytes(), array.dtype)


def bytes_of(*arrays: npt.NDArray[Any]) -> int:
    """Returns what frozen arrays cost."""
    return sum(array.nbytes + ARRAY_BYTES for array in arrays)


class Watcher(Protocol):
    """Is told what a store does."""

    def stored(self, entries: int, size: int) -> None:
        """How many entries there are now, and their bytes."""
        ...

    def dropped(self, reason: str) -> None:
        """An entry went, for want of `room` or because of its `age`."""
        ...


class Store(Generic[V]):
    """At most `capacity` bytes, each entry for at most `seconds`. It has no lock: it is of one event loop."""

    def __init__(
        self, capacity: int, seconds: float, watcher: Watcher, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._watcher = watcher
        self._clock = clock
        # Key -> content, its bytes, and when it ends; least recently used first.
        self._entries: OrderedDict[bytes, tuple[V, int, float]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """Bytes of all entries, what is around them included."""
        return self._size

    def get(self, key: bytes) -> V | None:
        """Returns an entry, which becomes the most recently used one; None when it is not there, or too old."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, _, ends = entry
        if ends <= self._clock():
            self._drop(key, "age")
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: V, size: int) -> None:
        """Adds an entry; what is larger than the whole store is not kept.

        Args:
            size: of the content, in bytes.
        """
        size += ENTRY_BYTES
        if size > self._capacity:
            return
        if (old := self._entries.pop(key, None)) is not None:
            self._size -= old[1]
        self._entries[key] = (value, size, self._clock() + self._seconds)
        self._size += size
        while self._size > self._capacity:
            self._drop(next(iter(self._entries)), "room")
        self._watcher.stored(len(self._entries), self._size)

    def _drop(self, key: bytes, reason: str) -> None:
        self._size -= self._entries.pop(key)[1]
        self._watcher.dropped(reason)
        self._watcher.stored(len(self._entries), self._size)
