"""A change of a catalogue, from the entries that were brought to a new version on top of the current one."""

import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from symbiont.common.artifacts import Content
from symbiont.common.errors import FailedPrecondition, NotFound, Unavailable
from symbiont.inference.catalogues import approximate
from symbiont.inference.catalogues.approximate import Index
from symbiont.inference.catalogues.matrix import VECTORS, read_matrix, write_matrix
from symbiont.inference.catalogues.types import COLLECTION, CatalogueVersion, Digests, Pin, Stored, Vectors
from symbiont.inference.catalogues.versions import DIGESTS, IDS, INDEX, Versions

# How often a change begins anew because others were first.
_TRIES, _PAUSE_S = 60, 0.02
_BLOCK = 8192
Places = NDArray[np.int64]


@dataclass(frozen=True)
class SizeLimits:
    """Most entries of a catalogue, and up to how many every one of them is compared with a query."""

    entries: int
    exact_entries: int


@dataclass
class Change:
    """Entries to add or to replace, each with the place of its vector, and ids to remove.

    Attributes:
        salt: of the catalogue that it was made for, which one made anew under the same name does not have.
        replace: whether entries that are not brought go.
        sources, rows: of each entry, which of `matrices` its vector stands in, and where.
    """

    pin: Pin
    salt: bytes
    replace: bool = False
    removed: frozenset[str] = frozenset()
    ids: list[str] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    matrices: list[Vectors] = field(default_factory=list)

    def add(self, identifier: str, digest: bytes, source: int, row: int) -> None:
        """Takes an entry in."""
        self.ids.append(identifier)
        self.digests.append(digest)
        self.sources.append(source)
        self.rows.append(row)


@dataclass(frozen=True, eq=False)
class Layout:
    """A new version before it is written: of each entry, which matrix its vector is taken from, and which row.

    Matrix 0 is that of the version before, whose vectors may have another length than the `dimensions` of the new one:
    then none of them is taken.
    """

    ids: Sequence[str]
    digests: Digests
    sources: Places
    rows: Places
    matrices: Sequence[Vectors]
    dimensions: int
    deleted: int

    def blocks(self) -> Iterator[Vectors]:
        """Yields the vectors, some rows at a time."""
        for start in range(0, len(self.ids), _BLOCK):
            sources, rows = self.sources[start : start + _BLOCK], self.rows[start : start + _BLOCK]
            block = np.empty((len(rows), self.dimensions), np.float32)
            for source in np.unique(sources):
                mine = sources == source
                block[mine] = self.matrices[source][rows[mine]]
            yield block


def text_digest(salt: bytes, text: str) -> bytes:
    """Returns what is kept of a text: enough to see whether it changed.

    The salt is the catalogue's own: equal texts of two customers do not show, and no list can be made beforehand.
    """
    return hashlib.sha256(salt + text.encode()).digest()


def lay_out(before: Stored, change: Change) -> Layout:
    """Puts a change on top of a version: what is replaced keeps its place, what is new comes last."""
    given = dict(zip(change.ids, count(), strict=False))
    kept: list[tuple[str, int, int]] = []
    if not change.replace:
        for row, identifier in enumerate(before.ids):
            if identifier in given:
                kept.append((identifier, -1, given.pop(identifier)))
            elif identifier not in change.removed:
                kept.append((identifier, row, -1))
    kept += [(identifier, -1, number) for identifier, number in given.items()]
    olds = np.array([old for _, old, _ in kept], np.int64)
    news = np.array([new for _, _, new in kept], np.int64)
    fresh = news >= 0
    digests, sources, rows = np.empty((len(kept), 32), np.uint8), np.zeros(len(kept), np.int64), olds.copy()
    digests[~fresh] = before.digests[olds[~fresh]]
    if fresh.any():
        digests[fresh] = np.frombuffer(b"".join(change.digests), np.uint8).reshape(-1, 32)[news[fresh]]
        sources[fresh] = np.array(change.sources, np.int64)[news[fresh]] + 1
        rows[fresh] = np.array(change.rows, np.int64)[news[fresh]]
    ids = [identifier for identifier, _, _ in kept]
    matrices = [before.vectors, *change.matrices]
    return Layout(ids, digests, sources, rows, matrices, change.pin.dimensions, _lost(before, ids))


