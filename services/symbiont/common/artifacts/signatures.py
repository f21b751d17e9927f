"""Signatures: who vouches for the bytes of a bundle, and whose word is taken.

A signature is Ed25519 (RFC 8032) over the digest of the bundle, which pins its manifest and by that every file. It is
an artifact of its own, found by the digest of the bundle and the id of the key, so that signing changes no digest and
needs no service. A private key is a PEM file (PKCS 8). Public keys that are trusted stand in one text, a line each:

    BASE64-OF-32-BYTES [TENANT]     # comment

A key without a tenant is the installation's, and speaks for everybody; one with a tenant for that tenant alone.
"""

import base64
import binascii
import hashlib
import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from symbiont.common.artifacts.backend import Backend
from symbiont.common.artifacts.layout import parse_manifest
from symbiont.common.errors import IntegrityError, InvalidArgument, NotFound
from symbiont.common.principal import current_principal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KIND = "signatures"
# The kinds that are not read before they are vouched for.
SIGNED = frozenset({"bundles"})
KEYS_VARIABLE, REQUIRE_VARIABLE = "SYMBIONT_TRUSTED_KEYS", "SYMBIONT_REQUIRE_SIGNATURES"
# A signature for this is one for nothing else that the key may ever sign.
_PURPOSE = b"symbiont/bundle/1\0"
_KEY_BYTES = 32
_REMEDY = "sign it with `symbiont bundles sign`, by a key that is trusted here"


class SigningKey:
    """A private key."""

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    @classmethod
    def make(cls, path: Path) -> Self:
        """Makes a key in a file that only its owner can read; FileExistsError where there is one already."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        private = Ed25519PrivateKey.generate()
        content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
        return cls(private)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a key; InvalidArgument where the file holds none."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        from symbiont.common.security.pem import private_key_of

        try:
            private = private_key_of(path.read_bytes())
        except OSError as exc:
            raise InvalidArgument("signing_key", f"{path} cannot be read: {exc.strerror}") from exc
        except ValueError as exc:
            raise InvalidArgument("signing_key", f"{path} is no key in PEM; make one: symbiont bundles key") from exc
        if not isinstance(private, Ed25519PrivateKey):
            raise InvalidArgument("signing_key", f"{path} is no Ed25519 key; make one: symbiont bundles key")
        return cls(private)

    def line(self, tenant: str = "") -> str:
        """Returns the line that trusts the key."""
        return f"{base64.b64encode(self.public).decode()} {tenant}".strip()

    def sign(self, digest: str) -> str:
        """Returns a signature of a bundle's digest, in base64."""
        return base64.b64encode(self._private.sign(_PURPOSE + bytes.fromhex(digest))).decode()


@dataclass(frozen=True)
class TrustedKey:
    """A public key and whom it speaks for: a tenant, or everybody where that is empty."""

    public: "Ed25519PublicKey"
    tenant: str


class Trust:
    """Whose word is taken of a bundle, and whether one that nobody vouches for is read.

    What was found of a bundle is kept for the life of the process: a key that is taken from the list counts until then.
    """

    def __init__(self, keys: Mapping[str, TrustedKey], *, required: bool) -> None:
        self._keys = keys
        self._required = required
        self._found: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, text: str, *, required: bool) -> Self:
        """Reads a list of keys.

        Raises:
            InvalidArgument: a line is no key; names the line.
        """
        lines = ((number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1))
        keys = dict(_parse(number, words) for number, words in lines if words)
        return cls(keys, required=required)

    def check(self, backend: Backend, digest: str) -> None:
        """Lets whoever calls read a bundle, or raises why not; nothing of the bundle itself is read.

        Raises:
            IntegrityError: a signature is wrong, nobody who is trusted vouches for it, or only another tenant does.
        """
        signers = self.signers(backend, digest)
        if not signers and self._required:
            raise IntegrityError(f"bundles/{digest}: nobody who is trusted has signed it; {_REMEDY}", reason="UNSIGNED")
        check_signers(digest, signers)

    def signers(self, backend: Backend, digest: str) -> frozenset[str]:
        """Returns the tenants whose keys have signed a bundle.

        Raises:
            IntegrityError: a signature is none of the bundle.
        """
        with self._lock:
            known = self._found.get(digest)
        if known is None:
            signed = (key.tenant for name, key in self._keys.items() if _is_signed(backend, digest, name, key))
            known = frozenset(signed)
        if known:
            with self._lock:
                self._found[digest] = known
        return known


def check_signers(digest: str, signers: Collection[str]) -> None:
    """Raises IntegrityError where a bundle is signed, and by none whose word counts for whoever calls."""
    tenant = current_principal().tenant
    if signers and tenant and "" not in signers and tenant not in signers:
        raise IntegrityError(f"bundles/{digest}: only another tenant's key has signed it", reason="SIGNED_BY_ANOTHER")


def key_id(public: bytes) -> str:
    """Returns the id by which signatures name a key."""
    return hashlib.sha256(public).hexdigest()[:16]


def signature_id(digest: str, key: str) -> str:
    """Returns the id of a key's signature of a bundle."""
    return f"{digest}.{key}"


def trust_of_environment() -> Trust | None:
    """Returns the trust that the environment of this process asks for; None where it asks for none."""
    named = os.environ.get(KEYS_VARIABLE, "")
    required = os.environ.get(REQUIRE_VARIABLE, "").lower() in ("1", "true", "yes", "on")
    if not named and not required:
        return None
    return Trust.parse(read_keys(Path(named)) if named else "", required=required)


def read_keys(path: Path) -> str:
    """Returns the list of trusted keys in a file; InvalidArgument where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        raise InvalidArgument("trusted_keys", f"{path} cannot be read: {exc}") from exc


def _parse(number: int, words: list[str]) -> tuple[str, TrustedKey]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = base64.b64decode(words[0], validate=True)
    except (binascii.Error, ValueError):
        public = b""
    if len(public) != _KEY_BYTES or len(words) > 2:
        problem = f"line {number} is not `BASE64-OF-{_KEY_BYTES}-BYTES [TENANT]`"
        raise InvalidArgument("trusted_keys", f"{problem}; `symbiont bundles key` prints such lines")
    return key_id(public), TrustedKey(Ed25519PublicKey.from_public_bytes(public), "".join(words[1:]))


def _is_signed(backend: Backend, digest: str, name: str, key: TrustedKey) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        stored = backend.read_tag(KIND, signature_id(digest, name))
    except NotFound:
        return False
    try:
        said = parse_manifest(KIND, stored, backend.manifest_bytes(KIND, stored))
        key.public.verify(base64.b64decode(said["signature"], validate=True), _PURPOSE + bytes.fromhex(digest))
    except (InvalidSignature, IntegrityError, NotFound, ValueError, TypeError, KeyError) as exc:
        problem = f"bundles/{digest}: the signature in the name of key {name} is not that key's for this bundle"
        raise IntegrityError(problem, reason="WRONGLY_SIGNED") from exc
    return True
