"""The rules: they ask for what there is, each alert has a page, and promtool sees it fire and stay silent."""

import importlib.util
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from support.prometheus import DEPLOY, HINT, RULES, faster, find
from support.promql import check, known_metrics, rules
from symbiont.common.settings import PREFIX
from symbiont.inference.metrics import REASONS
from symbiont.inference.settings import InferenceSettings
from symbiont.tokenization.metrics import REASONS as TOKENIZATION_REASONS
from symbiont.tokenization.settings import TokenizationSettings
from symbiont.training.settings import TrainingSettings
from symbiont.triton.open_inference import open_inference_pb2

ROOT = Path(__file__).parents[2]
TESTS = sorted((DEPLOY / "tests").glob("*.yml"))
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
PAGES = {path.stem: path.read_text() for path in (ROOT / "deploy/runbooks").glob("*.md") if path.stem != "README"}


@pytest.fixture
def promtool() -> str:
    path = find("promtool")
    if path is None:
        pytest.skip(f"promtool is not installed; {HINT}")
    return path


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_and_the_configuration(promtool: str) -> None:
    run(promtool, "check", "rules", *map(str, RULES))
    for name in ("prometheus.yml", "one-machine.yml"):
        assert f"{len(RULES)} rule files found" in run(promtool, "check", "config", str(DEPLOY / name))


@pytest.mark.parametrize("file", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_stay_silent(promtool: str, file: Path) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", str(file))


def cases() -> list[tuple[str, str, bool]]:
    """File, alert, and whether it is to fire, of every case."""
    found = []
    for path in TESTS:
        document = yaml.safe_load(path.read_text())
        assert document["rule_files"] == [f"../rules/{path.stem.partition('-')[0]}.yml"]
        for group in document["tests"]:
            (case,) = group["alert_rule_test"]
            assert group["name"].startswith(f"{case['alertname']}: ")
            found.append((path.stem, case["alertname"], bool(case["exp_alerts"])))
    return found


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_page_and_cases(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"deploy/runbooks/{alert}.md"
    assert PAGES[alert].startswith(f"# {alert}\n")
    assert {fires for _, name, fires in cases() if name == alert} == {True, False}


def test_there_is_no_page_and_no_case_of_an_alert_that_is_gone() -> None:
    assert PAGES.keys() == ALERTS.keys() == {alert for _, alert, _ in cases()}


def test_rules_name_metrics_and_labels_that_exist() -> None:
    known = known_metrics()
    assert all(check(rule["expr"], known) for rule in rules())


def test_reasons_are_those_of_the_code() -> None:
    for rule in rules():
        for metric, reasons in re.findall(r'(\w+)_refusals_total\{reason=~?"([^"]*)"', rule["expr"]):
            known = TOKENIZATION_REASONS if metric.endswith("tokenization") else REASONS
            assert set(reasons.split("|")) <= set(known)


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_what_there_is(page: str) -> None:
    text = PAGES[page]
    known = known_metrics()
    families = {re.sub(r"_(bucket|sum|count|total|info)$", "", name) for name in known}
    for name in re.findall(r"\bsymbiont_\w+", text):
        assert name in known or re.sub(r"_(bucket|sum|count|total|info)$", "", name) in families, name
    for name in re.findall(r"symbiont:[\w:]+", text):
        assert name in known, name
    settings = TokenizationSettings.model_fields | TrainingSettings.model_fields | InferenceSettings.model_fields
    for name in re.findall(rf"\b{PREFIX}(\w+)", text):
        assert name.lower() in settings, name
    for heading in ("## Look", "## Mend"):
        assert heading in text


def test_kubernetes_has_the_same_rules() -> None:
    """`python deploy/prometheus/kubernetes.py` writes them."""
    spec = importlib.util.spec_from_file_location("kubernetes_rules", DEPLOY / "kubernetes.py")
    assert spec
    assert spec.loader
    written: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    assert written.RESOURCE.read_text() == written.resource()


def test_alertmanager_tells_and_inhibits_of_alerts_that_exist() -> None:
    config = yaml.safe_load((DEPLOY / "alertmanager.yml").read_text())
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])} == receivers
    for rule in config["inhibit_rules"]:
        (source,) = (re.fullmatch(r"alertname = (\w+)", matcher) for matcher in rule["source_matchers"])
        assert source
        assert source[1] in ALERTS
        named, *rest = rule["target_matchers"]
        target = re.fullmatch(r'alertname =~ "(.*)"', named)
        assert target
        for pattern in target[1].split("|"):
            hushed = [alert for alert in ALERTS if re.fullmatch(pattern, alert)]
            assert hushed, pattern
            # What is said of each service is hushed for the one alone that needs what is away.
            each = any("$labels.service" in ALERTS[alert]["annotations"]["summary"] for alert in hushed)
            assert rest == (["service = inference"] if each else [])


def test_what_asks_whether_a_service_lives_is_no_call() -> None:
    """It comes a thousand times an hour, whatever callers do."""
    probes = {
        method.name
        for file in (health_pb2, reflection_pb2, open_inference_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if re.fullmatch(r"Check|Watch|.*(Live|Ready)|ServerReflectionInfo", method.name)
    }
    left_out = 'rpc!~"Check|Watch|ServerLive|ServerReady|ModelReady|ServerReflectionInfo"'
    assert probes == set(left_out.partition('"')[2].rstrip('"').split("|"))
    asked = [rule["expr"] for rule in rules() if rule.get("record", "").startswith("symbiont:rpc_")]
    assert asked
    for expression in asked:
        assert expression.count("symbiont_rpc_seconds_count{") == expression.count(left_out)
        assert "symbiont_rpc_seconds_count[" not in expression


def test_faster_rules_differ_in_their_times_alone() -> None:
    rule = {"alert": "A", "expr": "rate(a[5m:]) > 1 and b[3d] > 2", "for": "2m", "labels": {"severity": "warning"}}
    (group,) = faster({"groups": [{"name": "g", "rules": [rule]}]}, 60)["groups"]
    assert group == {"name": "g", "rules": [{**rule, "expr": "rate(a[5s:]) > 1 and b[4320s] > 2", "for": "2s"}]}
