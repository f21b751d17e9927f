"""Vectors, and a store with a catalogue in it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from symbiont.common.artifacts import ArtifactStore
from symbiont.inference.catalogues.change import Change, text_digest
from symbiont.inference.catalogues.types import CatalogueVersion, IndexFacts, Pin, Vectors
from symbiont.inference.catalogues.versions import DIGESTS, IDS, VECTORS, Versions
from symbiont.inference.types import ModelVersion

SALT = b"s" * 32


def real_like(count: int, dimensions: int, seed: int) -> Vectors:
    """Vectors as encoders give them: in clusters, of fewer directions than numbers, around a common mean."""
    common, own = np.random.default_rng(0), np.random.default_rng(seed)
    directions = dimensions // 2
    basis = common.standard_normal((directions, dimensions)) * (0.95 ** np.arange(directions))[:, None]
    centres = common.standard_normal((200, directions))
    points = 0.8 * centres[own.integers(0, 200, count)] + 0.7 * own.standard_normal((count, directions))
    whole = points @ basis + common.standard_normal(dimensions) + 0.2 * own.standard_normal((count, dimensions))
    return (whole / np.linalg.norm(whole, axis=1, keepdims=True)).astype(np.float32)


def make_pin(dimensions: int = 4, bundle: str = "d") -> Pin:
    return Pin("models/x", ModelVersion("x", 1, bundle * 64, "a" * 64, "c" * 64), dimensions)


def make_version(
    catalogue: str = "faq",
    entries: int = 0,
    dimensions: int = 4,
    index: IndexFacts | None = None,
    digest: str = "",
    salt: bytes = SALT,
) -> CatalogueVersion:
    return CatalogueVersion(catalogue, 1, digest, make_pin(dimensions), entries, salt, 1.0, index)


def make_change(ids: Sequence[str], vectors: Vectors, *, replace: bool = False, bundle: str = "d") -> Change:
    change = Change(make_pin(vectors.shape[1], bundle), SALT, replace, matrices=[vectors])
    for row, identifier in enumerate(ids):
        change.add(identifier, text_digest(SALT, f"{identifier} {vectors[row].tobytes().hex()}"), 0, row)
    return change


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(ArtifactStore(tmp_path / "artifacts"), kept=3)


@pytest.fixture
def create(versions: Versions) -> Callable[..., CatalogueVersion]:
    """Makes a catalogue without entries."""

    within = versions

    def make(
        catalogue: str = "faq", dimensions: int = 4, salt: bytes = SALT, versions: Versions = within
    ) -> CatalogueVersion:
        files = {
            IDS: b"[]",
            DIGESTS: save({"digests": np.empty((0, 32), np.uint8)}),
            VECTORS: save({"vectors": np.empty((0, dimensions), np.float32)}),
        }
        made = versions.commit(files, make_version(catalogue, dimensions=dimensions, salt=salt))
        assert made
        return made

    return make
