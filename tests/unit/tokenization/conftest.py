"""A store, the tokenizers of tests/support, and the use cases over them with small limits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from support.tokenizers import NAMES, definition
from symbiont.common.artifacts import ArtifactStore
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.work import Work


class Setting:
    """A store with some tokenizers that take 16 tokens, and the use cases on it, with small limits."""

    def __init__(self, store: ArtifactStore, executor: ThreadPoolExecutor) -> None:
        self.store = store
        self.registry = CollectorRegistry()
        self.metrics = TokenizationMetrics(self.registry)
        self.work = Work(executor, 2, max_bytes=64 << 10, metrics=self.metrics)
        self.library = TokenizerLibrary(store, 4)
        self.catalogue = Catalogue(self.library, self.metrics, self.work)
        limits = Limits(texts=8, batch_bytes=32 << 10, streams=2)
        self.tokenization = Tokenization(self.library, limits, self.metrics, self.work)

    def put(self, name: str, max_tokens: int = 16) -> str:
        """Stores a tokenizer of tests/support; returns its resource name."""
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": max_tokens}
        return f"tokenizers/{self.store.put('tokenizers', {'tokenizer.json': definition(name)}, fields)}"

    def counted(self, name: str, **labels: str) -> float | None:
        """Returns a metric of the service."""
        return self.registry.get_sample_value(f"symbiont_tokenization_{name}", labels)


@pytest.fixture(scope="session")
def definitions() -> dict[str, bytes]:
    """tokenizer.json of each tokenizer by a short name."""
    return {name: definition(name) for name in NAMES}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def setting(store: ArtifactStore, executor: ThreadPoolExecutor) -> Setting:
    return Setting(store, executor)
