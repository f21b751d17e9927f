"""The compose file: it says what the code's own settings say, and keeps to the machine that it runs on."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from symbiont.common.settings import ServiceSettings, split_address

ROOT = Path(__file__).parents[2]
SERVICES = ("tokenization", "training", "inference")
PARTS = (*SERVICES, "triton")
Document = dict[str, Any]


def test_it_holds_the_suite_and_its_observers(compose: Document) -> None:
    assert compose["services"].keys() == {*PARTS, "certificates", "prometheus", "alertmanager", "grafana"}


@pytest.mark.parametrize("part", PARTS)
def test_images_are_built_from_the_target_of_that_name(
    part: str, compose: Document, version: str, stages: dict[str, str]
) -> None:
    service = compose["services"][part]
    assert service["image"] == f"symbiont/{part}:{version}"
    assert service["build"]["target"] == part
    assert part in stages
    context = ROOT / "deploy" / service["build"]["context"]
    assert (context / service["build"]["dockerfile"]).resolve() == ROOT / "deploy/Dockerfile"
    # Triton's has its flags of TLS beside those of the image.
    assert not service.keys() & ({"entrypoint"} if part == "triton" else {"command", "entrypoint"})


def test_metrics_of_triton_are_where_others_reach_them(
    compose: Document, metrics_address: Callable[[list[str]], str]
) -> None:
    assert metrics_address(compose["services"]["triton"]["command"]) == "0.0.0.0"


@pytest.mark.parametrize("service", SERVICES)
def test_settings_are_fields_and_hold(
    service: str,
    compose: Document,
    read_settings: Callable[[str, dict[str, str]], ServiceSettings],
    ports: dict[str, dict[str, int]],
) -> None:
    environment = compose["services"][service]["environment"]
    settings = read_settings(service, environment)
    assert split_address(settings.address) == ("0.0.0.0", ports[service]["grpc"])
    assert split_address(settings.metrics_address) == ("0.0.0.0", ports[service]["metrics"])
    for key, value in environment.items():
        peer = key.removeprefix("SYMBIONT_").removesuffix("_ADDRESS").lower()
        if peer in PARTS:
            assert value == f"{peer}:{ports[peer]['grpc']}"
        elif peer == "controller":
            assert value == f"127.0.0.1:{ports[service]['grpc']}"


@pytest.mark.parametrize("part", PARTS)
def test_ports_are_those_of_the_settings(part: str, compose: Document, ports: dict[str, dict[str, int]]) -> None:
    service = compose["services"][part]
    reached = {name: port for name, port in ports[part].items() if name != "http"}
    assert set(service["ports"]) == {f"127.0.0.1:{port}:{port}" for port in reached.values()}
    *command, address = service["healthcheck"]["test"]
    assert command[2:] == ["-m", "symbiont.common.probe"]
    alone = service["environment"].get("SYMBIONT_HEALTH_ADDRESS")
    assert address == (alone or f"127.0.0.1:{ports[part]['grpc']}")


def test_nothing_listens_beyond_the_machine(compose: Document) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_every_container_has_no_more_rights_than_it_needs(compose: Document) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["tmpfs"] or any(volume.endswith(":/tmp") for volume in service["volumes"]), name
        assert not service.keys() & {"privileged", "network_mode", "pid", "cap_add"}, name


def test_only_pinned_images_are_pulled(compose: Document) -> None:
    for service in compose["services"].values():
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_killed_while_it_drains(part: str, compose: Document, stages: dict[str, str]) -> None:
    service = compose["services"][part]
    if part == "triton":
        drain = float(stages["triton"].split("--exit-timeout-secs=")[1].split('"')[0])
    else:
        drain = float(service["environment"]["SYMBIONT_DRAIN_SECONDS"])
    assert float(service["stop_grace_period"].removesuffix("s")) >= drain + 10


def test_mounts_exist_and_triton_only_reads_artifacts(compose: Document) -> None:
    for name, service in compose["services"].items():
        for mount in service["volumes"]:
            source, target, *mode = mount.split(":")
            if source.startswith("."):
                assert (ROOT / "deploy" / source).exists(), mount
                assert mode == ["ro"], mount
            else:
                assert source in compose["volumes"], mount
            if source == "artifacts":
                assert target == service.get("environment", {}).get("SYMBIONT_ARTIFACT_ROOT", target)
                assert mode == (["ro"] if name == "triton" else []), mount


def test_the_state_of_training_outlives_its_container(compose: Document) -> None:
    training = compose["services"]["training"]
    folder = next(m.split(":")[1] for m in training["volumes"] if m.startswith("state:"))
    assert training["environment"]["SYMBIONT_STATE_ROOT"].startswith(f"{folder}/")
    assert training["environment"]["SYMBIONT_DATABASE_URL"].startswith(f"sqlite:///{folder}/")


def test_kubernetes_sets_whatever_compose_sets(compose: Document, render: Callable[[Path], list[Document]]) -> None:
    maps = [d for d in render(ROOT / "k8s/base") if d["kind"] == "ConfigMap"]
    for service in SERVICES:
        (data,) = (d["data"] for d in maps if d["metadata"]["name"].rpartition("-")[0] == service)
        assert data.keys() >= compose["services"][service]["environment"].keys()
