"""What the artifact store says of a bundle, read once."""

import asyncio
from collections.abc import Callable

import numpy as np

from symbiont.bundle import read_manifest
from symbiont.common.access.views import current_view, owner_of
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.artifacts.signatures import check_signers
from symbiont.common.errors import FailedPrecondition, NotFound
from symbiont.common.lru import Lru
from symbiont.engine.row import NO_FEATURES, Row
from symbiont.inference.lineage import Lineage
from symbiont.inference.types import BundleInfo, ModelVersion


class BundleShelf:
    """Facts of bundles by digest.

    Args:
        read: reads one from the store, blocking; raises NotFound or IntegrityError.
        capacity: most of them kept in memory.
    """

    def __init__(self, read: Callable[[str], BundleInfo], capacity: int) -> None:
        self._read = read
        self._known: Lru[str, BundleInfo] = Lru(capacity)

    async def version_of(self, digest: str) -> ModelVersion:
        """Returns what a bundle that is asked for by its digest stands for.

        Raises:
            NotFound: there is none, or none of the caller's tenant.
            IntegrityError: what is stored does not match its digest, or nobody has signed it whose word counts.
        """
        bundle = await self._facts(digest)
        if not bundle or not current_view().sees(bundle.owner):
            raise NotFound(f"bundles/{digest} is not in the artifact store", field="model")
        check_signers(digest, bundle.signers)
        return ModelVersion("", 0, digest, bundle.base_digest, bundle.tokenizer_digest)

    async def of(self, version: ModelVersion) -> BundleInfo:
        """Returns the facts of a version's bundle.

        Raises:
            IntegrityError: what is stored does not match its digest, or nobody has signed it whose word counts.
            FailedPrecondition: the bundle is gone from the store, or was made for another base or tokenizer than the
                registry says.
        """
        digest = version.bundle_digest
        bundle = await self._facts(digest)
        if not bundle:
            raise FailedPrecondition(f"{version.name}: its bundle {digest} is not in the artifact store")
        # Those that are known too: they may have been read for another tenant.
        check_signers(digest, bundle.signers)
        if (bundle.base_digest, bundle.tokenizer_digest) != (version.base_digest, version.tokenizer_digest):
            raise FailedPrecondition(
                f"{version.name}: the registry and the bundle name different bases or tokenizers", reason="SKEW"
            )
        return bundle

    async def _facts(self, digest: str) -> BundleInfo | None:
        bundle = self._known.get(digest)
        if not bundle:
            try:
                bundle = await asyncio.to_thread(self._read, digest)
            except NotFound:
                return None
            self._known.put(digest, bundle)
        return bundle


def reader(store: ArtifactStore, lineage: Lineage) -> Callable[[str], BundleInfo]:
    """Returns what reads a bundle's facts from a store, and for `lineage` what its base was made of."""

    def read(digest: str) -> BundleInfo:
        manifest = read_manifest(store, digest)
        lineage.read(manifest.base_digest)
        return BundleInfo(
            head=manifest.head,
            labels=manifest.labels,
            temperature=manifest.calibration.temperature,
            base_digest=manifest.base_digest,
            tokenizer_digest=manifest.tokenizer_digest,
            max_tokens=manifest.max_tokens,
            takes=manifest.input,
            fields=manifest.fields,
            windows=manifest.windows,
            profile=manifest.profile,
            owner=owner_of(manifest.lineage.job),
            signers=store.signers(digest),
        )

    return read


def golden_reader(store: ArtifactStore) -> Callable[[str], Row]:
    """Returns what reads the first of a bundle's own rows from a store."""

    def read(digest: str) -> Row:
        golden = read_manifest(store, digest).golden
        ids = np.array(golden.input_ids[0], dtype=np.int32)
        features = np.array(golden.features[0], dtype=np.float32) if golden.features else NO_FEATURES
        return Row(ids, digest, golden.segment_starts[0] if golden.segment_starts else 0, features)

    return read
