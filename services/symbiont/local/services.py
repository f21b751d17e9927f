"""The four processes of the suite: what each runs, what it is told, and how it is known to serve."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.local import keys
from symbiont.local.child import ProcessSpec
from symbiont.local.home import Home
from symbiont.local.ports import HOST
from symbiont.triton import launcher
from symbiont.triton.installation import find_triton

TOKENIZATION, TRAINING, TRITON, INFERENCE = "tokenization", "training", "triton", "inference"
NAMES = (TOKENIZATION, TRAINING, TRITON, INFERENCE)
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


@dataclass(frozen=True)
class Ports:
    """Port of every listener, keyed as in `DEFAULT_PORTS`."""

    of: Mapping[str, int]

    def address(self, name: str) -> str:
        """Returns `host:port` of a process's gRPC."""
        return f"{HOST}:{self.of[name]}"

    def metrics_address(self, name: str) -> str:
        """Returns `host:port` of a process's metrics."""
        return f"{HOST}:{self.of[f'{name}-metrics']}"

    def metrics_url(self, name: str) -> str:
        """Returns the URL that Prometheus scrapes."""
        return f"http://{self.metrics_address(name)}/metrics"

    def moved(self) -> dict[str, int]:
        """Returns the listeners that did not get their default port."""
        return {name: port for name, port in self.of.items() if port != DEFAULT_PORTS[name]}


def process_specs(home: Home, ports: Ports, triton: Path | None = None) -> list[ProcessSpec]:
    """Returns what to run, in the order in which it starts.

    Args:
        triton: a tritonserver, or a folder with the nvidia-pytriton wheel in it; by default it is searched for.

    Raises:
        FailedPrecondition: there is no Triton that can run; the message says how to get one.
    """
    tokenization, training = ports.address(TOKENIZATION), ports.address(TRAINING)
    controller = {
        "SYMBIONT_DATABASE_URL": f"sqlite:///{home.database}",
        "SYMBIONT_STATE_ROOT": str(home.jobs),
        "SYMBIONT_TOKENIZATION_ADDRESS": tokenization,
        **keys.environment(home),
    }
    predictor = {
        "SYMBIONT_TOKENIZATION_ADDRESS": tokenization,
        "SYMBIONT_TRAINING_ADDRESS": training,
        "SYMBIONT_TRITON_ADDRESS": ports.address(TRITON),
        **{name: value for name, value in keys.environment(home).items() if name != keys.SIGNING_VARIABLE},
    }
    return [
        _service(TOKENIZATION, home, ports, {}),
        # Training workers outlive their controller: the next one adopts them.
        _service(TRAINING, home, ports, controller, keep_children=True),
        _triton(home, ports, triton),
        _service(INFERENCE, home, ports, predictor),
    ]


def _service(
    name: str, home: Home, ports: Ports, more: Mapping[str, str], *, keep_children: bool = False
) -> ProcessSpec:
    argv = [sys.executable, "-m", f"symbiont.{name}"]
    own = {
        "SYMBIONT_ADDRESS": ports.address(name),
        "SYMBIONT_METRICS_ADDRESS": ports.metrics_address(name),
        "SYMBIONT_ARTIFACT_ROOT": home.artifact_root,
        "PYTHONUNBUFFERED": "1",
    }
    env = {**os.environ, **own, **more}
    return ProcessSpec(
        name=name,
        command=lambda: (argv, env),
        log=home.logs / f"{name}.log",
        ready=partial(grpc_ready, ports.address(name)),
        keep_children=keep_children,
    )


def _triton(home: Home, ports: Ports, where: Path | None) -> ProcessSpec:
    command = partial(
        launcher.command,
        find_triton(where),
        grpc_port=ports.of["triton"],
        http_port=ports.of["triton-http"],
        metrics_port=ports.of["triton-metrics"],
        work_dir=home.root / "triton",
        tracing_url=os.environ.get(TRITON_TRACING_URL, ""),
    )
    # Now, so that what is missing is said at once and not found out by restarts.
    command()
    return ProcessSpec(
        name=TRITON,
        command=command,
        log=home.logs / "triton.log",
        ready=partial(http_ready, f"http://{HOST}:{ports.of['triton-http']}/v2/health/ready"),
    )


def grpc_ready(address: str) -> bool:
    """Whether a service reports SERVING."""
    try:
        with grpc.insecure_channel(address) as channel:
            check: Callable[..., health_pb2.HealthCheckResponse] = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            return check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_S).status == (
                health_pb2.HealthCheckResponse.SERVING
            )
    except grpc.RpcError:
        return False


def http_ready(url: str) -> bool:
    """Whether an HTTP health endpoint answers 200."""
    try:
        return httpx.get(url, timeout=PROBE_TIMEOUT_S, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
