"""Whose certificate it is: the URI in it, and what a file of the operator's says of that.

A certificate says who somebody is, never what they may be: `spiffe://DOMAIN/service/NAME` is a part of the suite,
`spiffe://DOMAIN/tenant/TENANT/NAME` a caller of a tenant, `spiffe://DOMAIN/client/NAME` one of the installation
itself. Roles of callers stand in a file that maps each identity to them, so that they change without a new certificate.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from symbiont.common.errors import InvalidArgument, PermissionDenied, Unauthenticated
from symbiont.common.principal import Principal, Role, check_principal

ALL = "all"
_PATH = re.compile(r"service/(?P<part>[^/]+)|client/(?P<client>[^/]+)|tenant/(?P<tenant>[^/]+)/(?P<caller>[^/]+)")
WORKER = "worker"
Roles = Mapping[str, frozenset[Role]]


def identity_of(trust_domain: str, *path: str) -> str:
    """Returns the URI of an identity: `identity_of("symbiont", "tenant", "acme", "billing")`.

    Raises:
        InvalidArgument: it is none, for a part of the path is empty or has characters that a name may not have.
    """
    uri = f"spiffe://{trust_domain}/{'/'.join(path)}"
    if not _PATH.fullmatch("/".join(path)):
        raise InvalidArgument("identity", f"{uri} is not service/NAME, client/NAME or tenant/TENANT/NAME")
    return check_principal("identity", uri)


def read_roles(path: Path) -> Roles:
    """Reads the roles of identities, lines like `"spiffe://symbiont/tenant/acme/billing" = ["caller"]`, as TOML.

    Raises:
        InvalidArgument: the file cannot be read, or a role in it is none.
    """
    try:
        return read_roles_of(path.read_text(), path)
    except OSError as exc:
        raise InvalidArgument("identities", f"{path} cannot be read: {exc}") from exc


def read_roles_of(text: str, path: Path) -> Roles:
    """As `read_roles`, of a text; errors name the path."""
    try:
        return {name: _roles(words) for name, words in tomllib.loads(text).items()}
    except ValueError as exc:
        known = ", ".join((ALL, *Role))
        raise InvalidArgument("identities", f"{path} does not map identities to lists of {known}: {exc}") from exc


def _roles(words: object) -> frozenset[Role]:
    if not isinstance(words, list):
        raise ValueError(f"{words!r} is not a list")
    # Parts of the suite act as nobody's and see all names as they are inside: no caller is one.
    return frozenset(Role) - {Role.SERVICE, Role.WORKER} if ALL in words else frozenset(map(Role, words))


def principal_of_uri(uri: str, trust_domain: str, roles: Roles) -> Principal:
    """Returns who an identity is.

    Raises:
        Unauthenticated: it is of another trust domain, or not of a form that this suite knows.
        PermissionDenied: it is a caller without a role.
    """
    domain, _, path = uri.removeprefix("spiffe://").partition("/")
    found = _PATH.fullmatch(path)
    if not uri.startswith("spiffe://") or domain != trust_domain or found is None:
        raise Unauthenticated(
            f"a certificate for {uri!r} names nobody here: spiffe://{trust_domain}/ is followed by service/NAME, "
            "client/NAME or tenant/TENANT/NAME"
        )
    if part := found["part"]:
        return Principal(part, "", frozenset({Role.WORKER if part == WORKER else Role.SERVICE}))
    if not roles.get(uri):
        raise PermissionDenied(f"{uri} has no role: give it some in the file that the setting identities names")
    return Principal(found["client"] or found["caller"], found["tenant"] or "", roles[uri])
