"""Callers who show a certificate."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from symbiont.common.errors import InvalidArgument, Unauthenticated
from symbiont.common.log import get_logger
from symbiont.common.lru import Lru
from symbiont.common.principal import Principal
from symbiont.common.security.identity import Roles, principal_of_uri, read_roles

_CERTIFICATE = "x509_pem_cert"
_KEPT = 10_000
_LOOK_S = 1.0


class _Shown(NamedTuple):
    """What a certificate says."""

    uri: str
    not_after: float


class Certificates:
    """Knows callers by the certificates that gRPC has verified. Lives on one event loop."""

    def __init__(
        self, trust_domain: str, identities: Path | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """Reads the roles of identities, which are read again when the file changes; raises as `read_roles` does."""
        self._trust_domain = trust_domain
        self._path = identities
        self._clock = clock
        self._shown: Lru[bytes, _Shown] = Lru(_KEPT)
        self._known: dict[str, Principal] = {}
        self._modified = _modified(identities)
        self._roles: Roles = read_roles(identities) if identities else {}
        self._looked = clock()

    def principal(self, verified: Mapping[str, Sequence[bytes]]) -> Principal:
        """Returns whose certificate it is.

        Args:
            verified: what gRPC says of a connection (`auth_context`).

        Raises:
            Unauthenticated: there is none, it has expired since the connection was made, or it names nobody.
            PermissionDenied: see `principal_of_uri`.
        """
        if not (pem := verified.get(_CERTIFICATE)):
            raise Unauthenticated("this call shows neither a client certificate nor a token: it must have one")
        now = self._clock()
        if now - self._looked >= _LOOK_S:
            self._look(now)
        shown = self._shown.get(pem[0])
        if shown is None:
            shown = _read(pem[0])
            self._shown.put(pem[0], shown)
        if now >= shown.not_after:
            raise Unauthenticated("the client certificate of this connection has expired: connect with a new one")
        return self._known.get(shown.uri) or self._know(shown.uri)

    def _know(self, uri: str) -> Principal:
        principal = principal_of_uri(uri, self._trust_domain, self._roles)
        self._known[uri] = principal
        return principal

    def _look(self, now: float) -> None:
        self._looked = now
        if self._path is None or (modified := _modified(self._path)) == self._modified:
            return
        self._modified = modified
        try:
            self._roles = read_roles(self._path)
        except InvalidArgument as exc:
            get_logger().warning("changed identities are not used", error=str(exc))
        self._known.clear()


def _read(pem: bytes) -> _Shown:
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    if len(uris) != 1:
        raise Unauthenticated("the client certificate must have exactly one URI among its subject's alternative names")
    return _Shown(uris[0], certificate.not_valid_after_utc.timestamp())


def _modified(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns if path else 0
    except OSError:
        return 0
