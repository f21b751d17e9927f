"""Where the versions of catalogues lie in the artifact store, and which one is current.

A version is an artifact of the kind `catalogues`, and has the id `{catalogue}.{number}`, given once as every id of the
store. The highest number is current: to give the next one is to move the name, in one atomic step, and of two writers
that want the same number one fails and begins anew. What is made of a version that was deleted meanwhile is taken back.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from safetensors import SafetensorError
from safetensors.numpy import load

from symbiont.common.artifacts import ArtifactStore, Content
from symbiont.common.errors import AlreadyExists, IntegrityError, NotFound
from symbiont.common.lru import Lru
from symbiont.inference.catalogues.manifest import fields_of, version_of
from symbiont.inference.catalogues.matrix import VECTORS, read_matrix
from symbiont.inference.catalogues.types import COLLECTION, CatalogueVersion, Stored

DIGESTS, IDS, INDEX = "digests.safetensors", "ids.json", "index.faiss"
_TRIES, _HELD, _DAY = 5, 1024, 86_400
# How long it is believed which version is current, where each look is a request to an object store.
_BELIEVED_S = 1.0


class Versions:
    """Every method touches the disk or an object store, and may be called from any thread.

    Args:
        kept: versions of a catalogue that stay, the newest ones.
    """

    def __init__(self, store: ArtifactStore, kept: int) -> None:
        self.store = store
        self._kept = kept
        self._newest: dict[str, int] = {}
        # By catalogue, with the time until which it is believed.
        self._current: dict[str, tuple[CatalogueVersion, float]] = {}
        self._believed_s = _BELIEVED_S if store.remote else 0.0
        # By catalogue, how often this process moved its name: what was looked up before is not believed after.
        self._moved: Counter[str] = Counter()
        self._lock = threading.Lock()
        # By digest, so that what was read once stays true.
        self._read: Lru[str, CatalogueVersion] = Lru(_HELD)

    def current(self, catalogue: str, field: str = "name") -> CatalogueVersion:
        """Returns the newest version; NotFound, about `field`, when there is no such catalogue.

        In an object store, one that another process has just replaced may be returned for a second.
        """
        believed, until = self._current.get(catalogue, (None, 0.0))
        if believed and time.monotonic() < until:
            return believed
        for _ in range(_TRIES):
            moved = self._moved[catalogue]
            number = self._newest_number(catalogue)
            if not number:
                break
            try:
                found = self._version(catalogue, number)
            except NotFound:
                # Others went on so fast that it was removed between two looks.
                self._newest.pop(catalogue, None)
                continue
            with self._lock:
                if moved == self._moved[catalogue]:
                    self._current[catalogue] = found, time.monotonic() + self._believed_s
            return found
        raise NotFound(f"{COLLECTION}/{catalogue} does not exist", field=field)

    def at(self, catalogue: str, number: int, field: str = "name") -> CatalogueVersion:
        """Returns a version by its number, the current one for 0; NotFound when it is not there, or no longer."""
        if not number:
            return self.current(catalogue, field)
        try:
            return self._version(catalogue, number)
        except NotFound as exc:
            problem = f"{COLLECTION}/{catalogue}/versions/{number} does not exist; the last {self._kept} are kept"
            raise NotFound(problem, field=field) from exc

    def names(self) -> list[str]:
        """Returns the ids of all catalogues, sorted."""
        return sorted({name.partition(".")[0] for name in self.store.identifiers(COLLECTION)})

    def all(self, catalogue: str) -> list[CatalogueVersion]:
        """Returns the versions that are kept, newest first; NotFound when there is no such catalogue."""
        newest = self.current(catalogue, "parent")
        earlier = [n for n in reversed(self._numbers(catalogue)) if n < newest.number]
        return [newest, *(self._version(catalogue, number) for number in earlier)]

    def open(self, version: CatalogueVersion) -> Stored:
        """Returns what a version holds.

        Raises:
            IntegrityError: it differs from its digest.
            NotFound: it was removed in the meantime.
        """
        try:
            ids = json.loads(self.store.read(COLLECTION, version.digest, IDS))
            digests = load(self.store.read(COLLECTION, version.digest, DIGESTS))["digests"]
        except (ValueError, KeyError, SafetensorError) as exc:
            raise IntegrityError(f"{version.name}: its files are not those of a catalogue") from exc
        if not isinstance(ids, list) or (len(ids), digests.shape) != (version.entries, (version.entries, 32)):
            raise IntegrityError(f"{version.name}: its files are not of {version.entries} entries")
        with self.store.open(COLLECTION, version.digest, VECTORS) as stream:
            vectors = read_matrix(stream, version.entries, version.pin.dimensions)
        return Stored(version, ids, digests, vectors)

    def index(self, version: CatalogueVersion) -> bytes:
        """Returns the index of a version, as it was stored."""
        return self.store.read(COLLECTION, version.digest, INDEX)

    def commit(
        self, files: Mapping[str, Content], version: CatalogueVersion, before: CatalogueVersion | None = None
    ) -> CatalogueVersion | None:
        """Stores a version and makes it the current one; its digest is filled in.

        Args:
            before: the version that it was made of; None for the first of a catalogue.

        Returns:
            None when somebody else was first to take its number, or `before` was deleted; then nothing is stored.
        """
        digest = self.store.put(COLLECTION, files, fields_of(version))
        try:
            if not self._name(version, digest, before):
                self.store.delete(COLLECTION, digest)
                return None
        finally:
            # Whether it was this or another: there is a newer one, or none any more.
            self._forget(version.catalogue)
        self._newest[version.catalogue] = version.number
        self._prune(version.catalogue)
        # Not as it is read: others may have gone on, and removed it.
        return replace(version, digest=digest)

    def delete(self, catalogue: str) -> None:
        """Removes a catalogue; NotFound when there is none."""
        self.current(catalogue)
        # The oldest first: a process that dies on the way must not leave an older version as the current one. And
        # again: a writer may have named one before that which it was made of was gone.
        for _ in range(_TRIES):
            if not (numbers := self._numbers(catalogue)):
                break
            for number in numbers:
                self._remove(catalogue, number)
        self._newest.pop(catalogue, None)
        self._forget(catalogue)

    def sweep(self) -> None:
        """Removes versions that a process which died has stored and not named."""
        named = self.store.tags(COLLECTION).keys()
        for digest in self.store.list(COLLECTION):
            # One that somebody else removes in this moment is gone.
            with suppress(NotFound):
                if digest not in named and time.time() - self.store.stored_at(COLLECTION, digest) > _DAY:
                    self.store.delete(COLLECTION, digest)

    def _name(self, version: CatalogueVersion, digest: str, before: CatalogueVersion | None) -> bool:
        """Gives a version its number; returns whether it is the catalogue's."""
        # To write a version takes minutes, in which its catalogue may be deleted: then nobody is to see it. Of deleting
        # after this look, only the look after naming knows.
        if before and not self._is_followed(before, version.number):
            return False
        try:
            self.store.tag(COLLECTION, f"{version.catalogue}.{version.number}", digest)
        except AlreadyExists:
            return False
        return not before or self._is_followed(before, version.number)

    def _is_followed(self, before: CatalogueVersion, number: int) -> bool:
        """Whether a version stands, or later ones than `number` were made of it, which leave only the newest."""
        with suppress(NotFound):
            if self.store.resolve(COLLECTION, f"{before.catalogue}.{before.number}") == before.digest:
                return True
        newest = max(self._numbers(before.catalogue), default=0)
        with suppress(NotFound):
            return newest > number and self._version(before.catalogue, newest).salt == before.salt
        return False

    def _forget(self, catalogue: str) -> None:
        """Has the next reader look which version is current, also after one that looks at this moment."""
        with self._lock:
            self._moved[catalogue] += 1
            self._current.pop(catalogue, None)

    def _prune(self, catalogue: str) -> None:
        for number in self._numbers(catalogue)[: -self._kept]:
            self._remove(catalogue, number)

    def _remove(self, catalogue: str, number: int) -> None:
        try:
            self.store.delete(COLLECTION, self.store.resolve(COLLECTION, f"{catalogue}.{number}"))
        except NotFound:
            return

    def _version(self, catalogue: str, number: int) -> CatalogueVersion:
        digest = self.store.resolve(COLLECTION, f"{catalogue}.{number}")
        with self._lock:
            found = self._read.get(digest)
        if not found:
            found = version_of(digest, self.store.manifest(COLLECTION, digest))
            if (found.catalogue, found.number) != (catalogue, number):
                raise IntegrityError(f"{COLLECTION}/{digest} is not version {number} of {catalogue}")
            with self._lock:
                self._read.put(digest, found)
        return found

    def _newest_number(self, catalogue: str) -> int:
        """Returns the highest number, 0 for none: one look from the highest that was seen before, which is cheap."""
        number = self._newest.get(catalogue, 0)
        if not number or not self._stands(catalogue, number):
            number = max(self._numbers(catalogue), default=0)
        while number and self._stands(catalogue, number + 1):
            number += 1
        if number:
            self._newest[catalogue] = number
        return number

    def _stands(self, catalogue: str, number: int) -> bool:
        try:
            self.store.resolve(COLLECTION, f"{catalogue}.{number}")
        except NotFound:
            return False
        return True

    def _numbers(self, catalogue: str) -> list[int]:
        parts = [name.partition(".") for name in self.store.identifiers(COLLECTION)]
        return sorted(int(number) for name, _, number in parts if name == catalogue)
