"""What `symbiont usage` bills, from two replicas of inference and two of training that a real Prometheus scrapes."""

import csv
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, start_http_server
from typer.testing import CliRunner

from support.prometheus import HINT, Prometheus, find
from support.waiting import until_sync
from symbiont.cli import usage
from symbiont.cli.app import app
from symbiont.common.licenses import LicenseTerms
from symbiont.engine.row import Times
from symbiont.inference.licenses import LicenseMetrics
from symbiont.inference.metrics import SchedulingMetrics
from symbiont.inference.types import LicensedBase, Priority

BASES = [
    LicensedBase("bases/first", "a" * 64, "=acme", "MIT", LicenseTerms()),
    # The same content again, of which nobody has said whose it is.
    LicensedBase("bases/again", "a" * 64, "", "MIT", LicenseTerms()),
    LicensedBase("bases/second", "b" * 64, "sbert", "MIT", LicenseTerms(expire_time=datetime(2199, 1, 1, tzinfo=UTC))),
]
TENANTS = ["bank", "shop"]
UNKNOWN = "c" * 64


def replica(stack: ExitStack, tenants: list[str]) -> Any:
    """A replica of inference as far as its usage goes, and where it is scraped."""
    registry = CollectorRegistry()
    metrics = SchedulingMetrics(registry, tenants)
    LicenseMetrics(registry).update(BASES)
    for digest in (*(base.digest for base in BASES), UNKNOWN):
        metrics.answered(digest, {}, Times(), 0.0)
    server, _ = start_http_server(0, "127.0.0.1", registry)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return SimpleNamespace(metrics=metrics, url=f"http://127.0.0.1:{server.server_port}/metrics")


def trainer(stack: ExitStack) -> Any:
    """A replica of training; each says what all have spent."""
    registry = CollectorRegistry()
    seconds = Counter("symbiont_training_tenant_worker_seconds", "Time.", ["tenant"], registry=registry)
    seconds.labels("bank")
    server, _ = start_http_server(0, "127.0.0.1", registry)
    stack.callback(server.server_close)
    stack.callback(server.shutdown)
    return SimpleNamespace(seconds=seconds, url=f"http://127.0.0.1:{server.server_port}/metrics")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        replicas = [replica(stack, TENANTS) for _ in range(2)]
        trainers = [trainer(stack) for _ in range(2)]
        # The four jobs of its configuration; what they are called does not matter here.
        urls = [one.url for one in (*replicas, *trainers)]
        names = ("inference", "tokenization", "training", "triton")
        server = stack.enter_context(Prometheus(tmp_path / "prometheus", dict(zip(names, urls, strict=True))))
        yield SimpleNamespace(server=server, replicas=replicas, trainers=trainers)


def seen(prometheus: Any, query: str) -> float:
    found = prometheus.server.query_range(query, 2, 1)
    return found[0].values[-1] if found and found[0].values else -1.0


@pytest.mark.skipif(not find("prometheus"), reason=f"not installed; {HINT}")
def test_usage_is_that_of_all_replicas(prometheus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As many scrapes as in its five minutes are fewer here.
    monkeypatch.setattr(usage, "_SLICE_S", 10)
    tenants = "count(symbiont_inference_tenant_tokens_total{tenant!='other'})"
    count = f"{tenants} + count(symbiont_training_tenant_worker_seconds_total)"
    until_sync(lambda: seen(prometheus, count) == 6)
    for one in prometheus.replicas:
        for digest, tenant, tokens in (("a" * 64, "bank", 300), ("b" * 64, "shop", 100)):
            one.metrics.sent(tenant, Priority.INTERACTIVE, 1, tokens, 0.0)
            one.metrics.answered(digest, {tenant: tokens}, Times(0.0, 2.0, 1.0), 2.0)
        one.metrics.answered(UNKNOWN, {"other": 10}, Times(), 0.0)
    # Of this one no scrape has seen a series before.
    prometheus.replicas[0].metrics.sent("night", Priority.BATCH, 1, 5000, 0.0)
    # A worker is busy for a second in a second, here for five; what comes at once could fall between two slices.
    for _ in range(12):
        for one in prometheus.trainers:
            one.seconds.labels("bank").inc(5)
        time.sleep(1)
    until_sync(lambda: seen(prometheus, "sum(symbiont_inference_tenant_tokens_total)") == 5800)
    until_sync(lambda: seen(prometheus, "min(symbiont_training_tenant_worker_seconds_total)") == 60)

    # Prometheus extends what it saw by up to a scrape at each end: of many that is little.
    until_sync(
        lambda: seen(prometheus, "min(count_over_time(symbiont_training_tenant_worker_seconds_total[1m]))") >= 10
    )

    # What was trained last is in the next slice of the time.
    until_sync(lambda: float(_usage(prometheus, tmp_path, "tenant")[1]["training seconds"]) > 45)
    rows = _usage(prometheus, tmp_path, "tenant")
    assert [row["tenant"] for row in rows] == ["night", *TENANTS]
    assert float(rows[0]["tokens"]) == pytest.approx(5000, rel=0.01)
    bank, shop = ({key: float(value) for key, value in row.items() if key != "tenant"} for row in rows[1:])
    assert bank["tokens"] == pytest.approx(600, rel=0.25)
    assert bank["tokens"] / shop["tokens"] == pytest.approx(3, rel=0.02)
    assert bank["compute seconds"] == pytest.approx(2, rel=0.25)
    # What every replica says is not added up.
    assert bank["training seconds"] == pytest.approx(60, rel=0.25)
    assert shop["training seconds"] == 0

    rows = _usage(prometheus, tmp_path, "provider")
    assert [row["provider"] for row in rows] == ["'=acme", "sbert", "(none)"]
    assert float(rows[0]["tokens"]) / float(rows[1]["tokens"]) == pytest.approx(3, rel=0.02)
    assert float(rows[0]["compute seconds"]) == pytest.approx(float(rows[1]["compute seconds"]), rel=0.02)


def _usage(prometheus: Any, folder: Path, by: str) -> list[dict[str, str]]:
    file = folder / f"{by}.csv"
    options = ["--prometheus", prometheus.server.url, "--days", "0.01", "--by", by, "--csv", str(file)]
    result = CliRunner().invoke(app, ["usage", *options])
    assert result.exit_code == 0, result.output
    assert by.upper() in result.output
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.slow
@pytest.mark.skipif(not find("prometheus"), reason=f"not installed; {HINT}")
def test_where_nobody_has_used_anything(prometheus: Any) -> None:
    until_sync(lambda: seen(prometheus, "count(symbiont_inference_base_info)") == 6)
    result = CliRunner().invoke(app, ["usage", "--prometheus", prometheus.server.url])
    assert "nobody has used anything within 30 days" in " ".join(result.output.split())
