"""Gathers the entries of a change: which texts are known, which must be embedded, and where all their vectors are."""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import InvalidArgument
from symbiont.common.texts import check_text
from symbiont.inference.catalogues.change import Change, SizeLimits, check_size, text_digest
from symbiont.inference.catalogues.embedding import Embedder
from symbiont.inference.catalogues.known import KnownTexts, matrix_of
from symbiont.inference.catalogues.staging import Part, Staging
from symbiont.inference.catalogues.types import Entry, Stored, Vectors

MAX_ENTRIES, MAX_ID_BYTES = 1024, 128
# Texts that a broken import may have to embed again.
_PART = 4096


class Collector:
    """The entries of one change, taken in batch by batch. Vectors beyond one part lie on the disk."""

    def __init__(
        self, before: Stored, change: Change, embedder: Embedder, staging: Staging, limits: SizeLimits, max_bytes: int
    ) -> None:
        """Begins a change on top of a version.

        Args:
            max_bytes: largest text, in bytes of UTF-8.
        """
        self.change = change
        self.embedded = self.unchanged = self.truncated = 0
        self._salt = before.version.salt
        self._catalogue = before.version.catalogue
        self._embedder, self._staging = embedder, staging
        self._limits, self._max_bytes = limits, max_bytes
        self._seen: set[str] = set()
        # By matrix, in their order.
        self._known: list[KnownTexts] = []
        # What is in memory only: digest -> row of the matrix that comes next.
        self._pending: dict[bytes, int] = {}
        self._pending_vectors: list[Vectors] = []
        if before.version.pin.version.bundle_digest == change.pin.version.bundle_digest:
            self._learn(Part(before.digests, before.vectors))

    def resume(self) -> None:
        """Takes up what earlier imports have embedded and not committed; it reads the disk."""
        for part in self._staging.load(self._catalogue, self.change.pin):
            self._learn(part)

    async def add(self, entries: Sequence[Entry], field: str) -> None:
        """Takes entries in; `field` is their path in the request. Nothing is done when one of them is wrong."""
        self._check(entries, field)
        digests = [text_digest(self._salt, entry.text) for entry in entries]
        places = self._places(digests)
        fresh = {d: e.text for d, e, place in zip(digests, entries, places, strict=True) if not place}
        if fresh:
            vectors, cut = await self._embedder.embed(self.change.pin, list(fresh.values()))
            self._take(list(fresh), vectors, cut)
            places = self._places(digests)
        for digest, entry, place in zip(digests, entries, places, strict=True):
            assert place  # noqa: S101 - it is known or was embedded just now
            self.change.add(entry.id, digest, *place)
        self._seen.update(entry.id for entry in entries)
        self.unchanged += len(entries) - len(fresh)
        if len(self._pending) >= _PART:
            await self._flush(stored=True)

    async def keep(self) -> None:
        """Puts on the disk what is in memory only, for an import that comes after."""
        if self._pending:
            await self._flush(stored=True)

    async def finish(self) -> Change:
        """Returns the change, complete."""
        if self._pending:
            await self._flush(stored=False)
        return self.change

    def _check(self, entries: Sequence[Entry], field: str) -> None:
        if not 1 <= len(entries) <= MAX_ENTRIES:
            raise InvalidArgument(field, f"{len(entries)} entries; 1 to {MAX_ENTRIES} are taken at a time")
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            check_entry_id(f"{field}[{index}].id", entry.id)
            if entry.id in self._seen or entry.id in seen:
                raise InvalidArgument(f"{field}[{index}].id", f"{entry.id!r} is given twice", reason="DUPLICATE_ID")
            seen.add(entry.id)
            check_text(f"{field}[{index}].text", entry.text, self._max_bytes)
        check_size(len(self._seen) + len(entries), self._limits)

    def _places(self, digests: Sequence[bytes]) -> list[tuple[int, int] | None]:
        """Returns matrix and row of the vector of each text, None where there is none yet."""
        wanted = matrix_of(digests)
        found: list[tuple[int, int] | None] = [
            (len(self._known), self._pending[digest]) if digest in self._pending else None for digest in digests
        ]
        for number, table in enumerate(self._known):
            for index, row in enumerate(table.rows(wanted).tolist()):
                if row >= 0:
                    found[index] = number, row
        return found

    def _learn(self, part: Part) -> None:
        self.change.matrices.append(part.vectors)
        self._known.append(KnownTexts(part.digests))

    def _take(self, digests: Sequence[bytes], vectors: Vectors, cut: NDArray[np.bool_]) -> None:
        start = len(self._pending)
        self._pending.update((digest, start + row) for row, digest in enumerate(digests))
        self._pending_vectors.append(vectors)
        self.embedded += len(digests)
        self.truncated += int(cut.sum())

    async def _flush(self, *, stored: bool) -> None:
        part = Part(matrix_of(list(self._pending)), np.concatenate(self._pending_vectors))
        if stored:
            part = await asyncio.to_thread(self._staging.save, self._catalogue, self.change.pin, part)
        self._learn(part)
        self._pending, self._pending_vectors = {}, []


def check_entry_id(field: str, identifier: str) -> None:
    """Refuses an id that is empty, too long, or cannot be shown."""
    size = len(identifier.encode())
    if not 1 <= size <= MAX_ID_BYTES:
        raise InvalidArgument(field, f"it has {size} bytes of UTF-8, 1 to {MAX_ID_BYTES} are allowed")
    if any(ord(character) < 32 or ord(character) == 127 for character in identifier):
        raise InvalidArgument(field, "it has control characters")
