"""Callers who show a bearer token: a JWT of an OpenID Connect issuer (RFC 7519, RFC 9068)."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt

from symbiont.common.errors import PermissionDenied, Unauthenticated, Unavailable
from symbiont.common.lru import Lru
from symbiont.common.principal import LONGEST, Principal, Role
from symbiont.common.security.issuer import Issuer, Keys

# Only such whose public half cannot sign.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
# What an issuer cannot give: who is a part of this suite it does not know.
_OWN = frozenset({Role.SERVICE, Role.WORKER})
_KEPT = 10_000
LONGEST_TOKEN = 8 << 10


@dataclass(frozen=True)
class TokenRules:
    """Which tokens are believed, and where they say whose they are.

    Attributes:
        audience: one of those that a token must be for.
        algorithms: of `ALGORITHMS`.
        clock_skew_s: how far the issuer's clock may be from this one's.
        subject, tenant, roles: claims; a dot leads into an object, as in Keycloak's `realm_access.roles`.
        role_names: what the issuer calls a role, where that is not the suite's own word for it.
    """

    audience: str
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    clock_skew_s: float = 30.0
    subject: str = "sub"
    tenant: str = "tenant"
    roles: str = "roles"
    role_names: Mapping[str, Role] | None = None


class _Verified(NamedTuple):
    principal: Principal
    until: float


class Tokens:
    """Knows callers by their tokens; one that was verified is known until it expires. Lives on one event loop."""

    def __init__(self, issuer: Issuer, rules: TokenRules, clock: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._rules = rules
        self._clock = clock
        self._verified: Lru[str, _Verified] = Lru(_KEPT)
        self._by_id: Mapping[str, jwt.PyJWK] = {}

    def principal(self, token: str) -> Principal:
        """Returns whose token it is.

        Raises:
            Unauthenticated: it is not believed; the message says why.
            PermissionDenied: it is, and says no role.
            Unavailable: the issuer's keys, or this one, have to be fetched first.
        """
        keys = self._issuer.keys
        if keys.by_id is not self._by_id:
            # What a key that is shown no more has signed is not believed any longer.
            self._by_id, self._verified = keys.by_id, Lru(_KEPT)
        known = self._verified.get(token)
        if known is None or self._clock() >= known.until:
            known = self._verify(token, keys)
            self._verified.put(token, known)
        return known.principal

    def _verify(self, token: str, keys: Keys) -> _Verified:
        if len(token) > LONGEST_TOKEN:
            raise Unauthenticated(f"the token has more than {LONGEST_TOKEN} characters")
        try:
            claims = jwt.decode(
                token,
                self._key(token, keys),
                algorithms=list(self._rules.algorithms),
                audience=self._rules.audience,
                issuer=self._issuer.url,
                leeway=self._rules.clock_skew_s,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as exc:
            raise Unauthenticated(f"the token is not believed: {exc}") from exc
        return _Verified(self._principal(claims), float(claims["exp"]) + self._rules.clock_skew_s)

    def _key(self, token: str, keys: Keys) -> jwt.PyJWK:
        header = jwt.get_unverified_header(token)
        # Before any key is looked for, so that a token that could never be believed makes nobody fetch keys.
        if header.get("alg") not in self._rules.algorithms:
            raise jwt.InvalidAlgorithmError(f"it is signed by {header.get('alg')}, which the settings do not allow")
        identifier = str(header.get("kid", ""))
        if (key := keys.by_id.get(identifier)) is None:
            if self._issuer.want(identifier):
                raise Unavailable("the key of the token is not known yet, and is being asked for: try again")
            raise jwt.InvalidKeyError("its issuer has no such key")
        if key.algorithm_name != header["alg"]:
            raise jwt.InvalidAlgorithmError(f"its key is for {key.algorithm_name}, not for {header['alg']}")
        return key

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        rules = self._rules
        name, tenant = _text(claims, rules.subject), _text(claims, rules.tenant, "")
        roles = frozenset(self._roles(_at(claims, rules.roles)))
        if not roles:
            raise PermissionDenied(f"the token says no role of this suite in its claim {rules.roles}")
        return Principal(name, tenant, roles)

    def _roles(self, said: Any) -> Iterable[Role]:
        words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        names = self._rules.role_names
        for word in words:
            with suppress(ValueError, KeyError):
                role = Role(word) if names is None else names[word]
                if role not in _OWN:
                    yield role


def _at(claims: Any, path: str) -> Any:
    for part in path.split("."):
        claims = claims.get(part) if isinstance(claims, Mapping) else None
    return claims


def _text(claims: Mapping[str, Any], path: str, default: str | None = None) -> str:
    value = _at(claims, path)
    value = default if value is None else value
    if not isinstance(value, str) or len(value) > LONGEST or not (value.isascii() and value.isprintable()):
        raise Unauthenticated(f"the token's claim {path} must be a text of at most {LONGEST} printable characters")
    if default is None and not value:
        raise Unauthenticated(f"the token's claim {path} must say whose it is")
    return value
