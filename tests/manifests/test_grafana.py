"""The dashboards: every metric and label that a query names is one that the code, or Triton, has."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.dashboards import Dashboard, dashboards
from support.promql import check, known_metrics, parse
from symbiont.training.types import JobState

ROOT = Path(__file__).parents[2]
DASHBOARDS = dashboards()
NAMES = {"overview", "inference", "tokenization", "training", "tenants", "models", "triton"}
# What Grafana fills in.
OWN = {"__rate_interval", "__range", "__range_s", "__url_time_range"}
each = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)


def test_every_dashboard_is_there() -> None:
    assert {one.name for one in DASHBOARDS} == NAMES
    assert all(one.document["uid"] == f"symbiont-{one.name}" for one in DASHBOARDS)


def test_what_is_committed_is_what_the_code_writes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/grafana/generate.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_parser_sees_every_metric() -> None:
    query = (
        'sum by (le, rpc) (rate(a_bucket{service=~"x", code!="OK"}[5m])) / (max(b) or vector(0)) + c{d="e{f}"} > 0.5'
    )
    assert parse(query) == [
        ("a_bucket", {"le", "rpc", "service", "code"}),
        ("b", {"le", "rpc"}),
        ("c", {"le", "rpc", "d"}),
    ]
    assert parse('a{b="c"} / on () group_left () d or label_replace(vector(0), "e", "f", "", "")') == [
        ("a", {"b"}),
        ("d", set()),
    ]


@each
def test_queries_name_metrics_and_labels_that_exist(dashboard: Dashboard) -> None:
    known = known_metrics()
    for panel in dashboard.panels:
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert check(target["expr"], known)
            legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            assert legend <= grouped, f"{panel['title']}: the legend names labels that the query drops"


@each
def test_shares_are_not_added_up_over_replicas(dashboard: Dashboard) -> None:
    for query in (target["expr"] for panel in dashboard.panels for target in panel["targets"]):
        for found in re.finditer(r"symbiont_inference_model_\w+_share\b", query):
            assert re.search(r"max by \([^)]*\) \($", query[: found.start()]), query


@each
def test_alerts_are_those_of_the_suite(dashboard: Dashboard) -> None:
    text = json.dumps(dashboard.document)
    assert text.count("ALERTS{") == len(re.findall(r"ALERTS\{[^}]*alertname=~[^}]*Symbiont", text)) > 0


@each
def test_what_every_replica_says_is_not_added_up(dashboard: Dashboard) -> None:
    lines = (ROOT / "deploy/METRICS.md").read_text().splitlines()
    agreed = [line.split("`")[1] for line in lines if re.search("^[|] `.*every replica .*says the same", line, re.I)]
    assert len(agreed) >= 5
    # Those of a job go with the first of them.
    agreed += [f"symbiont_training_job_{name}" for name in ("total_steps", "eta_seconds", "attempt_seconds")]
    for query in (target["expr"] for panel in dashboard.panels for target in panel["targets"]):
        for name in agreed:
            once = rf"max (?:by \([a-z_]+\) )?\((?:increase\(|rate\()?{name}\b|max\({name}\b"
            assert len(re.findall(once, query)) == len(re.findall(rf"\b{name}\b", query)), query


@each
def test_marks_in_graphs_are_metrics_that_exist(dashboard: Dashboard) -> None:
    marks = {mark["name"]: mark["target"]["expr"] for mark in dashboard.document["annotations"]["list"]}
    assert marks.keys() == {"Promotions", "Firing alerts"}
    assert all(check(expr, known_metrics()) for expr in marks.values())


def test_job_states_are_those_of_the_code() -> None:
    for panel in (panel for one in DASHBOARDS for panel in one.panels):
        for target in panel["targets"]:
            for states in re.findall(r'\bstate[!=]~?"([^"]*)"', target["expr"]):
                assert set(states.split("|")) <= {state.value for state in JobState}, panel["title"]


def test_every_part_is_covered() -> None:
    used = {metric for one in DASHBOARDS for _, query in one.queries() for metric, _ in parse(query)}
    for prefix in (
        "symbiont_rpc_",
        "symbiont_tokenization_",
        "symbiont_inference_",
        "symbiont_training_",
        "symbiont_host_",
        "nv_",
    ):
        assert any(metric.startswith(prefix) for metric in used), prefix


@each
def test_panels_can_be_read_at_first_sight(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        # Four figures or three graphs fill a line well.
        assert panel["gridPos"]["w"] >= (4 if panel["type"] == "stat" else 8), panel["title"]
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"


@each
def test_panels_have_ids_titles_and_places_of_their_own(dashboard: Dashboard) -> None:
    everything = dashboard.document["panels"]
    assert [panel["id"] for panel in everything] == list(range(1, len(everything) + 1))
    assert len({panel["title"] for panel in everything}) == len(everything)
    cells = [
        (column, line)
        for place in (panel["gridPos"] for panel in everything)
        for column in range(place["x"], place["x"] + place["w"])
        for line in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24


@each
def test_variables_that_queries_use_are_defined(dashboard: Dashboard) -> None:
    names = {"datasource", *(variable["name"] for variable in dashboard.variables)}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(dashboard.document["panels"])))
    assert used - OWN == names
    for variable in dashboard.variables:
        ((metric, label),) = re.findall(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
        assert label in known_metrics()[metric]


@each
def test_links_lead_to_dashboards(dashboard: Dashboard) -> None:
    uids = {one.document["uid"] for one in DASHBOARDS}
    for panel in dashboard.panels:
        for link in panel.get("links", ()):
            assert re.fullmatch(r"/d/([\w-]+)\?.*", link["url"])[1] in uids  # type: ignore[index]
    (others,) = dashboard.document["links"]
    assert all(set(others["tags"]) <= set(one.document["tags"]) for one in DASHBOARDS)


def test_compose_provisions_the_folder(compose: dict[str, Any]) -> None:
    mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/symbiont.yaml").read_text())[
        "providers"
    ]
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    assert mounts["./grafana/provisioning"] == "/etc/grafana/provisioning"
    home = Path(compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(provider["options"]["path"])
    assert home.name == "overview.json"
