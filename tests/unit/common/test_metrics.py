"""What a registry serves parses, and refusals keep to a closed set of reasons."""

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from symbiont.common.errors import InvalidArgument, NotFound, SymbiontError
from symbiont.common.metrics import Refusals, ServiceMetrics


def test_the_text_parses_and_names_the_service() -> None:
    metrics = ServiceMetrics("training")
    port = metrics.serve("127.0.0.1:0")
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    metrics.close()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["symbiont_build_info"].samples[0].labels["service"] == "training"
    assert "process_resident_memory_bytes" in families


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InvalidArgument("a", "b", reason="TOO_LONG"), "TOO_LONG"),
        (NotFound("x"), "OTHER"),
        (SymbiontError("x"), "OTHER"),
    ],
)
def test_a_refusal_is_counted_under_a_known_reason(error: SymbiontError, reason: str) -> None:
    registry = CollectorRegistry()
    refusals = Refusals("refusals", "Refused.", ["TOO_LONG"], registry)
    with pytest.raises(SymbiontError), refusals.counted():
        raise error
    with refusals.counted():
        pass
    counted = {known: registry.get_sample_value("refusals_total", {"reason": known}) for known in ("TOO_LONG", "OTHER")}
    assert counted == {"TOO_LONG": 0.0, "OTHER": 0.0} | {reason: 1.0}
