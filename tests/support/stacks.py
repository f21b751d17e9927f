"""Callers of a suite as `symbiont up` runs it."""

from symbiont.cli.target import endpoints_of
from symbiont.client import Client
from symbiont.client.credentials import Credentials
from symbiont.local.stack import Stack


def calling(stack: Stack, principal: str = "") -> Client:
    """Returns a client with the certificate that the home has for its callers."""
    endpoints, credentials = endpoints_of(stack.record.addresses), Credentials.find(stack.home.root)
    return Client(endpoints, principal=principal, credentials=credentials)
