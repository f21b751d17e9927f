"""The files by which a process shows who it is and knows others, read again when they change."""

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc
from cryptography import x509

from symbiont.common.errors import FailedPrecondition
from symbiont.common.log import get_logger
from symbiont.common.security.pem import private_key_of

# Between two looks at the files: a new certificate is used this much later at most.
LOOK_S = 1.0
CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE = "SYMBIONT_TLS_CA", "SYMBIONT_TLS_CERTIFICATE", "SYMBIONT_TLS_KEY"


@dataclass(frozen=True)
class Tls:
    """PEM files; certificate and key go together.

    Attributes:
        ca: certificates of the authorities whose word is taken on who the other side is.
        certificate: this side's own, followed by those between it and its authority.
        key: of the certificate, not encrypted.
    """

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Tls | None":
        """Returns what `SYMBIONT_TLS_CA`, `_CERTIFICATE` and `_KEY` name; None where they name no authority."""
        ca, certificate, key = (environment.get(name) for name in (CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE))
        if not ca:
            return None
        return cls(Path(ca), Path(certificate) if certificate else None, Path(key) if key else None)

    def files(self) -> list[Path]:
        """Returns the files that there are."""
        return [path for path in (self.ca, self.certificate, self.key) if path]


@dataclass(frozen=True, eq=False)
class Material:
    """What the files said when they were read; one object for as long as they do not change.

    Attributes:
        not_after: when the certificate ends, in seconds since 1970; 0 where there is none.
    """

    ca: bytes
    certificate: bytes | None
    key: bytes | None
    not_after: float

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Returns what a channel is opened with."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


def read(tls: Tls) -> Material:
    """Reads the files.

    Raises:
        FailedPrecondition: one cannot be read, is no PEM, or the key is another certificate's.
    """
    try:
        ca = tls.ca.read_bytes()
        certificate, key = (path.read_bytes() if path else None for path in (tls.certificate, tls.key))
        x509.load_pem_x509_certificates(ca)
        not_after = _check_pair(certificate, key).timestamp() if certificate and key else 0.0
    except OSError as exc:
        raise FailedPrecondition(f"{exc.filename} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        names = ", ".join(str(path) for path in tls.files())
        raise FailedPrecondition(f"{names} are no certificates with their key, as PEM: {exc}") from exc
    return Material(ca, certificate, key, not_after)


def _check_pair(certificate: bytes, key: bytes) -> datetime:
    """Returns when a certificate ends; raises ValueError where the key is not its own."""
    own = x509.load_pem_x509_certificates(certificate)[0]
    if private_key_of(key).public_key() != own.public_key():
        raise ValueError("the key is not that of the certificate")
    return own.not_valid_after_utc


class Renewed:
    """What the files say now. Safe to share between threads.

    Files that do not fit together, as while they are being written, leave what was read before.
    """

    def __init__(self, tls: Tls, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads the files; raises as `read` does."""
        self.tls = tls
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = self._stamped()
        self._material = read(tls)
        self._looked = clock()

    def now(self) -> Material:
        """Returns what they say now, as of the last second; never raises."""
        if self._clock() - self._looked >= LOOK_S:
            self._look()
        return self._material

    def _look(self) -> None:
        with self._lock:
            self._looked = self._clock()
            stamp = self._stamped()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._material = read(self.tls)
            except FailedPrecondition as exc:
                get_logger().warning("changed certificates are not used", error=str(exc))
            else:
                get_logger().info("certificates renewed", not_after=self._material.not_after)

    def _stamped(self) -> list[tuple[int, int, int] | None]:
        """Returns what changes with the files; through the links by which Kubernetes exchanges a volume's at once."""
        return [_stamp(path) for path in self.tls.files()]


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
