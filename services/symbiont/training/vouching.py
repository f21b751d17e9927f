"""Signs what jobs have made, before it becomes a version: workers have no key."""

from symbiont.bundle import read_manifest
from symbiont.common.artifacts import ArtifactStore, SigningKey
from symbiont.common.errors import FailedPrecondition


class Vouching:
    """Signs bundles.

    Args:
        store: reads bundles that nobody has signed yet.
        key: of this installation.
    """

    def __init__(self, store: ArtifactStore, key: SigningKey) -> None:
        self._store = store
        self._key = key

    def vouch(self, digest: str, job: str) -> None:
        """Signs the bundle of a job; `job` is the id of the one that it names as its own.

        Raises:
            FailedPrecondition: it is another job's, so that whoever reports may not have it signed.
            NotFound: no such bundle.
            IntegrityError: it is damaged.
        """
        made_by = read_manifest(self._store, digest).lineage.job
        if made_by != f"jobs/{job}":
            raise FailedPrecondition(
                f"bundles/{digest} was made by {made_by}, not by jobs/{job}", reason="FOREIGN_BUNDLE"
            )
        self._store.sign(digest, self._key)
