"""How a client shows who it is, and knows the services."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc

from symbiont.client.channels import OPTIONS, Endpoints
from symbiont.common.security.channels import aio_channel, plain_channel
from symbiont.common.security.files import Tls
from symbiont.common.security.suite import client_tls


@dataclass(frozen=True)
class Credentials:
    """What the channels of a client are opened with.

    Attributes:
        tls: the authorities of the services, and the caller's own certificate, unless it shows a token; files that
            change are used for the next call. None for services without TLS, which have no address beyond loopback.
        token: returns the bearer token of a call; it is asked for each, so it should keep one for as long as it lasts.
    """

    tls: Tls | None = None
    token: Callable[[], str] | None = None

    def __post_init__(self) -> None:
        if self.token and self.tls is None:
            raise ValueError("a token is sent by TLS alone: give tls with the authorities of the services")

    @classmethod
    def find(cls, home: Path | None = None, environment: Mapping[str, str] = os.environ) -> "Credentials":
        """Returns what the environment names, else the client of the suite on a home; nothing where there is neither.

        `SYMBIONT_TLS_CA`, `SYMBIONT_TLS_CERTIFICATE` and `SYMBIONT_TLS_KEY` name files, and `SYMBIONT_TOKEN_FILE` one
        with a token, which is read again as it changes. `home` is by default what `SYMBIONT_HOME` names, else
        `.symbiont`, and none where `SYMBIONT_INSECURE` is true.
        """
        token = environment.get("SYMBIONT_TOKEN_FILE")
        insecure = environment.get("SYMBIONT_INSECURE", "").lower() in ("1", "true", "yes")
        tls = Tls.from_environment(environment)
        if tls is None and (home or not insecure):
            tls = client_tls(home or Path(environment.get("SYMBIONT_HOME", ".symbiont")))
        return cls(tls, TokenFile(Path(token)) if token else None)

    def channels(self, endpoints: Endpoints) -> list[grpc.Channel]:
        """Opens channels for threads: to training, inference and tokenization."""
        return [plain_channel(address, OPTIONS, self.tls, self.token) for address in _addresses(endpoints)]

    def aio_channels(self, endpoints: Endpoints) -> list[grpc.aio.Channel]:
        """Opens channels for asyncio, as `channels` does."""
        return [aio_channel(address, OPTIONS, self.tls, token=self.token) for address in _addresses(endpoints)]


def _addresses(endpoints: Endpoints) -> tuple[str, str, str]:
    return endpoints.training, endpoints.inference, endpoints.tokenization


class TokenFile:
    """A token in a file, which somebody else renews there, as Kubernetes does those of service accounts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._modified = -1
        self._token = ""

    def __call__(self) -> str:
        """Returns the token of now; raises OSError where the file cannot be read."""
        modified = self._path.stat().st_mtime_ns
        if modified != self._modified:
            self._token, self._modified = self._path.read_text().strip(), modified
        return self._token
