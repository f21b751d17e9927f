"""A connection to one Triton, with TLS where there are files for it; a new one when they change."""

from dataclasses import dataclass
from typing import Any

import tritonclient.grpc.aio as triton  # type: ignore[import-untyped]

from symbiont.common.security.channels import Renewing
from symbiont.common.security.files import Material, Renewed

CHANNEL: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own pause grows to two minutes; a Triton that comes back should be found at once.
    ("grpc.initial_reconnect_backoff_ms", 50),
    # The time that one attempt to connect may take; a busy machine needs more than a moment.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 500),
    # A server that comes back may have another IP; gRPC's own pause between two looks at its name is half a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
]


@dataclass(frozen=True)
class TritonTls:
    """How servers are connected to with TLS.

    Attributes:
        files: of certificates.
        server_name: the name in Triton's certificate, where the host that is connected to is none of its.
    """

    files: Renewed
    server_name: str = ""


class Connection:
    """Has the client for the next call; those of calls that run are not closed when the files change."""

    def __init__(self, url: str, tls: TritonTls | None = None) -> None:
        """Connects lazily.

        Args:
            url: host:port of Triton's gRPC service.
            tls: None for a plain connection.
        """
        self._url = url
        named = [("grpc.ssl_target_name_override", tls.server_name)] if tls and tls.server_name else []
        self._options = [*CHANNEL, *named]
        self._plain = None if tls else triton.InferenceServerClient(url, channel_args=CHANNEL)
        self._renewing: Renewing[Any] | None = Renewing(tls.files, self._open) if tls else None

    @property
    def client(self) -> triton.InferenceServerClient:
        """The client for the next call."""
        return self._renewing.now() if self._renewing else self._plain

    async def close(self) -> None:
        """Closes the connection, and those of calls that run."""
        for client in self._renewing.opened() if self._renewing else [self.client]:
            await client.close()

    def _open(self, material: Material) -> triton.InferenceServerClient:
        return triton.InferenceServerClient(self._url, creds=material.channel_credentials(), channel_args=self._options)
