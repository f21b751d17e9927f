"""The dashboards: every metric and label that a query names is one that the code, or Triton, has."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.promql import check, known_metrics, parse
from symbiont.training.types import JobState

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/grafana/dashboards"
DASHBOARDS = sorted(FOLDER.glob("*.json"))
Panel = dict[str, Any]


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
            seen += check(target["expr"], known)
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
