"""What the tests of the response cache share."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from symbiont.inference.cache.keys import Scope
from symbiont.inference.metrics import CacheMetrics


@pytest.fixture
def scope() -> Scope:
    return Scope.of_texts("tenant", "c" * 64, 32)


@pytest.fixture
def cache_metrics(prometheus: CollectorRegistry) -> CacheMetrics:
    return CacheMetrics(prometheus)


@pytest.fixture
def looked_up(prometheus: CollectorRegistry) -> Any:
    """Returns hits, misses and what was waited for, of texts or rows."""

    def read(kind: str) -> list[float | None]:
        return [
            prometheus.get_sample_value("symbiont_inference_cache_lookups_total", {"kind": kind, "result": result})
            for result in ("hit", "miss", "joined")
        ]

    return read
