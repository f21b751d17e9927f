"""Artifacts in an object store.

An object store has no rename: the files of an artifact are written first and its manifest last, which makes them one.
Ids are objects that are created only where there are none.
"""

import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from symbiont.common.artifacts.cache import Cache, open_cache
from symbiont.common.artifacts.layout import (
    KEYS,
    MANIFEST,
    check_files,
    is_digest,
    open_manifest,
    parse_manifest,
    read_checked,
)
from symbiont.common.artifacts.local import Content, Sealing, stage
from symbiont.common.artifacts.objects import Entry, ObjectNotes, Objects
from symbiont.common.encryption import PLAIN, Seals, open_seals
from symbiont.common.errors import FailedPrecondition, IntegrityError, NotFound, Unavailable

_TRIES = 3


class RemoteStore:
    """What it returns a folder of lies in a cache on this machine."""

    remote = True

    def __init__(self, objects: Objects, cache: Cache, seals: Seals = PLAIN) -> None:
        self._objects = objects
        self._cache = cache
        self.seals = seals

    @property
    def root(self) -> str:
        """The URL."""
        return self._objects.url

    def put(self, kind: str, files: Mapping[str, Content], fields: Mapping[str, Any], tenant: str | None = None) -> str:
        """Stores files and the manifest fields that describe them; returns the digest.

        They are written even where they are said to be: that mends what was damaged since.
        """
        with self._cache.scratch(kind) as folder:
            digest = stage(folder, files, fields, Sealing(self.seals, tenant, kind))
            self._upload(folder, kind, digest, [*files])
            # Whoever made it is, as a rule, the first to use it. The store has it, whatever happens here.
            with suppress(OSError):
                self._cache.keep(folder, kind, digest)
        self._cache.trim()
        return digest

    def manifest_bytes(self, kind: str, digest: str) -> bytes:
        """Returns the bytes of a manifest."""
        near = self._cache.manifest_bytes(kind, digest)
        return near or open_manifest(self._read_manifest(kind, digest), kind, digest, self.seals)

    def folder(self, kind: str, digest: str) -> Path:
        """As `path`: what was fetched has been checked."""
        return self.path(kind, digest)

    def path(self, kind: str, digest: str) -> Path:
        """Returns the folder of an artifact in the cache, fetched if it is not there yet."""
        return self._cache.path(kind, digest, lambda folder: self._fetch(folder, kind, digest))

    def read(self, kind: str, digest: str, name: str, files: Mapping[str, Any]) -> bytes:
        """Returns the bytes of a file; one that was damaged in the cache is fetched again."""
        try:
            return read_checked(self.path(kind, digest), kind, digest, name, files, self.seals)
        except IntegrityError:
            self._cache.local.doubt(kind, digest)
            return read_checked(self.path(kind, digest), kind, digest, name, files, self.seals)

    def exists(self, kind: str, digest: str) -> bool:
        """Whether an artifact is stored; the cache is not asked."""
        return self._objects.exists(f"{kind}/{digest}/{MANIFEST}")

    def stored_at(self, kind: str, digest: str) -> float:
        """Returns when the manifest was written."""
        try:
            return self._objects.modified(f"{kind}/{digest}/{MANIFEST}")
        except NotFound as exc:
            raise self._missing(kind, digest) from exc

    def digests(self, kind: str) -> list[str]:
        """Returns the digests of one kind: of those that have a manifest."""
        found = (key.partition("/") for key in self._objects.entries(kind))
        return [digest for digest, _, name in found if name == MANIFEST and is_digest(digest)]

    def remove(self, kind: str, digest: str) -> None:
        """Removes an artifact, the manifest first: from then on there is none."""
        self._objects.remove(f"{kind}/{digest}/{MANIFEST}")
        for name in self._objects.entries(f"{kind}/{digest}"):
            self._objects.remove(f"{kind}/{digest}/{name}")
        self._cache.local.remove(kind, digest)

    def create_tag(self, kind: str, identifier: str, digest: str) -> bool:
        """Writes an id where there is none of that name."""
        return self._objects.create(f"{kind}.ids/{identifier}", digest.encode())

    def read_tag(self, kind: str, identifier: str) -> str:
        """Returns the digest of an id."""
        try:
            return self._objects.read(f"{kind}.ids/{identifier}").decode().strip()
        except NotFound:
            raise NotFound(f"{kind}/{identifier} does not exist") from None

    def remove_tag(self, kind: str, identifier: str) -> None:
        """Removes an id."""
        self._objects.remove(f"{kind}.ids/{identifier}")

    def tags(self, kind: str) -> dict[str, str]:
        """Returns id -> digest."""
        found = self._objects.read_many(f"{kind}.ids/{identifier}" for identifier in self.identifiers(kind))
        return {key.rpartition("/")[2]: content.decode().strip() for key, content in found.items()}

    def identifiers(self, kind: str) -> list[str]:
        """Returns the ids of one kind."""
        return [*self._objects.entries(f"{kind}.ids")]

    def sweep(self, older_than_seconds: float) -> int:
        """Removes files that no manifest came after, and uploads in parts that were never ended."""
        left = [
            (place, names)
            for place, names in self._by_artifact().items()
            if MANIFEST not in names and time.time() - max(e.modified for e in names.values()) > older_than_seconds
        ]
        for place, names in left:
            for name in names:
                self._objects.remove(f"{place}/{name}")
        return len(left) + self._objects.drop_uploads(older_than_seconds)

    def scratch(self, kind: str) -> AbstractContextManager[Path]:
        """Makes an empty folder on the disk of the cache."""
        return self._cache.scratch(kind)

    def writable(self) -> bool:
        """It is not known before it is tried."""
        return True

    def _by_artifact(self) -> dict[str, dict[str, Entry]]:
        found: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
        for key, entry in self._objects.entries().items():
            kind, digest, name = [*key.split("/", 2), "", ""][:3]
            if name and is_digest(digest):
                found[f"{kind}/{digest}"][name] = entry
        return found

    def _upload(self, folder: Path, kind: str, digest: str, names: list[str]) -> None:
        place, missing = f"{kind}/{digest}", names
        for _ in range(_TRIES):
            for name in missing:
                self._objects.upload(f"{place}/{name}", folder / name)
            self._objects.write(f"{place}/{MANIFEST}", (folder / MANIFEST).read_bytes())
            # One that removes the same artifact at this moment may have met files that were just written.
            there = self._objects.entries(place)
            missing = [n for n in names if n not in there or there[n].size != (folder / n).stat().st_size]
            if not missing and MANIFEST in there:
                return
        raise Unavailable(f"{place} was removed by others each time that it was stored; try again")

    def _read_manifest(self, kind: str, digest: str) -> bytes:
        try:
            return self._objects.read(f"{kind}/{digest}/{MANIFEST}")
        except NotFound as exc:
            raise self._missing(kind, digest) from exc

    def _missing(self, kind: str, digest: str) -> NotFound:
        return NotFound(f"{kind}/{digest}: not in the artifact store {self.root}")

    def _fetch(self, folder: Path, kind: str, digest: str) -> None:
        raw = self._read_manifest(kind, digest)
        files = parse_manifest(kind, digest, open_manifest(raw, kind, digest, self.seals))["files"]
        for name in files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._download(target, kind, digest, name)
        check_files(folder, kind, digest, files, self.seals)
        (folder / MANIFEST).write_bytes(raw)

    def _download(self, target: Path, kind: str, digest: str, name: str) -> None:
        try:
            self._objects.download(f"{kind}/{digest}/{name}", target)
        except NotFound as exc:
            if not self.exists(kind, digest):
                raise self._missing(kind, digest) from exc
            raise IntegrityError(f"{kind}/{digest}: file {name} is missing") from exc


def open_remote(
    url: str, cache: Path | None = None, cache_bytes: int | None = None, seals: Seals | None = None
) -> RemoteStore:
    """Returns the store at a URL; asks nothing yet. Without `seals` they are those of the environment.

    Raises:
        FailedPrecondition: what talks to it is not installed.
        InvalidArgument: the environment gives no size of the cache.
    """
    objects = open_objects(url)
    seals = seals or open_seals(ObjectNotes(objects, KEYS))
    return RemoteStore(objects, open_cache(cache, cache_bytes, seals), seals)


def open_objects(url: str) -> Objects:
    """Returns the objects at a URL; asks nothing yet. Raises FailedPrecondition where what talks to it is missing."""
    scheme, _, place = url.partition("://")
    if scheme == "memory":
        return _in_memory(place, url)
    from symbiont.common.artifacts.s3 import open_s3

    return open_s3(place)


def _in_memory(place: str, url: str) -> Objects:
    try:
        from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]
    except ImportError as exc:
        raise FailedPrecondition(f"{url} needs fsspec, which is not installed here: pip install fsspec") from exc
    return Objects(MemoryFileSystem(), place, url)
