"""Where the Triton servers are: one address, several, or a name that means several."""

import asyncio
import socket
from collections.abc import Collection
from dataclasses import dataclass

from symbiont.common.errors import Unavailable
from symbiont.common.settings import split_address

_SCHEME = "dns:///"


@dataclass(frozen=True)
class Addresses:
    """What a setting names.

    Attributes:
        listed: each host:port that is named, at least one; of a name to resolve that name alone.
        resolved: whether it is a name that stands for as many servers as it has IP addresses now.
    """

    listed: tuple[str, ...]
    resolved: bool = False

    @classmethod
    def parse(cls, text: str) -> "Addresses":
        """Reads `host:port`, several of them with commas between, or `dns:///name:port`.

        Raises:
            ValueError: it is none of these.
        """
        if text.startswith(_SCHEME):
            name = text.removeprefix(_SCHEME)
            split_address(name)
            return cls((name,), resolved=True)
        listed = tuple(part.strip() for part in text.split(","))
        for address in listed:
            split_address(address)
        if len(set(listed)) < len(listed):
            raise ValueError(f"{text!r} names a server twice")
        return cls(listed)

    @property
    def single(self) -> bool:
        """Whether it is one server, for good."""
        return not self.resolved and len(self.listed) == 1

    @property
    def name(self) -> str:
        """The name that certificates of the servers have, where those connected to are IP addresses; else empty."""
        return split_address(self.listed[0])[0] if self.resolved else ""

    async def now(self) -> Collection[str]:
        """Returns the host:port of every server there is now.

        Raises:
            Unavailable: the name cannot be resolved.
        """
        if not self.resolved:
            return self.listed
        host, port = split_address(self.listed[0])
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as exc:
            raise Unavailable(f"{host} cannot be resolved: {exc}") from exc
        return sorted({f"[{ip[0]}]:{port}" if ":" in str(ip[0]) else f"{ip[0]}:{port}" for *_, ip in found})
