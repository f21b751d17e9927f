"""Whether and how a store encrypts: what it and the registry need of keys, in one place."""

import base64
import io
import os
from pathlib import Path
from typing import BinaryIO, cast

from symbiont.common.encryption.ciphers import decrypt, encrypt
from symbiont.common.encryption.files import SealedReader, SealedWriter, is_sealed, read_header
from symbiont.common.encryption.keyring import Keyring, Notes
from symbiont.common.encryption.master import FORMS, open_master
from symbiont.common.encryption.spool import Spool
from symbiont.common.errors import FailedPrecondition, IntegrityError, NotFound

ENCRYPTION_VARIABLE = "SYMBIONT_ENCRYPTION"
MASTER_KEY_VARIABLE = "SYMBIONT_MASTER_KEY"
# What a text that is encrypted begins with.
TEXT_MARK = "sealed:"


class Seals:
    """Encrypts where that is on; decrypts whatever is encrypted, for as long as there is a keyring.

    Args:
        keyring: None where no master key is set.
        on: whether what is written is encrypted.
    """

    def __init__(self, keyring: Keyring | None, *, on: bool) -> None:
        self._keyring = keyring
        self.on = on

    @property
    def keyring(self) -> Keyring:
        """The keys of tenants; FailedPrecondition where no master key is set."""
        if self._keyring is None:
            problem = f"encrypted data needs its master key: set {MASTER_KEY_VARIABLE} to {FORMS}"
            raise FailedPrecondition(problem, reason="MASTER_KEY_MISSING")
        return self._keyring

    def writer(self, stream: BinaryIO, tenant: str, place: str) -> SealedWriter:
        """Returns what encrypts a file of a tenant for its place."""
        return SealedWriter(stream, tenant, *self.keyring.newest(tenant), place)

    def open(self, stream: BinaryIO, place: str, what: str, *, plain: bool = True) -> BinaryIO:
        """Returns the content of a stream, at whose beginning this looks: decrypted, or as it is where it is plain.

        Raises IntegrityError where it is plain and may not be: nothing would tell what had been put in its place.
        """
        beginning = stream.read(16)
        stream.seek(0)
        if not is_sealed(beginning):
            if not plain:
                raise IntegrityError(f"{what} is plain, and stands in the place of an encrypted one")
            return stream
        return cast("BinaryIO", io.BufferedReader(SealedReader(stream, self.keyring.key, place, what)))

    def spool(self, path: Path) -> Spool:
        """Returns a temporary file, encrypted where that is on."""
        return Spool(path, sealed=self.on)

    def seal(self, content: bytes, tenant: str) -> str:
        """Returns a tenant's bytes as a text that only the tenant's key opens: `sealed:TENANT:VERSION:BASE64`."""
        version, key = self.keyring.newest(tenant)
        context = f"{TEXT_MARK}{tenant}:{version}:"
        return context + base64.b64encode(encrypt(key, content, context.encode())).decode()

    def unseal(self, sealed: str) -> bytes:
        """Returns the bytes; errors as of `Keyring.key`, and IntegrityError where they were changed."""
        context, _, content = sealed.rpartition(":")
        tenant, _, version = context.removeprefix(TEXT_MARK).rpartition(":")
        if not version.isdigit():
            raise IntegrityError("an encrypted text was damaged")
        key = self.keyring.key(tenant, int(version))
        try:
            raw = base64.b64decode(content, validate=True)
        except ValueError as exc:
            raise IntegrityError("an encrypted text was damaged") from exc
        return decrypt(key, raw, f"{context}:".encode(), "an encrypted text")


PLAIN = Seals(None, on=False)


def tenant_of_file(path: Path) -> str | None:
    """Returns whose key a file is encrypted with; None where it is plain."""
    try:
        stream = path.open("rb")
    except OSError as exc:
        raise NotFound(f"{path.parent.parent.name}/{path.parent.name}: {path.name} cannot be read") from exc
    with stream:
        if not is_sealed(stream.read(16)):
            return None
        stream.seek(0)
        return read_header(stream, path.name).tenant


def open_seals(notes: Notes) -> Seals:
    """Returns what the environment says, with the keyring of these notes; nothing is asked before it is used.

    Raises:
        FailedPrecondition: encryption is on, and no master key is set.
        InvalidArgument: the environment names no master key.
    """
    named = os.environ.get(MASTER_KEY_VARIABLE, "")
    seals = Seals(Keyring(notes, open_master(named)) if named else None, on=is_on())
    if seals.on:
        _ = seals.keyring
    return seals


def is_on() -> bool:
    """Whether the environment has what is written encrypted."""
    return os.environ.get(ENCRYPTION_VARIABLE, "off") == "on"
