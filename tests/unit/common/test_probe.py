"""The health probe, against a real server on loopback."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from symbiont.common import probe


@pytest.fixture
def servicer() -> health.HealthServicer:
    return health.HealthServicer()


@pytest.fixture
def address(servicer: health.HealthServicer) -> Iterator[str]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_serving_is_success(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([address]) == 0
    assert capsys.readouterr().out == "SERVING\n"


def test_not_serving_is_failure(
    address: str, servicer: health.HealthServicer, capsys: pytest.CaptureFixture[str]
) -> None:
    servicer.set("a.Service", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert probe.main([address, "a.Service"]) == 1
    assert capsys.readouterr().out == "NOT_SERVING\n"


def test_an_unknown_service_is_failure(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([address, "b.Service"]) == 1
    assert capsys.readouterr().out == "NOT_FOUND\n"


def test_no_server_is_failure(capsys: pytest.CaptureFixture[str]) -> None:
    # Port 1 of the loopback refuses at once.
    assert probe.main(["127.0.0.1:1", "--timeout", "5"]) == 1
    assert capsys.readouterr().out == "UNAVAILABLE\n"


def test_help_names_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        probe.main(["--help"])
    assert end.value.code == 0
    assert "address" in capsys.readouterr().out
