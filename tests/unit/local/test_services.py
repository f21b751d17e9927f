"""Probes against real servers; what the four processes are told."""

import http.server
import threading
from pathlib import Path
from typing import Any

import pytest

from symbiont.local import ports, services
from symbiont.local.home import Home


def test_grpc_ready(suite: Any) -> None:
    assert services.grpc_ready(suite.address)
    suite.set_serving(False)
    assert not services.grpc_ready(suite.address)
    suite.stop()
    assert not services.grpc_ready(suite.address)


class _Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 400)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_http_ready() -> None:
    with http.server.HTTPServer((ports.HOST, 0), _Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://{ports.HOST}:{server.server_port}"
        assert services.http_ready(f"{url}/ready")
        assert not services.http_ready(f"{url}/other")
        server.shutdown()
        thread.join()
    assert not services.http_ready(f"{url}/ready")


def test_processes_know_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(installation: Any, **options: Any) -> tuple[list[str], dict[str, str]]:
        return ["tritonserver", str(options["grpc_port"])], {"LD_LIBRARY_PATH": "x"}

    monkeypatch.setattr(services, "find_triton", lambda where: where)
    monkeypatch.setattr(services.launcher, "command", command)
    home, chosen = Home(tmp_path), services.Ports({**services.DEFAULT_PORTS, "training": 6000})
    assert chosen.moved() == {"training": 6000}
    specs = {spec.name: spec for spec in services.process_specs(home, chosen)}
    assert tuple(specs) == services.NAMES
    commands = {name: spec.command() for name, spec in specs.items()}
    inference, training, triton = commands["inference"][1], commands["training"][1], commands["triton"]
    assert inference["SYMBIONT_TRAINING_ADDRESS"] == training["SYMBIONT_ADDRESS"] == "127.0.0.1:6000"
    assert inference["SYMBIONT_TRITON_ADDRESS"] == "127.0.0.1:8001"
    assert inference["SYMBIONT_METRICS_ADDRESS"] == "127.0.0.1:9103"
    assert training["SYMBIONT_DATABASE_URL"] == f"sqlite:////{str(tmp_path)[1:]}/symbiont.db"
    assert training["SYMBIONT_STATE_ROOT"] == str(tmp_path / "jobs")
    keys = {"SYMBIONT_ENCRYPTION": "on", "SYMBIONT_MASTER_KEY": f"file:{tmp_path / 'master.key'}"}
    assert triton == (["tritonserver", "8001"], {"LD_LIBRARY_PATH": "x", **keys})
    assert all(c[1].items() >= keys.items() for c in commands.values())
    assert {c[1]["SYMBIONT_ARTIFACT_ROOT"] for n, c in commands.items() if n != "triton"} == {
        str(tmp_path / "artifacts")
    }
    assert [name for name, spec in specs.items() if spec.keep_children] == ["training"]


@pytest.mark.parametrize("named", ["/elsewhere", "s3://bucket/prefix"])
def test_a_home_has_its_own_artifacts_unless_the_environment_names_an_object_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("SYMBIONT_ARTIFACT_ROOT", named)
    assert Home(tmp_path).artifact_root == (named if "://" in named else str(tmp_path / "artifacts"))
