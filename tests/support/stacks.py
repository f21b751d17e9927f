"""Suites as `symbiont up` runs them, and their callers."""

import os
from typing import Self
from unittest.mock import patch

from support.service import FORK_SERVER, fork_server
from symbiont.cli.target import endpoints_of
from symbiont.client import Client
from symbiont.client.credentials import Credentials
from symbiont.local.stack import Stack


class ForkingStack(Stack):
    """A suite whose workers are forks of the tests' fork server: one of its own takes longer than most trainings."""

    def __enter__(self) -> Self:
        with patch.dict(os.environ, {FORK_SERVER: fork_server().name}):
            return super().__enter__()


def calling(stack: Stack, principal: str = "") -> Client:
    """Returns a client with the certificate that the home has for its callers."""
    endpoints, credentials = endpoints_of(stack.record.addresses), Credentials.find(stack.home.root)
    return Client(endpoints, principal=principal, credentials=credentials)
