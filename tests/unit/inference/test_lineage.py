"""What a base was made of stands in its manifest, and is read once."""

from pathlib import Path

import pytest

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import NotFound
from symbiont.inference.lineage import KIND, Lineage


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path)


def base(store: ArtifactStore, parent: str = "") -> str:
    return store.put(KIND, {"config.json": parent.encode()}, {"kind": "base", **({"parent": parent} if parent else {})})


def test_a_base_is_followed_to_its_beginning(store: ArtifactStore) -> None:
    first = base(store)
    derived = base(store, first)
    own = base(store, derived)
    lineage = Lineage(store)
    assert lineage.of(own) == (own,)
    lineage.read(own)
    assert lineage.of(own) == (own, derived, first)
    lineage.read(first)
    assert lineage.of(first) == (first,)


def test_it_is_read_once(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    own = base(store, "f" * 64)
    lineage, asked = Lineage(store), list[str]()

    def manifest(kind: str, digest: str) -> dict[str, str]:
        asked.append(digest)
        if digest != own:
            raise NotFound("gone")
        return {"parent": "f" * 64}

    monkeypatch.setattr(store, "manifest", manifest)
    for _ in range(2):
        lineage.read(own)
    # What it was made of is known though it is gone.
    assert lineage.of(own) == (own, "f" * 64)
    assert asked == [own, "f" * 64]
