"""The keys of an OpenID Connect issuer: fetched in the background, so that no call waits for them.

OpenID Connect Discovery 1.0, section 4: `{issuer}/.well-known/openid-configuration` names the document of keys, a JWK
Set (RFC 7517).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt

from symbiont.common.errors import Unavailable
from symbiont.common.log import get_logger
from symbiont.common.lru import Lru

# An issuer shows a new key before it signs with it; what it shows no more is not believed any longer than this.
REFRESH_S = 300.0
# However many tokens name keys that nobody has: between two fetches.
LEAST_S = 5.0
_MISSING = 1_000
TIMEOUT_S = 5.0
MOST_BYTES = 1 << 20
_ASYMMETRIC = ("RSA", "EC", "OKP")


@dataclass(frozen=True, eq=False)
class Keys:
    """Public keys by their ids, and when it was begun to fetch them; `by_id` is one object while they are the same."""

    by_id: Mapping[str, jwt.PyJWK]
    fetched: float


class Issuer:
    """Keeps the keys of an issuer. Lives on one event loop."""

    def __init__(
        self,
        url: str,
        ca: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        refresh_s: float = REFRESH_S,
        least_s: float = LEAST_S,
    ) -> None:
        """`ca` are the authorities of the issuer's certificate, in PEM; by default those of the system."""
        self.url = url
        self._ca = ca
        self._clock = clock
        self._refresh_s = refresh_s
        self._least_s = least_s
        # When a key that is not there was first asked for.
        self._missing: Lru[str, float] = Lru(_MISSING)
        self._keys: Keys | None = None
        self._shown: Any = None
        self._wanted = asyncio.Event()
        self._problem = ""

    @property
    def keys(self) -> Keys:
        """The keys as they were last seen; raises Unavailable before they were."""
        if self._keys is None:
            self._wanted.set()
            raise Unavailable(f"the keys of {self.url} are not there yet, so that no token can be checked: try again")
        return self._keys

    def want(self, identifier: str) -> bool:
        """Asks for a key that is not there; False where the issuer has been asked since, and does not show it."""
        now, since = self._clock(), self._missing.get(identifier)
        if since is None or now - since > self._refresh_s:
            since = now
            self._missing.put(identifier, now)
        if self._keys and self._keys.fetched > since:
            return False
        self._wanted.set()
        return True

    async def follow(self) -> None:
        """Fetches the keys, again and again, until it is cancelled."""
        verify = httpx.create_ssl_context(verify=str(self._ca)) if self._ca else True
        async with httpx.AsyncClient(timeout=TIMEOUT_S, verify=verify, trust_env=False) as client:
            while True:
                self._wanted.clear()
                await self._fetch(client)
                await asyncio.sleep(self._least_s)
                await self._until_wanted()

    async def _until_wanted(self) -> None:
        try:
            async with asyncio.timeout(self._refresh_s):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def _fetch(self, client: httpx.AsyncClient) -> None:
        begun = self._clock()
        try:
            shown = await self._read(client)
            if shown != self._shown or self._keys is None:
                self._keys, self._shown = Keys(_public(shown), begun), shown
                get_logger().info("keys of the issuer", issuer=self.url, keys=sorted(self._keys.by_id))
            else:
                self._keys = Keys(self._keys.by_id, begun)
            self._problem = ""
        except (httpx.HTTPError, ValueError, KeyError, TypeError, jwt.PyJWTError) as exc:
            self._complain(f"{type(exc).__name__}: {exc}")

    async def _read(self, client: httpx.AsyncClient) -> Any:
        described = await _json(client, f"{self.url.rstrip('/')}/.well-known/openid-configuration")
        if described["issuer"] != self.url:
            raise ValueError(f"its document is that of the issuer {described['issuer']}")
        return await _json(client, check_url(described["jwks_uri"]))

    def _complain(self, problem: str) -> None:
        # Said once: an issuer that is away for an hour must not fill the log.
        if problem != self._problem:
            get_logger().warning("keys of the issuer cannot be fetched", issuer=self.url, error=problem)
        self._problem = problem


def check_url(url: str) -> str:
    """Returns the URL of an issuer, or of its keys.

    Raises:
        ValueError: it is not https, which what lies on this machine need not be.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")):
        return url
    raise ValueError(f"{url} must begin with https://: whoever answers in its place could make tokens")


async def _json(client: httpx.AsyncClient, url: str) -> Any:
    response = await client.get(url)
    response.raise_for_status()
    if len(response.content) > MOST_BYTES:
        raise ValueError(f"{url} has {len(response.content)} bytes, more than keys have")
    return response.json()


def _public(shown: Any) -> dict[str, jwt.PyJWK]:
    """Returns the keys that sign: a secret that both sides have is none, and not believed if it is shown."""
    signing = [key for key in shown["keys"] if key.get("kty") in _ASYMMETRIC and key.get("use", "sig") == "sig"]
    return {key.get("kid", ""): jwt.PyJWK(key) for key in signing}
