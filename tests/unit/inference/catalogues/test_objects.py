"""Catalogues in an object store, where each look costs a request."""

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.artifacts.objects import Objects
from symbiont.common.errors import NotFound
from symbiont.inference.catalogues.change import SizeLimits, commit
from symbiont.inference.catalogues.types import COLLECTION, CatalogueVersion
from symbiont.inference.catalogues.versions import Versions

from .conftest import make_change, real_like

Create = Callable[..., CatalogueVersion]
LIMITS = SizeLimits(100, 100)


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[Versions]:
    root = f"memory://{uuid.uuid4().hex}"
    yield Versions(ArtifactStore(root, tmp_path / "near"), kept=2)
    MemoryFileSystem().rm(root, recursive=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts what the object store was asked for."""
    counts: Counter[str] = Counter()
    read = Objects.read

    def counting(self: Objects, key: str) -> bytes:
        counts[key] += 1
        return read(self, key)

    monkeypatch.setattr(Objects, "read", counting)
    return counts


def elsewhere(versions: Versions, tmp_path: Path) -> Versions:
    return Versions(ArtifactStore(versions.store.root, tmp_path / uuid.uuid4().hex), kept=2)


def test_a_writer_sees_its_own_version_at_once_and_others_soon(
    versions: Versions, create: Create, tmp_path: Path, asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    reader = elsewhere(versions, tmp_path)
    assert reader.current("faq").entries == 0
    before = asked.total()
    vectors = real_like(3, 4, 1)
    made, _ = commit(versions, "faq", make_change("abc", vectors), LIMITS)
    assert versions.current("faq") == made
    asked.clear()
    assert reader.current("faq").number == 1
    assert (before > 0, asked.total()) == (True, 0)
    later = time.monotonic() + 2
    monkeypatch.setattr("symbiont.inference.catalogues.versions.time.monotonic", lambda: later)
    assert reader.current("faq") == made
    np.testing.assert_array_equal(reader.open(made).vectors, vectors)


def test_a_writer_that_believes_in_an_older_version_begins_anew(
    versions: Versions, create: Create, tmp_path: Path
) -> None:
    create()
    other = elsewhere(versions, tmp_path)
    other.current("faq")
    commit(versions, "faq", make_change("a", real_like(1, 4, 1)), LIMITS)
    made, _ = commit(other, "faq", make_change("b", real_like(1, 4, 2)), LIMITS)
    assert (made.number, made.entries) == (3, 2)
    other.delete("faq")
    with pytest.raises(NotFound):
        other.current("faq")
    assert other.store.list(COLLECTION) == []


def test_a_reader_that_is_under_way_does_not_bring_the_version_before_back(
    versions: Versions, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    look = versions._version

    def overtaken(catalogue: str, number: int) -> CatalogueVersion:
        found = look(catalogue, number)
        monkeypatch.setattr(versions, "_version", look)
        commit(versions, "faq", make_change("a", real_like(1, 4, 1)), LIMITS)
        return found

    monkeypatch.setattr(versions, "_version", overtaken)
    assert versions.current("faq").number == 1
    assert versions.current("faq").number == 2

    def deleted(catalogue: str, number: int) -> CatalogueVersion:
        found = look(catalogue, number)
        monkeypatch.setattr(versions, "_version", look)
        versions.delete("faq")
        return found

    later = time.monotonic() + 2
    monkeypatch.setattr("symbiont.inference.catalogues.versions.time.monotonic", lambda: later)
    monkeypatch.setattr(versions, "_version", deleted)
    versions.current("faq")
    with pytest.raises(NotFound):
        versions.current("faq")


def test_what_was_stored_and_not_named_goes_after_a_day(
    versions: Versions, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    create()
    versions.store.put(COLLECTION, {"a": b"1"}, {})
    versions.sweep()
    assert len(versions.store.list(COLLECTION)) == 2
    tomorrow: Any = time.time() + 90_000
    monkeypatch.setattr("symbiont.inference.catalogues.versions.time.time", lambda: tomorrow)
    versions.sweep()
    assert versions.store.list(COLLECTION) == [versions.current("faq").digest]
