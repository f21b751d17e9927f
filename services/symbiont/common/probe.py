"""Asks a gRPC server for its health: `python -m symbiont.common.probe host:port [service]`.

Container engines that know only commands use it as their health check. Kubernetes has gRPC probes of its own. It shows
the certificate that SYMBIONT_TLS_CERTIFICATE names, where SYMBIONT_TLS_CA is set.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from symbiont.common.security.channels import plain_channel
from symbiont.common.security.files import Tls

_STATUS = health_pb2.HealthCheckResponse.ServingStatus


def check(address: str, service: str = "", timeout: float = 3.0, tls: Tls | None = None) -> str:
    """Returns the serving status by name, or the name of the gRPC status when the question failed.

    Args:
        service: full name of a gRPC service; empty asks for the process as a whole.
        timeout: seconds to connect and answer.
        tls: what the question is asked with; None for a server without TLS.
    """
    request = health_pb2.HealthCheckRequest(service=service)
    with closing(plain_channel(address, (), tls)) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            reply = stub.Check(request, timeout=timeout)  # type: ignore[attr-defined] # the published types omit it
        except grpc.RpcError as exc:
            return str(exc.code().name)
    return _STATUS.Name(reply.status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the status and returns the exit status: 0 when it is SERVING, else 1."""
    parser = argparse.ArgumentParser(prog="python -m symbiont.common.probe", description=__doc__)
    parser.add_argument("address", help="host:port of the gRPC server")
    parser.add_argument("service", nargs="?", default="", help="full name of a gRPC service (default: the process)")
    parser.add_argument("--timeout", type=float, default=3.0, help="seconds to wait for the answer (default: 3)")
    options = parser.parse_args(arguments)
    status = check(options.address, options.service, options.timeout, Tls.from_environment())
    print(status)
    return 0 if status == "SERVING" else 1


if __name__ == "__main__":
    sys.exit(main())
