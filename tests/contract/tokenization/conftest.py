"""The tokenization service as its callers see it."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.metrics import ServiceMetrics
from symbiont.common.server import Lifecycle
from symbiont.tokenization.library import TokenizerLibrary
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.tokenization.servicer import registration
from symbiont.tokenization.tokenization import Limits, Tokenization


@pytest.fixture
async def service(serve: Any, store: ArtifactStore) -> AsyncIterator[Any]:
    metrics = ServiceMetrics("tokenization")
    with ThreadPoolExecutor(2) as executor:
        own = TokenizationMetrics(metrics.registry)
        tokenization = Tokenization(TokenizerLibrary(store, 4), Limits(4096, 256 << 10), own, executor)
        yield await serve([registration(tokenization)], metrics, Lifecycle())
