"""The metrics that the suite serves, and what a PromQL query names: for whatever asks Prometheus."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry, Metric

from symbiont.common.metrics import ServiceMetrics
from symbiont.engine.metrics import LABELS, METRICS, PROCESS_BYTES
from symbiont.inference.licenses import LicenseMetrics
from symbiont.inference.metrics import (
    CacheMetrics,
    CatalogueMetrics,
    GenerationMetrics,
    InferenceMetrics,
    SchedulingMetrics,
    ServerMetrics,
)
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.store import WatchedJob
from symbiont.training.types import JobState

SUFFIXES = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count"),
    "info": ("_info",),
    "gauge": ("",),
}
# Triton's own, of docs/user_guide/metrics.md in triton-inference-server/server: those that a dashboard may use.
TRITON: dict[str, set[str]] = {
    name: {"model", "version", "reason"}
    for name in (
        "nv_inference_count",
        "nv_inference_request_success",
        "nv_inference_request_failure",
        "nv_inference_request_duration_us",
        "nv_inference_queue_duration_us",
        "nv_inference_compute_input_duration_us",
        "nv_inference_compute_infer_duration_us",
        "nv_inference_compute_output_duration_us",
        "nv_inference_pending_request_count",
    )
}
TRITON |= {name: set() for name in ("nv_cpu_utilization", "nv_cpu_memory_used_bytes", "nv_cpu_memory_total_bytes")}
TRITON |= {
    name: {"gpu_uuid"} for name in ("nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes")
}
# The hosts' own, which Triton serves.
HOSTS = {name: set(LABELS) for name in (*(name for name, _, _ in METRICS.values()), PROCESS_BYTES)}
# Labels of what is scraped, and Prometheus' own metrics: of every scrape, and of the alerts that it judges.
TARGET_LABELS = {"job", "instance", "namespace", "pod", "le"}
PROMETHEUS: dict[str, set[str]] = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
FUNCTIONS = {
    *("sum", "min", "max", "count", "topk", "rate", "increase", "histogram_quantile", "absent"),
    *("vector", "label_replace", "time", "or", "and"),
    *("changes", "unless", "on", "min_over_time", "sum_over_time"),
}
RULES = sorted((Path(__file__).parents[2] / "deploy/prometheus/rules").glob("*.yml"))


class NoJobs:
    """Nothing is queued and nothing trains."""

    def count_by_state(self) -> dict[JobState, int]:
        return dict.fromkeys(JobState, 0)

    def queue_seconds(self) -> float:
        return 0.0

    def watched(self, also: Collection[str] = ()) -> Sequence[WatchedJob]:
        return []


def registries() -> Iterator[CollectorRegistry]:
    tokenization, inference = ServiceMetrics("tokenization"), ServiceMetrics("inference")
    TokenizationMetrics(tokenization.registry)
    InferenceMetrics(inference.registry)
    CacheMetrics(inference.registry)
    CatalogueMetrics(inference.registry)
    GenerationMetrics(inference.registry)
    LicenseMetrics(inference.registry)
    ServerMetrics(inference.registry)
    SchedulingMetrics(inference.registry).watch(lambda: [])
    yield tokenization.registry
    yield inference.registry
    yield TrainingMetrics(NoJobs()).registry


def labels_of(collector: Any, family: Metric) -> set[str]:
    """Label names of a metric that may not have a single sample yet."""
    declared = {*getattr(collector, "_labelnames", ()), *getattr(family, "_labelnames", ())}
    return declared.union(*(sample.labels for sample in family.samples))


def known_metrics() -> dict[str, set[str]]:
    """The names under which Prometheus stores what the suite serves, each with its labels."""
    known = PROMETHEUS | TRITON | HOSTS
    for registry in registries():
        for collector in list(registry._collector_to_names):
            for family in collector.collect():
                for suffix in SUFFIXES[family.type]:
                    known[family.name + suffix] = labels_of(collector, family)
    for rule in rules():
        if "record" in rule:
            known |= {rule["record"]: recorded(rule["expr"], known)}
    return known


def rules() -> list[dict[str, Any]]:
    """The rules that are recorded, and those that alert, of all files in order."""
    documents = [yaml.safe_load(path.read_text()) for path in RULES]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]


def recorded(query: str, known: dict[str, set[str]]) -> set[str]:
    """Labels of what a query comes to: those that it groups by, or, where it does not, those of what it asks for."""
    kept = {w for names in re.findall(r"\bby \(([^)]*)\)", query) for w in re.findall(r"\w+", names)}
    return kept or ({label for metric, _ in parse(query) for label in known[metric]} if "sum(" not in query else set())


def parse(query: str) -> list[tuple[str, set[str]]]:
    """Splits a PromQL query into (metric, labels that it selects by), and the labels that the query groups by.

    Not a parser of PromQL, but strict: a word that is neither a function of `FUNCTIONS`, a label list nor a number
    is taken for a metric, so that nothing escapes.
    """
    grouping = r"\b(?:by|without|on|group_left) \(([^)]*)\)"
    grouped = {w for names in re.findall(grouping, query) for w in re.findall(r"\w+", names)}
    rest = re.sub(grouping, "", query)
    # Spans of time, also as a number that Grafana fills in, and words that a function is given.
    rest = re.sub(r'\[[^\]]*\]|\$__range_s|, "[^"]*"', "", rest)
    found = []
    for word, matchers in re.findall(r"([A-Za-z_:][\w:]*)(\{[^}]*\})?", rest):
        if word not in FUNCTIONS:
            found.append((word, grouped | set(re.findall(r"(\w+)\s*(?:=|!=)", re.sub(r'"[^"]*"', "", matchers)))))
    return found


def _brought(query: str) -> set[str]:
    """Labels that `group_left` takes over from the one metric of a query that has them."""
    return {w for names in re.findall(r"\bgroup_left \(([^)]*)\)", query) for w in re.findall(r"\w+", names)}


def check(query: str, known: dict[str, set[str]]) -> int:
    """Asserts that every metric and label of a query is one that something serves; returns how many metrics it has."""
    found, brought = parse(query), _brought(query)
    for metric, labels in found:
        assert metric in known, f"nothing has the metric {metric}"
        unknown = labels - known[metric] - TARGET_LABELS - brought
        assert not unknown, f"{metric} has no label {sorted(unknown)}"
    nowhere = brought - {label for metric, _ in found for label in known[metric]}
    assert not nowhere, f"no metric of the query has the label {sorted(nowhere)}"
    return len(found)
