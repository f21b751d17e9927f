"""Traces in compose and Kubernetes: the settings exist, and Triton gets the flags of its image and those of traces."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from symbiont.common.settings import ServiceSettings, split_address
from symbiont.triton.launcher import tracing_arguments

ROOT = Path(__file__).parents[2]
SERVICES = ("tokenization", "training", "inference")
GRPC, HTTP = 4317, 4318
Document = dict[str, Any]


@pytest.fixture
def traced() -> Document:
    document: Document = yaml.safe_load((ROOT / "deploy/compose.tracing.yaml").read_text())["services"]
    return document


@pytest.fixture
def component() -> Document:
    document: Document = yaml.safe_load((ROOT / "k8s/components/tracing/kustomization.yaml").read_text())
    return document


@pytest.fixture
def command(stages: dict[str, str]) -> list[str]:
    """What the image starts by itself."""
    found = re.search(r"^CMD (\[.*\])$", stages["triton"], flags=re.MULTILINE)
    assert found
    argv: list[str] = json.loads(found[1])
    return argv


def settings_of_component() -> dict[str, str]:
    lines = (ROOT / "k8s/components/tracing/settings.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("service", SERVICES)
def test_the_services_of_compose_send_to_the_collector_of_compose(
    service: str, traced: Document, compose: Document, read_settings: Callable[[str, dict[str, str]], ServiceSettings]
) -> None:
    usual = compose["services"][service]["environment"]
    settings = read_settings(service, usual | traced[service]["environment"])
    assert split_address(settings.tracing_endpoint) == ("jaeger", GRPC)
    assert settings.tracing_sample_ratio == 1


def test_triton_of_compose_is_started_as_without_traces(
    traced: Document, compose: Document, command: list[str]
) -> None:
    usual = compose["services"]["triton"]["command"]
    assert usual[: len(command)] == command
    assert traced["triton"]["command"] == [*usual, *tracing_arguments(f"http://jaeger:{HTTP}/v1/traces")]


def test_what_compose_adds_has_no_more_rights_than_the_rest(traced: Document, compose: Document) -> None:
    (added,) = traced.keys() - compose["services"].keys()
    for key in ("read_only", "cap_drop", "security_opt", "tmpfs"):
        assert traced[added][key] == compose["services"]["prometheus"][key]
    assert all(port.startswith("127.0.0.1:") for port in traced[added]["ports"])


def test_triton_of_the_component_gets_the_flags_of_traces(component: Document) -> None:
    (patch,) = component["patches"]
    operations = yaml.safe_load(patch["patch"])
    host, port = split_address(settings_of_component()["SYMBIONT_TRACING_ENDPOINT"])
    assert port == GRPC
    assert all(operation["path"].endswith("/containers/0/args/-") for operation in operations)
    added = [operation["value"] for operation in operations]
    assert added == tracing_arguments(f"http://{host}:{HTTP}/v1/traces")


def test_policies_let_spans_out_to_the_collector() -> None:
    text = (ROOT / "k8s/components/network-policies/outside.yaml").read_text()
    (policy,) = (d for d in yaml.safe_load_all(text) if d["metadata"]["name"] == "traces")
    (rule,) = policy["spec"]["egress"]
    (peer,) = rule["to"]
    host, _ = split_address(settings_of_component()["SYMBIONT_TRACING_ENDPOINT"])
    assert host.endswith("." + peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
    assert {port["port"] for port in rule["ports"]} == {GRPC, HTTP}
