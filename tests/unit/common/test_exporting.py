"""What is kept reaches the collector, by the end of the process at the latest; one that is away holds nothing up."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from support.collector import collecting
from support.service import free_port
from symbiont.common import exporting
from symbiont.common.exporting import exported
from symbiont.common.log import configure_logging
from symbiont.common.tracing import UNTRACED, span


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Gives what reads the log, line by line; the log is as before, after the test."""
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_without_an_endpoint_nothing_is_traced() -> None:
    with exported("inference", "", 1.0) as tracing:
        assert tracing is UNTRACED


def test_spans_reach_the_collector_by_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
    with collecting() as collector:
        keeping = exported("inference", collector.grpc_address, 1.0)
        with keeping as tracing, tracing.root("launch", {"symbiont.job": "job-1"}), span("inner"):
            pass
        assert {s.name for s in collector.spans} == {"launch", "inner"}
        assert {s.service for s in collector.spans} == {"inference"}
        assert b"staging" in collector.raw


def test_a_collector_that_is_away_is_told_of_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[dict[str, Any]]]
) -> None:
    monkeypatch.setattr(exporting, "_LAST_SPANS_S", 0.5)
    configure_logging("info", "json", "inference")
    with exported("inference", f"127.0.0.1:{free_port()}", 1.0) as tracing:
        for _ in range(2000):
            with tracing.root("launch", {}):
                pass
    # The log stays JSON, and says it.
    assert any(line["event"] == "trouble with traces" for line in log())


def test_a_process_without_the_packages_goes_on(
    monkeypatch: pytest.MonkeyPatch, log: Callable[[], list[dict[str, Any]]]
) -> None:
    monkeypatch.setattr(exporting, "can_export", lambda: False)
    configure_logging("info", "json", "worker")
    with exported("worker", "collector:4317", 1.0) as tracing:
        assert tracing is UNTRACED
    assert any("pip install 'symbiont[tracing]'" in line["event"] for line in log())
