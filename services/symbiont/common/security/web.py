"""TLS of what is served over HTTP: metrics."""

import ssl
from typing import Any

from symbiont.common.security.channels import Renewing
from symbiont.common.security.files import Renewed


class WebTls:
    """Certificates of an HTTP server, renewed with their files."""

    def __init__(self, files: Renewed, *, mutual: bool) -> None:
        """`mutual`: whoever asks shows a certificate, too."""
        self._tls = files.tls
        self._mutual = mutual
        self._contexts = Renewing(files, lambda material: self._context())

    @property
    def arguments(self) -> dict[str, Any]:
        """What Prometheus' server takes."""
        ca = {"client_cafile": str(self._tls.ca), "client_auth_required": True} if self._mutual else {}
        return {"certfile": str(self._tls.certificate), "keyfile": str(self._tls.key), **ca}

    def keep_fresh(self, context: ssl.SSLContext) -> None:
        """Has each new connection of a server with this context get the certificates of now."""

        def renew(connection: Any, name: str | None, own: ssl.SSLContext) -> None:
            connection.context = self._contexts.now()

        context.sni_callback = renew

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self._tls.certificate), str(self._tls.key))
        if self._mutual:
            context.load_verify_locations(str(self._tls.ca))
            context.verify_mode = ssl.CERT_REQUIRED
        return context
