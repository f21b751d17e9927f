"""Stores of both kinds, and what a test changes behind their backs."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from symbiont.common.artifacts import ArtifactStore


class Place:
    """A store with the files below its root, which in memory are objects."""

    def __init__(self, root: Path | str, caches: Path) -> None:
        self._caches = caches
        self.root = root
        self.store = self.open()

    def open(self) -> ArtifactStore:
        """Returns the same store as another machine sees it: with nothing known and nothing near."""
        return ArtifactStore(str(self.root), self._caches / uuid.uuid4().hex)

    def write(self, key: str, content: bytes) -> None:
        if isinstance(self.root, Path):
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_bytes(content)
        else:
            MemoryFileSystem().pipe_file(f"{self.root}/{key}", content)

    def read(self, key: str) -> bytes:
        if isinstance(self.root, Path):
            return (self.root / key).read_bytes()
        content: bytes = MemoryFileSystem().cat_file(f"{self.root}/{key}")
        return content

    def remove(self, key: str) -> None:
        if isinstance(self.root, Path):
            (self.root / key).unlink()
        else:
            MemoryFileSystem().rm_file(f"{self.root}/{key}")

    def files(self) -> list[str]:
        """Returns all files, sorted."""
        if isinstance(self.root, Path):
            return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file())
        start = len(self.root.removeprefix("memory:/")) + 1
        return sorted(name[start:] for name in MemoryFileSystem().find(self.root))


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Place]:
    """A store in memory."""
    place = Place(f"memory://{uuid.uuid4().hex}/artifacts", tmp_path / "caches")
    yield place
    if place.files():
        MemoryFileSystem().rm(str(place.root), recursive=True)


@pytest.fixture(params=["folder", "objects"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store in a folder, then one in memory."""
    return Place(tmp_path / "root", tmp_path) if request.param == "folder" else request.getfixturevalue("remote")


@pytest.fixture
def store(place: Place) -> ArtifactStore:
    return place.store
