"""Who has a weight is counted by name before the first call, however many tenants there are."""

import re
from typing import Any

import pytest
from prometheus_client import generate_latest


@pytest.fixture
def changes() -> dict[str, Any]:
    return {"tenant_weights": {"bank": 1.0}, "metrics_tenants": 0}


def test_in_everything_that_is_counted_by_tenant(suite: Any) -> None:
    text = generate_latest(suite.inference.metrics.registry).decode()
    counters = set(re.findall(r"^# TYPE (symbiont_inference_tenant_\w+_total) counter$", text, re.MULTILINE))
    assert len(counters) == 4
    named = set(re.findall(r'^(\w+_total)\{tenant="bank"\} 0.0$', text, re.MULTILINE))
    assert named == counters
