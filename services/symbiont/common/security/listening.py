"""How a server listens, with TLS or plainly, and whom it believes."""

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import grpc
from prometheus_client import Gauge

from symbiont.common.background import running
from symbiont.common.principal import Anybody, Guard
from symbiont.common.security.certificates import Certificates
from symbiont.common.security.files import Material, Renewed
from symbiont.common.security.guard import KnownCallers
from symbiont.common.security.issuer import Issuer
from symbiont.common.security.settings import SecuritySettings
from symbiont.common.security.tokens import Tokens
from symbiont.common.security.web import WebTls


class Listening:
    """What a process listens with, and whom it believes."""

    def __init__(self, settings: SecuritySettings) -> None:
        """Reads the files of the settings.

        Raises:
            FailedPrecondition: certificates cannot be read, or do not fit together.
            InvalidArgument: the file of identities does not say roles.
        """
        self._settings = settings
        self._files = Renewed(settings.served_tls) if settings.served_tls else None
        self._issuer = Issuer(settings.token_issuer, settings.token_issuer_ca) if settings.token_issuer else None
        self.guard: Guard = Anybody()
        if self._files:
            tokens = Tokens(self._issuer, settings.token_rules) if self._issuer else None
            self.guard = KnownCallers(Certificates(settings.trust_domain, settings.identities), tokens)

    def listen(self, server: grpc.aio.Server, address: str) -> int:
        """Has a server that is not started listen; returns the port of `address`."""
        if self._files is None:
            return server.add_insecure_port(address)
        if self._settings.token_address:
            server.add_secure_port(self._settings.token_address, server_credentials(self._files, mutual=False))
        return server.add_secure_port(address, server_credentials(self._files, mutual=True))

    def show_end(self, gauge: Gauge, service: str) -> None:
        """Has a gauge say when the certificate of a service ends, if there is one."""
        if files := self._files:
            gauge.labels(service).set_function(lambda: files.now().not_after)

    @property
    def web(self) -> WebTls | None:
        """What metrics are served with; None for plain HTTP."""
        if self._files is None or self._settings.metrics_tls == "off":
            return None
        return WebTls(self._files, mutual=self._settings.metrics_tls == "mutual")

    def beside(self) -> AbstractAsyncContextManager[None]:
        """Follows the issuer, if there is one."""
        return running("issuer", self._issuer.follow) if self._issuer else nullcontext()


def server_credentials(files: Renewed, *, mutual: bool) -> grpc.ServerCredentials:
    """Returns what a server listens with: each new connection gets the certificates of now.

    Args:
        mutual: whoever connects must show a certificate of the authorities in the files.
    """
    shown = files.now()

    def renewed() -> Any:
        # None leaves gRPC what it has. It puts whatever it is given in the place of what other handshakes are using at
        # that moment: with new ones for each connection, some dozens that broke off at once ended the process.
        nonlocal shown
        now = files.now()
        if now is shown:
            return None
        shown = now
        return _configuration(now, mutual)

    return grpc.dynamic_ssl_server_credentials(_configuration(shown, mutual), renewed, mutual)


def _configuration(material: Material, mutual: bool) -> grpc.ServerCertificateConfiguration:
    pair: Any = (material.key, material.certificate)
    return grpc.ssl_server_certificate_configuration([pair], material.ca if mutual else None)
