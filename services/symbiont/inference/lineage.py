"""What bases were made of: the registry does not know those of models that were trained in full."""

from collections.abc import Sequence

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import NotFound

KIND = "bases"


class Lineage:
    """Of each base that was read, the digests of itself and of those that it was made of, one out of the other.

    It forgets none: each of them has, or had, a host.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._known: dict[str, tuple[str, ...]] = {}

    def read(self, base_digest: str) -> None:
        """Reads that of a base, unless it is known; blocks.

        Raises:
            IntegrityError: what is stored does not match its digest.
        """
        if base_digest not in self._known:
            self._known[base_digest] = tuple(self._ancestry(base_digest))

    def of(self, base_digest: str) -> Sequence[str]:
        """Returns the base, then what it was made of; of one that was never read itself alone."""
        return self._known.get(base_digest, (base_digest,))

    def _ancestry(self, digest: str) -> list[str]:
        found = []
        while digest:
            found.append(digest)
            try:
                digest = str(self._store.manifest(KIND, digest).get("parent") or "")
            except NotFound:
                # What serves is there; what it was made of long ago may be gone.
                break
        return found
