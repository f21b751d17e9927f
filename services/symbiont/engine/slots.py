"""The bundles that are resident beside a base: immutable slots, counted users, the least recently used goes first."""

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

from symbiont.common.errors import SymbiontError
from symbiont.engine.figures import HostFigures
from symbiont.engine.heads import Head, NoHead
from symbiont.engine.runtime import PlacedAdapter, Quantized


@dataclass(frozen=True, slots=True)
class Content:
    """What a bundle adds to the base, ready to compute with."""

    adapter: PlacedAdapter | None
    head: Head | NoHead | None
    # The form of the base that computes it; None for the base as it is.
    quantized: Quantized | None = None
    # Of a row; None where the base's own limit is the only one.
    max_length: int | None = None
    # Bytes of adapter and head, as fp32.
    size: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """A resident bundle. It never changes: a new version is another digest, hence another slot."""

    number: int
    digest: str
    content: Content


BASE_SLOT = Slot(0, "", Content(None, None))


@dataclass(slots=True)
class _Resident:
    slot: Slot
    users: int


class BundleBank:
    """Slots by digest. The empty digest is slot 0, the plain base.

    `max_slots` bounds what is kept. A batch in flight may use more than that; what is over goes when it ends, so that a
    batch of many bundles neither waits for itself nor fails.
    """

    def __init__(self, load: Callable[[str], Content], max_slots: int) -> None:
        self._load = load
        self._max_slots = max_slots
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        # In order of use, oldest first.
        self._residents: OrderedDict[str, _Resident] = OrderedDict()
        self._loading: dict[str, Future[None]] = {}
        self._size = self._loads = self._failed_loads = self._evictions = 0
        self._load_seconds = 0.0

    def is_resident(self, digest: str) -> bool:
        """Whether a bundle can be used at once."""
        with self._lock:
            return not digest or digest in self._residents

    def digests(self) -> list[str]:
        """Returns what is resident, least recently used first."""
        with self._lock:
            return list(self._residents)

    def figures(self) -> HostFigures:
        """Returns what is resident, what it costs, and what came and went."""
        with self._lock:
            return HostFigures(
                bundles=len(self._residents),
                bundle_bytes=self._size,
                loads=self._loads,
                failed_loads=self._failed_loads,
                evictions=self._evictions,
                load_seconds=self._load_seconds,
                slots=self._max_slots,
            )

    @contextmanager
    def hold(self, digests: Collection[str]) -> Iterator[dict[str, Slot | SymbiontError]]:
        """Keeps bundles in their slots for as long as the block runs, loading those that are missing.

        A bundle that cannot be loaded comes as its error, and spoils none of the others.
        """
        held: dict[str, Slot | SymbiontError] = {}
        try:
            for digest in digests:
                try:
                    held[digest] = self._acquire(digest)
                except SymbiontError as exc:
                    held[digest] = exc
            yield held
        finally:
            self._release([slot.digest for slot in held.values() if isinstance(slot, Slot) and slot.number])

    def _acquire(self, digest: str) -> Slot:
        if not digest:
            return BASE_SLOT
        while True:
            with self._lock:
                resident = self._residents.get(digest)
                if resident is not None:
                    resident.users += 1
                    self._residents.move_to_end(digest)
                    return resident.slot
                others = self._loading.get(digest)
                if others is None:
                    mine = self._loading[digest] = Future()
                    break
            others.result()  # Raises what the other thread's loading raised.
        return self._load_into_slot(digest, mine)

    def _load_into_slot(self, digest: str, done: "Future[None]") -> Slot:
        began = time.perf_counter()
        try:
            content = self._load(digest)
        except BaseException as exc:
            with self._lock:
                del self._loading[digest]
                self._failed_loads += 1
            done.set_exception(exc)
            raise
        with self._lock:
            slot = Slot(next(self._numbers), digest, content)
            self._residents[digest] = _Resident(slot, users=1)
            del self._loading[digest]
            self._loads += 1
            self._load_seconds += time.perf_counter() - began
            self._size += content.size
            self._evict()
        done.set_result(None)
        return slot

    def _release(self, digests: list[str]) -> None:
        with self._lock:
            for digest in digests:
                self._residents[digest].users -= 1
            self._evict()

    def _evict(self) -> None:
        idle = [digest for digest, resident in self._residents.items() if not resident.users]
        for digest in idle[: max(0, len(self._residents) - self._max_slots)]:
            self._size -= self._residents.pop(digest).slot.content.size
            self._evictions += 1
