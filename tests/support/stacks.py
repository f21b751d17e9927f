"""Suites as `symbiont up` runs them, and their callers."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Self
from unittest.mock import patch

from support.forked import ForkedProcess
from support.service import FORK_SERVER, fork_server
from symbiont.cli.target import endpoints_of
from symbiont.client import Client
from symbiont.client.credentials import Credentials
from symbiont.local.child import Child
from symbiont.local.stack import Stack

# By its command.
SERVICES = {(sys.executable, "-m", f"symbiont.{name}"): name for name in ("tokenization", "training", "inference")}


class ForkingChild(Child):
    """A supervised process that is a fork of one which has loaded the service, where it is one of ours."""

    def _launch(
        self, argv: Sequence[str], env: Mapping[str, str], log: BinaryIO
    ) -> "ForkedProcess | subprocess.Popen[bytes]":
        # Here and not in this process's own environment: other threads read that while it would change.
        env = {**env, FORK_SERVER: fork_server().name}
        service = SERVICES.get(tuple(argv))
        forked = service and fork_server(service).fork("service", [], env, log.fileno(), log.fileno())
        return ForkedProcess(forked) if forked else super()._launch(argv, env, log)


class ForkingStack(Stack):
    """A suite whose services and workers are forks of the tests' fork servers: to load all takes longer than to run."""

    def __enter__(self) -> Self:
        # Before the processes that are to be forks of them.
        for service in ("", *SERVICES.values()):
            fork_server(service)
        with patch("symbiont.local.supervisor.Child", ForkingChild):
            return super().__enter__()


# What a benchmark starts: what a user does, unless a test runs it.
BenchmarkStack: type[Stack] = ForkingStack if FORK_SERVER in os.environ else Stack


def calling(stack: Stack, principal: str = "") -> Client:
    """Returns a client with the certificate that the home has for its callers."""
    endpoints, credentials = endpoints_of(stack.record.addresses), Credentials.find(stack.home.root)
    return Client(endpoints, principal=principal, credentials=credentials)
