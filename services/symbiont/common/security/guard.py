"""Decides who makes a call: by a token if there is one, else by the client certificate of its connection."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from symbiont.common.errors import Unauthenticated
from symbiont.common.principal import Principal, Role, principal_of
from symbiont.common.security.certificates import Certificates
from symbiont.common.security.channels import AUTHORIZATION
from symbiont.common.security.tokens import Tokens

_BEARER = "bearer "
# Whoever may open the socket file is who runs the service.
_BESIDE = Principal()


class KnownCallers:
    """Lets everybody on who shows who they are; of whether they may, a `Guard` around it decides."""

    def __init__(self, certificates: Certificates, tokens: Tokens | None = None) -> None:
        self._certificates = certificates
        self._tokens = tokens

    def admit(self, method: str, context: Any) -> Principal:
        """See `Guard`."""
        metadata = context.invocation_metadata() or ()
        if (token := _bearer(metadata)) is not None:
            return self._by_token(token)
        if str(context.peer()).startswith("unix:"):
            principal = _BESIDE
        else:
            principal = self._certificates.principal(context.auth_context())
        return _in_name_of(principal, metadata)

    def _by_token(self, token: str) -> Principal:
        if self._tokens is None:
            raise Unauthenticated("no issuer of tokens is believed here: set token_issuer, or show a certificate")
        return self._tokens.principal(token)


def _bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    said = next((value for key, value in metadata if key == AUTHORIZATION), None)
    if said is None:
        return None
    if not isinstance(said, str) or not said.lower().startswith(_BEARER):
        raise Unauthenticated(f"the metadata {AUTHORIZATION} must be `Bearer` and a token")
    return said[len(_BEARER) :].strip()


def _in_name_of(principal: Principal, metadata: Iterable[tuple[str, str | bytes]]) -> Principal:
    """Who runs the suite for all may say for whom: people who share a machine's certificate sign with their names."""
    if Role.OPERATOR not in principal.roles:
        return principal
    return replace(principal, name=named) if (named := principal_of(metadata)) else principal
