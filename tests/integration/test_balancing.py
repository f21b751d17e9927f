"""Calls of one client are divided among the services behind one name, as k8s/README.md has it for headless Services."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.names import name_server
from support.service import ServiceProcess, free_port
from support.waiting import until_sync
from symbiont.api.tokenization.v1 import tokenization_pb2, tokenization_pb2_grpc
from symbiont.common.security.suite import CLIENT, SuiteCertificates

PAGE = Path(__file__).parents[2] / "k8s/README.md"
TARGET = "dns:///inference.symbiont:50053"
FILES = "/etc/symbiont/tls"
CALLS = 40


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def certificates(tmp_path: Path) -> SuiteCertificates:
    made = SuiteCertificates(tmp_path / "tls")
    made.prepare(["services.test"])
    return made


@pytest.fixture
def start(tmp_path: Path, port: int, certificates: SuiteCertificates) -> Iterator[Callable[[str], ServiceProcess]]:
    """Starts a service at an address of this machine, and the port that all of them have."""
    started: list[ServiceProcess] = []

    def one(host: str) -> ServiceProcess:
        folder = tmp_path / host
        folder.mkdir()
        own = {name.removeprefix("SYMBIONT_").lower(): v for name, v in certificates.variables("tokenization").items()}
        settings = {"address": f"{host}:{port}", "artifact_root": tmp_path, "max_connection_age_seconds": 1, **own}
        started.append(ServiceProcess("tokenization", folder, **settings))
        return started[-1].start()

    yield one
    for service in started:
        service.end()


@pytest.fixture
def channel_to(tmp_path: Path, certificates: SuiteCertificates) -> Iterator[Callable[[str], grpc.Channel]]:
    """Opens the channel of the page to another target."""
    opened: list[grpc.Channel] = []
    for name, path in zip(("ca.crt", "tls.crt", "tls.key"), certificates.of(CLIENT).files(), strict=True):
        (tmp_path / name).write_bytes(path.read_bytes())

    def to(target: str) -> grpc.Channel:
        (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        assert TARGET in snippet
        assert FILES in snippet
        names: dict[str, Any] = {}
        exec(snippet.replace(TARGET, target).replace(FILES, str(tmp_path)), names)
        opened.append(names["channel"])
        return opened[-1]

    yield to
    for channel in opened:
        channel.close()


def ask(channel: grpc.Channel) -> None:
    request = tokenization_pb2.ListTokenizersRequest()
    tokenization_pb2_grpc.TokenizationServiceStub(channel).ListTokenizers(request, timeout=60, wait_for_ready=True)


def asked(service: ServiceProcess) -> float:
    """How many calls a service has answered."""
    text = httpx.get(f"http://{service.metrics_address}/metrics", trust_env=False).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "symbiont_rpc_seconds_count" and sample.labels["rpc"].endswith("ListTokenizers")
    )


def test_services_that_come_and_go_get_their_part(
    start: Callable[[str], ServiceProcess], channel_to: Callable[[str], grpc.Channel], port: int
) -> None:
    first, second = start("127.0.0.1"), start("127.0.0.2")
    addresses = ["127.0.0.1", "127.0.0.2"]
    with name_server(addresses) as server:
        channel = channel_to(f"dns://{server}/services.test:{port}")
        # The first calls may come before the second connection.
        until_sync(lambda: ask(channel) or (asked(first) > 0 and asked(second) > 0), 30)
        before = asked(first), asked(second)
        for _ in range(CALLS):
            ask(channel)
        assert min(asked(first) - before[0], asked(second) - before[1]) >= CALLS / 4
        # A new one is found though all connections are well: they end when they are a second old.
        third = start("127.0.0.3")
        addresses.append("127.0.0.3")
        until_sync(lambda: ask(channel) or asked(third) > 0, 60)
        addresses.remove("127.0.0.1")
        first.stop()
        for _ in range(CALLS):
            ask(channel)
            time.sleep(0.01)
        assert asked(third) > CALLS / 4
