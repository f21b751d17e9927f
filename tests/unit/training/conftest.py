"""A store, an artifact store, and a registry with a tiny base and a dataset in it."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.registry import tiny_spec, upload
from support.tiny import csv_of, labelled_rows, save_base
from symbiont.common.artifacts import ArtifactStore
from symbiont.engine.openvino_stored import load_graph
from symbiont.training import bases
from symbiont.training.resolving import resolve
from symbiont.training.spec import TrainingSpec
from symbiont.training.store import Store
from symbiont.training.types import Inputs, Source


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_graph(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact store with the graph of the tiny base, which takes longer to make than most trainings here."""
    store = ArtifactStore(tmp_path_factory.mktemp("graphs"))
    load_graph(store, bases.register(store, "tiny", Source("folder", str(tiny_base)), "tests", "MIT").digest)
    return Path(store.root)


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/symbiont.db")
    yield store
    store.close()


@pytest.fixture
def registry(store: Store, artifacts: ArtifactStore, tiny_base: Path, tiny_graph: Path) -> Store:
    """A store with bases/tiny, whose graph is there, and datasets/rows (40 rows, good and bad)."""
    shutil.copytree(tiny_graph, artifacts.root, dirs_exist_ok=True)
    store.add_base(bases.register(artifacts, "tiny", Source("folder", str(tiny_base)), "tests", "MIT"))
    store.add_dataset(upload(artifacts, csv_of(labelled_rows(40))))
    return store


@pytest.fixture
def resolved(registry: Store) -> tuple[TrainingSpec, Inputs]:
    return resolve(tiny_spec(), registry)


@pytest.fixture
def stopping() -> asyncio.Event:
    return asyncio.Event()
