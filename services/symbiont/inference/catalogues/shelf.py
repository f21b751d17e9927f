"""Catalogues in memory, ready to be searched."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from symbiont.common.errors import FailedPrecondition
from symbiont.inference.catalogues import approximate
from symbiont.inference.catalogues.approximate import Index
from symbiont.inference.catalogues.exact import Found, nearest
from symbiont.inference.catalogues.types import CatalogueVersion, Vectors
from symbiont.inference.catalogues.versions import Versions
from symbiont.inference.metrics import CatalogueMetrics

# What an entry takes beside its vector: its id as a Python string, and its place in an index.
_ENTRY_BYTES = 128
_LOADS = 2


@dataclass(frozen=True, eq=False)
class Loaded:
    """A version that can be searched, from any thread."""

    version: CatalogueVersion
    ids: Sequence[str]
    vectors: Vectors
    index: Index | None

    def search(self, queries: Vectors, most: int, least: float) -> list[Found]:
        """Returns for each query [q, d] of length 1 its matches, best first; see exact.nearest."""
        if self.index:
            return self.index.search(self.vectors, queries, most, least)
        return nearest(self.vectors, queries, most, least)


def size_of(version: CatalogueVersion) -> int:
    """Returns the bytes of memory that a version takes; of a large one, the vectors stay on the disk."""
    number_bytes = 1 if version.index else 4
    centres = 4 * version.index.lists * version.pin.dimensions if version.index else 0
    return version.entries * (number_bytes * version.pin.dimensions + _ENTRY_BYTES) + centres


def load(versions: Versions, version: CatalogueVersion) -> Loaded:
    """Reads a version, blocking; see Versions.open for the errors."""
    stored = versions.open(version)
    if version.index is None:
        return Loaded(version, stored.ids, np.array(stored.vectors), None)
    packed = np.frombuffer(versions.index(version), np.uint8)
    index = approximate.load(packed, version.index, version.entries, version.pin.dimensions)
    return Loaded(version, stored.ids, stored.vectors, index)


class Shelf:
    """Keeps as many versions in memory as fit, those that were asked for last.

    What is being searched stays until its last search ends, whatever the shelf holds by then.
    """

    def __init__(self, read: Callable[[CatalogueVersion], Loaded], most_bytes: int, metrics: CatalogueMetrics) -> None:
        """Makes an empty one.

        Args:
            read: reads a version, blocking.
            most_bytes: of all versions together.
        """
        self._read = read
        self._most = most_bytes
        self._metrics = metrics
        self._held: OrderedDict[str, Loaded] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Loaded]] = {}
        self._turns = asyncio.Semaphore(_LOADS)

    async def get(self, version: CatalogueVersion) -> Loaded:
        """Returns a version, read from the store if need be; many that wait for one wait for one reading.

        Raises:
            FailedPrecondition: it is larger than all that may be held.
            NotFound, IntegrityError: see Versions.open.
        """
        if found := self._held.get(version.digest):
            self._held.move_to_end(version.digest)
            return found
        if size_of(version) > self._most:
            problem = f"{version.name} needs {size_of(version)} bytes of memory, {self._most} are set for catalogues"
            raise FailedPrecondition(problem, reason="CATALOGUE_TOO_LARGE")
        task = self._loading.get(version.digest)
        if task is None:
            task = self._loading[version.digest] = asyncio.create_task(self._load(version))
            task.add_done_callback(lambda _: self._loading.pop(version.digest, None))
        # One that gives up must not take it from the others.
        return await asyncio.shield(task)

    async def _load(self, version: CatalogueVersion) -> Loaded:
        async with self._turns:
            self._make_room(size_of(version))
            loaded = await asyncio.to_thread(self._read, version)
        self._held[version.digest] = loaded
        self._make_room(0)
        return loaded

    def _make_room(self, wanted: int) -> None:
        sizes = {digest: size_of(held.version) for digest, held in self._held.items()}
        total = sum(sizes.values())
        while self._held and total + wanted > self._most:
            digest, _ = self._held.popitem(last=False)
            total -= sizes[digest]
        self._metrics.loaded_bytes.set(total)
        self._metrics.loaded_entries.set(sum(held.version.entries for held in self._held.values()))
