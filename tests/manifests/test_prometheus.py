"""The scrape files: one job for each part, at the port where that part serves its metrics."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from symbiont.common.settings import split_address
from symbiont.local.observers import RETENTION
from symbiont.local.services import DEFAULT_PORTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("file", "loopback"), [("prometheus.yml", False), ("one-machine.yml", True)])
def test_each_part_is_scraped_where_it_serves(file: str, loopback: bool, ports: dict[str, dict[str, int]]) -> None:
    document = yaml.safe_load((ROOT / "deploy/prometheus" / file).read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in document["scrape_configs"]}
    assert targets.keys() == ports.keys()
    for part, (address,) in targets.items():
        assert split_address(address) == ("127.0.0.1" if loopback else part, ports[part]["metrics"])


def test_the_local_run_listens_where_one_machine_is_scraped(ports: dict[str, dict[str, int]]) -> None:
    for part, of in ports.items():
        assert DEFAULT_PORTS[part] == of["grpc"]
        assert DEFAULT_PORTS[f"{part}-metrics"] == of["metrics"]


def test_compose_mounts_the_file_and_grafana_asks_that_server(compose: dict[str, Any]) -> None:
    (file, *_), *_ = (volume.split(":") for volume in compose["services"]["prometheus"]["volumes"])
    assert file == "./prometheus/prometheus.yml"
    provisioning = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yaml"
    (datasource,) = yaml.safe_load(provisioning.read_text())["datasources"]
    (published,) = compose["services"]["prometheus"]["ports"]
    assert datasource["url"] == f"http://prometheus:{published.rpartition(':')[2]}"
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["global"]["scrape_interval"]
    assert datasource["jsonData"]["timeInterval"] == scrape


def test_compose_keeps_what_is_billed_as_one_machine_does(compose: dict[str, Any]) -> None:
    """By itself Prometheus keeps half a month, and `symbiont usage` asks for a whole one."""
    assert f"--storage.tsdb.retention.time={RETENTION}" in compose["services"]["prometheus"]["command"]
    assert int(RETENTION.removesuffix("d")) >= 2 * 31
