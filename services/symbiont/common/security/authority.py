"""A certificate authority in a folder, for one machine or a small installation; a large one brings its own.

RFC 5280 certificates over P-256 keys, whose subject's alternative names are a SPIFFE id and the hosts it serves on.
"""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from symbiont.common.errors import FailedPrecondition
from symbiont.common.security.files import Tls
from symbiont.common.security.pem import private_key_of

AUTHORITY_DAYS = 3650
DAYS = 365
# Of its lifetime, what is left of a certificate when it is made anew.
NEAR_END = 1 / 3
# Clocks of other machines may be behind this one's.
_EARLIER = timedelta(minutes=5)
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Authority:
    """Signs certificates. Its key and all that it makes are files which only this user reads."""

    def __init__(self, folder: Path, now: datetime | None = None) -> None:
        """Reads the authority in a folder, or makes one there.

        Args:
            now: the time by which certificates begin and are near their end; by default that of the clock.

        Raises:
            FailedPrecondition: what lies there is none.
        """
        self._now = now or datetime.now(UTC)
        self._folder = folder
        if not (folder / "key.pem").exists():
            self._make()
        try:
            self._certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = private_key_of((folder / "key.pem").read_bytes())
        except (OSError, ValueError) as exc:
            raise FailedPrecondition(f"{folder} holds no authority (ca.pem and key.pem): {exc}") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise FailedPrecondition(f"the key of the authority in {folder} is not one of an elliptic curve")
        self._key = key

    def issue(self, folder: Path, identity: str, hosts: Sequence[str] = (), days: float = DAYS) -> Tls:
        """Makes a certificate and its key, in place of those that the folder may have.

        Args:
            identity: the URI in it.
            hosts: names and IP addresses that a server has; none of who only calls.

        Returns:
            the files: `ca.pem`, `certificate.pem` and `key.pem`.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.UniformResourceIdentifier(identity), *(_host(host) for host in hosts)]
        builder = (
            self._builder(_name(identity.rpartition("/")[2]), key, days)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .issuer_name(self._certificate.subject)
        )
        tls = files_in(folder)
        write_own(tls.ca, self._certificate.public_bytes(Encoding.PEM))
        write_own(folder / "key.pem", _pem(key))
        write_own(folder / "certificate.pem", builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return tls

    def is_sound(self, folder: Path) -> bool:
        """Whether a folder has a certificate of this authority that is not near its end."""
        try:
            found = x509.load_pem_x509_certificate((folder / "certificate.pem").read_bytes())
            found.verify_directly_issued_by(self._certificate)
        except Exception:  # noqa: BLE001, whatever is wrong with it, it is made anew
            return False
        life = found.not_valid_after_utc - found.not_valid_before_utc
        return found.not_valid_after_utc - self._now > life * NEAR_END

    def _make(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        # While authorities change, both are believed: which of them has signed is to be plain from the name.
        name = _name(f"Symbiont's own authority {mark.digest.hex()[:8]}")
        builder = (
            self._builder(name, key, AUTHORITY_DAYS)
            .issuer_name(name)
            .add_extension(mark, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        )
        write_own(self._folder / "ca.pem", builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        write_own(self._folder / "key.pem", _pem(key))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: float) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _EARLIER)
            .not_valid_after(self._now + timedelta(days=days))
        )


def files_in(folder: Path) -> Tls:
    """Returns the files that `Authority.issue` makes in a folder."""
    return Tls(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")


def write_own(path: Path, content: bytes) -> None:
    """Writes a file that only this user reads; a reader sees what was there before or the new one whole."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    temporary.replace(path)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
