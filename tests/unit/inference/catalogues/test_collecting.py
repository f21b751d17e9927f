"""What an import has embedded reaches the catalogue, whatever other imports do with what lies on the disk."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from symbiont.common.artifacts import ArtifactStore
from symbiont.inference.catalogues import collecting
from symbiont.inference.catalogues.change import Change, SizeLimits, commit
from symbiont.inference.catalogues.collecting import Collector
from symbiont.inference.catalogues.staging import KIND, Staging
from symbiont.inference.catalogues.types import CatalogueVersion, Entry, Pin, Vectors
from symbiont.inference.catalogues.versions import Versions

from .conftest import SALT, make_pin, real_like

LIMITS = SizeLimits(100, 100)


class Embeds:
    """Gives the vectors that it was made with, in their order."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    async def embed(self, pin: Pin, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        given, self._vectors = self._vectors[: len(texts)], self._vectors[len(texts) :]
        return given, np.zeros(len(texts), np.bool_)


async def test_an_import_goes_on_though_another_one_clears_its_part_at_once(
    versions: Versions, create: Callable[..., CatalogueVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "_PART", 2)
    create()
    staging, other, vectors = Staging(versions.store), Staging(ArtifactStore(versions.store.root)), real_like(5, 4, 1)
    put = versions.store.put

    def cleared(kind: str, *given: Any) -> str:
        digest = put(kind, *given)
        if kind == KIND:
            other.clear("faq")
        return digest

    monkeypatch.setattr(versions.store, "put", cleared)
    before, embedder = versions.open(versions.current("faq")), Embeds(vectors)
    collector = Collector(before, Change(make_pin(), SALT), embedder, staging, LIMITS, 100)  # type: ignore[arg-type]
    for pair in ("ab", "cd", "e"):
        await collector.add([Entry(letter, letter) for letter in pair], "entries")
    made, _ = commit(versions, "faq", await collector.finish(), LIMITS)
    stored = versions.open(made)
    assert stored.ids == ["a", "b", "c", "d", "e"]
    np.testing.assert_array_equal(stored.vectors, vectors)