def commit(versions: Versions, catalogue: str, change: Change, limits: SizeLimits) -> tuple[CatalogueVersion, int]:
    """Makes a change the current version; returns it with how many entries were removed.

    A change that changes nothing makes no version.

    Raises:
        NotFound: the catalogue was deleted, also if it was made anew since.
        FailedPrecondition: it was pinned to another bundle in the meantime, or would be too large.
        Unavailable: too many others write.
    """
    for attempt in range(_TRIES):
        if attempt:
            # Writers of other processes, that were first: not to meet them again at the same moment.
            time.sleep(random.uniform(0, _PAUSE_S * attempt))  # noqa: S311, no secret depends on it
        if done := _try(versions, catalogue, change, limits):
            return done
    raise Unavailable(f"{COLLECTION}/{catalogue} is changed by too many at a time; try again")


def _try(versions: Versions, catalogue: str, change: Change, limits: SizeLimits) -> tuple[CatalogueVersion, int] | None:
    """Makes a change on top of the current version; returns None when others were first."""
    current = versions.current(catalogue)
    if current.salt != change.salt:
        problem = f"{COLLECTION}/{catalogue} was deleted and made anew while this was under way; do it again"
        raise NotFound(problem, field="name")
    same_pin = current.pin.version.bundle_digest == change.pin.version.bundle_digest
    if not same_pin and not change.replace:
        problem = f"{COLLECTION}/{catalogue} was pinned to another bundle while this was embedded; do it again"
        raise FailedPrecondition(problem, reason="SKEW")
    try:
        before = versions.open(current)
    except NotFound:
        return None
    layout = lay_out(before, change)
    if same_pin and layout.ids == before.ids and np.array_equal(layout.digests, before.digests):
        return current, 0
    check_size(len(layout.ids), limits)
    made = _write(versions, before, layout, change.pin, limits)
    return (made, layout.deleted) if made else None


def check_size(entries: int, limits: SizeLimits) -> None:
    """Refuses a catalogue that is too large to be kept, or to be searched here."""
    if entries > limits.entries:
        problem = f"the catalogue would have {entries} entries, at most {limits.entries} are allowed"
        raise FailedPrecondition(problem, reason="CATALOGUE_TOO_LARGE")
    if entries > limits.exact_entries:
        approximate.check_installed()


def _lost(before: Stored, ids: Sequence[str]) -> int:
    left = set(ids)
    return sum(identifier not in left for identifier in before.ids)


def _write(versions: Versions, before: Stored, layout: Layout, pin: Pin, limits: SizeLimits) -> CatalogueVersion | None:
    # Not in /tmp, which may be small.
    with versions.store.spool(COLLECTION) as vectors:
        entries = len(layout.ids)
        write_matrix(vectors, layout.blocks(), entries, pin.dimensions)
        files: dict[str, Content] = {
            VECTORS: vectors,
            DIGESTS: save({"digests": layout.digests}),
            IDS: json.dumps(layout.ids, ensure_ascii=False).encode(),
        }
        index = None
        if entries > limits.exact_entries:
            with vectors.open() as stream:
                matrix = read_matrix(stream, entries, pin.dimensions)
            index = _index(versions, before, layout, pin, matrix)
            files[INDEX] = index.to_bytes().tobytes()
        made = replace(
            before.version,
            number=before.version.number + 1,
            digest="",
            pin=pin,
            entries=entries,
            created=time.time(),
            index=index.facts if index else None,
        )
        return versions.commit(files, made, before.version)


def _index(versions: Versions, before: Stored, layout: Layout, pin: Pin, vectors: Vectors) -> Index:
    version = before.version
    if version.index and version.pin.version.bundle_digest == pin.version.bundle_digest:
        packed = np.frombuffer(versions.index(version), np.uint8)
        previous = approximate.load(packed, version.index, version.entries, version.pin.dimensions)
        origins = np.where(layout.sources == 0, layout.rows, -1)
        if made := approximate.rebuild(previous, vectors, origins):
            return made
    return approximate.build(vectors)
