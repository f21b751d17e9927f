"""The four processes of the suite: what each runs, what it is told, and how it is known to serve."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from symbiont.common.probe import check
from symbiont.common.security.files import Tls
from symbiont.common.security.suite import CLIENT, SuiteCertificates
from symbiont.local import signing
from symbiont.local.child import ProcessSpec
from symbiont.local.encryption import encryption_variables
from symbiont.local.home import Home
from symbiont.local.ports import HOST
from symbiont.triton import launcher
from symbiont.triton.installation import find_triton

TOKENIZATION, TRAINING, TRITON, INFERENCE = "tokenization", "training", "triton", "inference"
NAMES = (TOKENIZATION, TRAINING, TRITON, INFERENCE)
# What may run beside them: see `observers`.
PROMETHEUS, ALERTMANAGER = "prometheus", "alertmanager"
PROBE_TIMEOUT_S = 1.0
# Where Triton sends its spans: it has no OTLP over gRPC, which the services use for `SYMBIONT_TRACING_ENDPOINT`.
TRITON_TRACING_URL = "SYMBIONT_TRITON_TRACING_URL"

DEFAULT_PORTS: dict[str, int] = {
    "tokenization": 50051,
    "training": 50052,
    "inference": 50053,
    "triton": 8001,
    "triton-http": 8000,
    "tokenization-metrics": 9101,
    "training-metrics": 9102,
    "inference-metrics": 9103,
    "triton-metrics": 8002,
}
OBSERVER_PORTS = {PROMETHEUS: 9090, ALERTMANAGER: 9093}
_ALL_PORTS = DEFAULT_PORTS | OBSERVER_PORTS


@dataclass(frozen=True)
class Ports:
    """Port of every listener, keyed as in `DEFAULT_PORTS`, and of the observers that run."""

    of: Mapping[str, int]

    def address(self, name: str) -> str:
        """Returns `host:port` of a process's gRPC; of an observer its HTTP."""
        return f"{HOST}:{self.of[name]}"

    def url(self, name: str) -> str:
        """Returns the URL of an observer."""
        return f"http://{self.address(name)}"

    def metrics_address(self, name: str) -> str:
        """Returns `host:port` of a process's metrics."""
        return f"{HOST}:{self.of[f'{name}-metrics']}"

    def metrics_url(self, name: str) -> str:
        """Returns the URL that Prometheus scrapes."""
        return f"http://{self.metrics_address(name)}/metrics"

    @property
    def metrics_urls(self) -> dict[str, str]:
        """That of each process of the suite."""
        return {name: self.metrics_url(name) for name in NAMES}

    def moved(self) -> dict[str, int]:
        """Returns the listeners that did not get their default port."""
        return {name: port for name, port in self.of.items() if port != _ALL_PORTS[name]}


def process_specs(
    home: Home, ports: Ports, triton: Path | None = None, certificates: SuiteCertificates | None = None
) -> list[ProcessSpec]:
    """Returns what to run, in the order in which it starts.

    Args:
        triton: a tritonserver, or a folder with the nvidia-pytriton wheel in it; by default it is searched for.
        certificates: what the processes show each other; None for a suite that asks nobody.

    Raises:
        FailedPrecondition: there is no Triton that can run; the message says how to get one.
    """
    tokenization, training = ports.address(TOKENIZATION), ports.address(TRAINING)
    controller = {
        "SYMBIONT_DATABASE_URL": f"sqlite:///{home.database}",
        "SYMBIONT_STATE_ROOT": str(home.jobs),
        "SYMBIONT_TOKENIZATION_ADDRESS": tokenization,
        **signing.environment(home),
    }
    predictor = {
        "SYMBIONT_TOKENIZATION_ADDRESS": tokenization,
        "SYMBIONT_TRAINING_ADDRESS": training,
        "SYMBIONT_TRITON_ADDRESS": ports.address(TRITON),
        **{name: value for name, value in signing.environment(home).items() if name != signing.SIGNING_VARIABLE},
    }
    return [
        _service(TOKENIZATION, home, ports, {}, certificates),
        # Training workers outlive their controller: the next one adopts them.
        _service(TRAINING, home, ports, controller, certificates, keep_children=True),
        _triton(home, ports, triton, certificates),
        _service(INFERENCE, home, ports, predictor, certificates),
    ]


def _service(
    name: str,
    home: Home,
    ports: Ports,
    more: Mapping[str, str],
    certificates: SuiteCertificates | None,
    *,
    keep_children: bool = False,
) -> ProcessSpec:
    argv = [sys.executable, "-m", f"symbiont.{name}"]
    own = {
        "SYMBIONT_ADDRESS": ports.address(name),
        "SYMBIONT_METRICS_ADDRESS": ports.metrics_address(name),
        "SYMBIONT_ARTIFACT_ROOT": home.artifact_root,
        "PYTHONUNBUFFERED": "1",
    }
    shown = certificates.variables(name) if certificates else {"SYMBIONT_INSECURE": "true"}
    env = {**os.environ, **own, **encryption_variables(home), **more, **shown}
    return ProcessSpec(
        name=name,
        command=lambda: (argv, env),
        log=home.logs / f"{name}.log",
        ready=partial(grpc_ready, ports.address(name), certificates.of(CLIENT) if certificates else None),
        keep_children=keep_children,
    )


def _triton(home: Home, ports: Ports, where: Path | None, certificates: SuiteCertificates | None) -> ProcessSpec:
    command = partial(
        launcher.command,
        find_triton(where),
        grpc_port=ports.of["triton"],
        http_port=ports.of["triton-http"],
        metrics_port=ports.of["triton-metrics"],
        work_dir=home.root / "triton",
        tracing_url=os.environ.get(TRITON_TRACING_URL, ""),
        tls=certificates.of(TRITON) if certificates else None,
    )
    health = f"http://{HOST}:{ports.of['triton-http']}/v2/health/ready"
    # Now, so that what is missing is said at once and not found out by restarts.
    command()
    variables = encryption_variables(home)

    def sealed_command() -> launcher.Command:
        argv, env = command()
        return launcher.Command(argv, {**env, **variables})

    return ProcessSpec(
        name=TRITON,
        command=sealed_command,
        log=home.logs / "triton.log",
        # Without its HTTP, metrics are what it serves last.
        ready=partial(http_ready, ports.metrics_url(TRITON) if certificates else health),
    )


def grpc_ready(address: str, tls: Tls | None = None) -> bool:
    """Whether a service reports SERVING."""
    return check(address, tls=tls, timeout=PROBE_TIMEOUT_S) == "SERVING"


def http_ready(url: str) -> bool:
    """Whether an HTTP health endpoint answers 200."""
    try:
        return httpx.get(url, timeout=PROBE_TIMEOUT_S, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
