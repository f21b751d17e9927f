"""What callers do with catalogues."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from symbiont.common.access.views import sees
from symbiont.common.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from symbiont.common.pages import page_of
from symbiont.common.resources import check_owned_id
from symbiont.common.texts import check_text
from symbiont.inference.catalogues.change import Change, SizeLimits
from symbiont.inference.catalogues.collecting import Collector, check_entry_id
from symbiont.inference.catalogues.embedding import Embedder
from symbiont.inference.catalogues.matching import MAX_MATCHES
from symbiont.inference.catalogues.matrix import VECTORS
from symbiont.inference.catalogues.pinning import Pinning
from symbiont.inference.catalogues.staging import Staging
from symbiont.inference.catalogues.types import (
    COLLECTION,
    DEFAULT_TOP_K,
    MAX_TOP_K,
    CatalogueVersion,
    Changed,
    Entry,
    ImportHeader,
    Pin,
    Stored,
    parse_catalogue,
)
from symbiont.inference.catalogues.versions import DIGESTS, IDS, Versions
from symbiont.inference.catalogues.writers import Writers
from symbiont.inference.deadline import Deadline
from symbiont.inference.metrics import CatalogueMetrics

_MAX_DELETED = 10_000
_RETRY_S = 10.0


@dataclass(frozen=True)
class CatalogueLimits:
    """Sizes of catalogues, the largest text in bytes of UTF-8, and how many imports run at a time."""

    sizes: SizeLimits
    text_bytes: int
    imports: int


class Catalogues:
    """The use cases, but for the search, which is a prediction."""

    def __init__(
        self,
        versions: Versions,
        staging: Staging,
        pinning: Pinning,
        embedder: Embedder,
        limits: CatalogueLimits,
        metrics: CatalogueMetrics,
    ) -> None:
        self._versions = versions
        self._staging = staging
        self._pinning = pinning
        self._embedder = embedder
        self._limits = limits
        self._metrics = metrics
        self._imports = 0
        self._writers = Writers(versions, limits.sizes)

    async def create(self, identifier: str, model: str, deadline: Deadline) -> CatalogueVersion:
        """Creates a catalogue without entries.

        Raises:
            InvalidArgument: the model's task is not embedding.
            AlreadyExists: the id is taken by a catalogue of another bundle; one of the same is returned.
        """
        check_owned_id("catalogue_id", identifier)
        pin = await self._pinning.pin("model", model, deadline)
        return await asyncio.to_thread(self._create, identifier, pin)

    async def get(self, name: str) -> CatalogueVersion:
        """Returns a version, the current one unless the name says which."""
        catalogue, number = parse_catalogue("name", name)
        return await asyncio.to_thread(self._versions.at, catalogue, number)

    async def list(self, page_size: int, page_token: str) -> tuple[Sequence[CatalogueVersion], str]:
        """Returns one page of catalogues, ordered by name, with the token of the next page."""

        def read() -> tuple[Sequence[CatalogueVersion], str]:
            names, token = page_of(
                [(name, name) for name in self._versions.names() if sees(name)], page_size, page_token
            )
            found = []
            for name in names:
                try:
                    found.append(self._versions.current(name))
                except NotFound:
                    continue
            return found, token

        return await asyncio.to_thread(read)

    async def versions(self, parent: str) -> Sequence[CatalogueVersion]:
        """Returns the versions of a catalogue that are kept, newest first."""
        return await asyncio.to_thread(self._versions.all, _catalogue("parent", parent))

    async def delete(self, name: str) -> None:
        """Deletes a catalogue."""
        catalogue = _catalogue("name", name)
        await asyncio.to_thread(self._versions.delete, catalogue)
        await asyncio.to_thread(self._staging.clear, catalogue)

    async def update(self, name: str, entries: Sequence[Entry], deadline: Deadline) -> Changed:
        """Adds and replaces entries, all or none; of the deadline, the tenant counts."""
        catalogue = _catalogue("name", name)
        before = await self._open(catalogue, "name")
        change = Change(before.version.pin, before.version.salt)
        collector = await self._collector(before, change, deadline.tenant)
        await collector.add(entries, "entries")
        return await self._commit(catalogue, collector)

    async def import_entries(
        self, header: ImportHeader, batches: AsyncIterator[Sequence[Entry]], deadline: Deadline
    ) -> Changed:
        """Adds and replaces any number of entries; commits once, after the last batch.

        Args:
            deadline: for finding the model, not for the import; its tenant is who the import is for.

        Raises:
            InvalidArgument: an entry is wrong; nothing is changed.
            FailedPrecondition: the catalogue would be too large, or was pinned to another bundle in the meantime.
            ResourceExhausted: too many imports run.
        """
        catalogue = _catalogue("header.name", header.name)
        if header.model and not header.replace:
            raise InvalidArgument("header.model", "another model needs all entries: set header.replace too")
        if self._imports >= self._limits.imports:
            raise ResourceExhausted(f"{self._imports} imports run already", retry_after_s=_RETRY_S)
        self._imports += 1
        try:
            before = await self._open(catalogue, "header.name")
            pin = before.version.pin
            if header.model:
                pin = await self._pinning.pin("header.model", header.model, deadline)
            change = Change(pin, before.version.salt, header.replace)
            collector = await self._collector(before, change, deadline.tenant, resume=True)
            return await self._import(catalogue, collector, batches)
        finally:
            self._imports -= 1

    async def delete_entries(self, name: str, identifiers: Sequence[str]) -> Changed:
        """Removes entries; ids that are not there are no error."""
        catalogue = _catalogue("name", name)
        if not 1 <= len(identifiers) <= _MAX_DELETED:
            raise InvalidArgument("entry_ids", f"{len(identifiers)} ids; 1 to {_MAX_DELETED} are taken")
        for index, identifier in enumerate(identifiers):
            check_entry_id(f"entry_ids[{index}]", identifier)
        current = await asyncio.to_thread(self._versions.current, catalogue)
        change = Change(current.pin, current.salt, removed=frozenset(identifiers))
        version, deleted = await self._writers.commit(catalogue, change)
        self._metrics.changed(0, 0, deleted)
        return Changed(version, deleted=deleted)

    async def to_search(self, name: str, texts: Sequence[str], top_k: int) -> CatalogueVersion:
        """Returns the version that a search is to ask, after checking what the search asks for."""
        catalogue, number = parse_catalogue("name", name)
        if not texts:
            raise InvalidArgument("texts", "there are none", reason="BATCH_EMPTY")
        for index, text in enumerate(texts):
            check_text(f"texts[{index}]", text, self._limits.text_bytes)
        if not 0 <= top_k <= MAX_TOP_K or (top_k or DEFAULT_TOP_K) * len(texts) > MAX_MATCHES:
            problem = (
                f"{top_k} for each of {len(texts)} texts; at most {MAX_TOP_K}, and {MAX_MATCHES} in all, are given"
            )
            raise InvalidArgument("top_k", problem, reason="TOP_K")
        return await asyncio.to_thread(self._versions.at, catalogue, number)

    async def sweep(self) -> None:
        """Removes once an hour what imports and processes that died have left."""
        while True:
            await asyncio.to_thread(self._versions.sweep)
            await asyncio.to_thread(self._staging.sweep)
            await asyncio.sleep(3600)

    def _create(self, identifier: str, pin: Pin) -> CatalogueVersion:
        empty = CatalogueVersion(identifier, 1, "", pin, 0, secrets.token_bytes(32), time.time())
        files: dict[str, Path | bytes] = {
            DIGESTS: save({"digests": np.empty((0, 32), np.uint8)}),
            IDS: b"[]",
            VECTORS: save({"vectors": np.empty((0, pin.dimensions), np.float32)}),
        }
        for _ in range(2):
            try:
                there = self._versions.current(identifier)
            except NotFound:
                if made := self._versions.commit(files, empty):
                    return made
                continue
            if there.pin.version.bundle_digest == pin.version.bundle_digest:
                return there
            break
        raise AlreadyExists(f"{COLLECTION}/{identifier} exists, for another bundle", field="catalogue_id")

    async def _open(self, catalogue: str, field: str) -> Stored:
        return await asyncio.to_thread(lambda: self._versions.open(self._versions.current(catalogue, field)))

    async def _collector(self, before: Stored, change: Change, tenant: str, *, resume: bool = False) -> Collector:
        def make() -> Collector:
            limits = self._limits
            embedder = self._embedder.for_tenant(tenant)
            made = Collector(before, change, embedder, self._staging, limits.sizes, limits.text_bytes)
            if resume:
                made.resume()
            return made

        return await asyncio.to_thread(make)

    async def _import(self, catalogue: str, collector: Collector, batches: AsyncIterator[Sequence[Entry]]) -> Changed:
        try:
            async for batch in batches:
                await collector.add(batch, "batch.entries")
        except BaseException:
            # Whatever broke it off, also its caller's going away: what is embedded need not be embedded again.
            # Shielded, because a caller that is gone is told to the task more than once.
            await asyncio.shield(collector.keep())
            raise
        changed = await self._commit(catalogue, collector)
        await asyncio.to_thread(self._staging.clear, catalogue)
        return changed

    async def _commit(self, catalogue: str, collector: Collector) -> Changed:
        version, deleted = await self._writers.commit(catalogue, await collector.finish())
        self._metrics.changed(collector.embedded, collector.unchanged, deleted)
        return Changed(version, collector.embedded, collector.unchanged, collector.truncated, deleted)


def _catalogue(field: str, name: str) -> str:
    catalogue, number = parse_catalogue(field, name)
    if number:
        raise InvalidArgument(field, "a version never changes; name the catalogue alone")
    return catalogue
