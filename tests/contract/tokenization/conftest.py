"""The tokenization service as its callers see it."""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.tokenizers import definition as definition_of
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle
from symbiont.tokenization.catalogue import Catalogue
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.tokenization import Limits, Tokenization
from symbiont.tokenization.work import Work


@pytest.fixture
async def service(serve: Any, store: ArtifactStore) -> AsyncIterator[Any]:
    """The service in this process; it takes batches of 256 KiB."""
    metrics = ServiceMetrics("tokenization")
    with ThreadPoolExecutor(2) as executor:
        own, library = TokenizationMetrics(metrics.registry), TokenizerLibrary(store, 4)
        work = Work(executor, 2, 1 << 20, own)
        tokenization = Tokenization(library, Limits(4096, 256 << 10, 2), own, work)
        yield await serve([registration(Catalogue(library, own, work), tokenization)], metrics, Lifecycle())


@pytest.fixture
def put(store: ArtifactStore) -> Callable[..., str]:
    """Stores a tokenizer of tests/support; returns its resource name."""

    def store_one(name: str, max_tokens: int = 512) -> str:
        fields = {"kind": "tokenizer", "format_version": 1, "max_tokens": max_tokens}
        return f"tokenizers/{store.put('tokenizers', {'tokenizer.json': definition_of(name)}, fields)}"

    return store_one
