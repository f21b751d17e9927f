"""The dashboards: every metric and label that a query names is one that the code, or Triton, has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Metric

from symbiont.common.metrics import ServiceMetrics
from symbiont.engine.metrics import LABELS, METRICS, PROCESS_BYTES
from symbiont.inference.metrics import CacheMetrics, InferenceMetrics, SchedulingMetrics
from symbiont.tokenization.metrics import TokenizationMetrics
from symbiont.training.metrics import TrainingMetrics
from symbiont.training.types import JobState

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/grafana/dashboards"
DASHBOARDS = sorted(FOLDER.glob("*.json"))
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
# Triton's own, of docs/user_guide/metrics.md in triton-inference-server/server: those that a dashboard may use.
TRITON = {
    name: {"model", "version"}
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
# The hosts' own, which Triton serves.
HOSTS = {name: set(LABELS) for name in (*(name for name, _, _ in METRICS.values()), PROCESS_BYTES)}
# Prometheus' own labels, and its metric of every scrape.
TARGET_LABELS = {"job", "instance", "le"}
PROMETHEUS: dict[str, set[str]] = {"up": set()}
FUNCTIONS = {"sum", "min", "max", "rate", "increase", "histogram_quantile", "vector", "or"}

Panel = dict[str, Any]


def registries() -> Iterator[CollectorRegistry]:
    tokenization, inference = ServiceMetrics("tokenization"), ServiceMetrics("inference")
    TokenizationMetrics(tokenization.registry)
    InferenceMetrics(inference.registry)
    CacheMetrics(inference.registry)
    SchedulingMetrics(inference.registry)
    yield tokenization.registry
    yield inference.registry
    yield TrainingMetrics(lambda: dict.fromkeys(JobState, 0)).registry


def labels_of(collector: Any, family: Metric) -> set[str]:
    """Label names of a metric that may not have a single sample yet."""
    declared = set(getattr(collector, "_labelnames", ()))
    return declared.union(*(sample.labels for sample in family.samples))


def known_metrics() -> dict[str, set[str]]:
    """The names under which Prometheus stores what the suite serves, each with its labels."""
    known = PROMETHEUS | TRITON | HOSTS
    for registry in registries():
        for collector in list(registry._collector_to_names):
            for family in collector.collect():
                for suffix in SUFFIXES[family.type]:
                    known[family.name + suffix] = labels_of(collector, family)
    return known


def parse(query: str) -> list[tuple[str, set[str]]]:
    """Splits a PromQL query into (metric, labels that it selects by), and the labels that the query groups by.

    Not a parser of PromQL, but strict: a word that is neither a function of `FUNCTIONS`, a label list nor a number
    is taken for a metric, so that nothing escapes.
    """
    grouped = {w for names in re.findall(r"\b(?:by|without|on) \(([^)]*)\)", query) for w in re.findall(r"\w+", names)}
    rest = re.sub(r"\b(?:by|without|on) \([^)]*\)", "", query)
    rest = re.sub(r"\[[^\]]*\]", "", rest)
    found = []
    for word, matchers in re.findall(r"([A-Za-z_:][\w:]*)(\{[^}]*\})?", rest):
        if word not in FUNCTIONS:
            found.append((word, grouped | set(re.findall(r"(\w+)\s*(?:=|!=)", re.sub(r'"[^"]*"', "", matchers)))))
    return found


def panels(path: Path) -> list[Panel]:
    document: dict[str, Any] = json.loads(path.read_text())
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def test_there_is_a_dashboard() -> None:
    assert [path.name for path in DASHBOARDS] == ["path.json"]


def test_the_parser_sees_every_metric() -> None:
    query = (
        'sum by (le, rpc) (rate(a_bucket{service=~"x", code!="OK"}[5m])) / (max(b) or vector(0)) + c{d="e{f}"} > 0.5'
    )
    assert parse(query) == [
        ("a_bucket", {"le", "rpc", "service", "code"}),
        ("b", {"le", "rpc"}),
        ("c", {"le", "rpc", "d"}),
    ]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_queries_name_metrics_and_labels_that_exist(path: Path) -> None:
    known = known_metrics()
    seen = 0
    for panel in panels(path):
        for target in panel["targets"]:
            for metric, labels in parse(target["expr"]):
                assert metric in known, f"{panel['title']}: nothing has the metric {metric}"
                unknown = labels - known[metric] - TARGET_LABELS
                assert not unknown, f"{panel['title']}: {metric} has no label {sorted(unknown)}"
                seen += 1
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            assert legend <= grouped, f"{panel['title']}: the legend names labels that the query drops"
    assert seen > len(panels(path))


def test_job_states_are_those_of_the_code() -> None:
    for panel in (panel for path in DASHBOARDS for panel in panels(path)):
        for target in panel["targets"]:
            for states in re.findall(r'state=~?"([^"]*)"', target["expr"]):
                assert set(states.split("|")) <= {state.value for state in JobState}, panel["title"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_path_is_covered(path: Path) -> None:
    used = {metric for panel in panels(path) for target in panel["targets"] for metric, _ in parse(target["expr"])}
    for prefix in (
        "symbiont_rpc_",
        "symbiont_tokenization_",
        "symbiont_inference_",
        "symbiont_training_",
        "symbiont_host_",
        "nv_",
    ):
        assert any(metric.startswith(prefix) for metric in used), prefix


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_can_be_read_at_first_sight(path: Path) -> None:
    for panel in panels(path):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_have_ids_and_places_of_their_own(path: Path) -> None:
    everything = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in everything)
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24


def test_variables_that_queries_use_are_defined() -> None:
    for path in DASHBOARDS:
        document = json.loads(path.read_text())
        names = {variable["name"] for variable in document["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(document["panels"])))
        assert used - {"__rate_interval"} == names
        for variable in document["templating"]["list"]:
            for metric, label in re.findall(r"label_values\((\w+), (\w+)\)", json.dumps(variable["query"])):
                assert label in known_metrics()[metric]


def test_compose_provisions_the_folder(compose: dict[str, Any]) -> None:
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/symbiont.yaml").read_text())[
        "providers"
    ]
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    home = Path(compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    assert (FOLDER / home.name) in DASHBOARDS
