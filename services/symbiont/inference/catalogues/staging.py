"""What an import has embedded and not committed yet: kept aside, so that one that was broken off goes on from there."""

import time
from dataclasses import dataclass

from safetensors import SafetensorError
from safetensors.numpy import load, save

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import IntegrityError, NotFound, TenantShredded
from symbiont.inference.catalogues.matrix import VECTORS, read_matrix
from symbiont.inference.catalogues.types import Digests, Pin, Vectors

KIND = "catalogue-parts"
_DIGESTS = "digests.safetensors"
_DAY = 86_400


@dataclass(frozen=True, eq=False)
class Part:
    """Vectors [n, d] with the digests of their texts, [n, 32]."""

    digests: Digests
    vectors: Vectors


class Staging:
    """Parts are artifacts of a kind of their own; every method touches the disk."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def save(self, catalogue: str, pin: Pin, part: Part) -> Part:
        """Stores a part; returns it with its vectors mapped from the disk, or as it is where it was cleared at once."""
        files = {VECTORS: save({"vectors": part.vectors}), _DIGESTS: save({"digests": part.digests})}
        fields = {"kind": "catalogue-part", "catalogue": catalogue, "bundle_digest": pin.version.bundle_digest}
        digest = self._store.put(KIND, files, {**fields, "created": time.time()})
        try:
            return self._read(digest, pin)
        except (NotFound, IntegrityError):
            # Another import into the catalogue has ended at this moment: this one has what it stored in memory.
            return part

    def load(self, catalogue: str, pin: Pin) -> list[Part]:
        """Returns the parts that a catalogue's bundle has embedded."""
        parts = []
        for digest in self._of(catalogue):
            try:
                if self._store.manifest(KIND, digest)["bundle_digest"] == pin.version.bundle_digest:
                    parts.append(self._read(digest, pin))
            except (NotFound, IntegrityError, TenantShredded):
                # It was cleared by another import, or is damaged: its texts are embedded again.
                continue
        return parts

    def clear(self, catalogue: str) -> None:
        """Removes the parts of a catalogue; who reads them goes on to."""
        for digest in self._of(catalogue):
            self._store.delete(KIND, digest)

    def sweep(self) -> None:
        """Removes parts that nobody came back for within a day."""
        for digest in self._store.list(KIND):
            try:
                old = time.time() - self._store.manifest(KIND, digest)["created"] > _DAY
            except NotFound:
                continue
            except (IntegrityError, TenantShredded, KeyError):
                old = True
            if old:
                self._store.delete(KIND, digest)

    def _of(self, catalogue: str) -> list[str]:
        found = []
        for digest in self._store.list(KIND):
            try:
                if self._store.manifest(KIND, digest).get("catalogue") == catalogue:
                    found.append(digest)
            except (NotFound, IntegrityError, TenantShredded):
                continue
        return found

    def _read(self, digest: str, pin: Pin) -> Part:
        try:
            digests = load(self._store.read(KIND, digest, _DIGESTS))["digests"]
        except (KeyError, SafetensorError) as exc:
            raise IntegrityError(f"{KIND}/{digest} holds no digests") from exc
        with self._store.open(KIND, digest, VECTORS) as stream:
            return Part(digests, read_matrix(stream, len(digests), pin.dimensions))
