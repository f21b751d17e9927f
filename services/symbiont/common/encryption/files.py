"""A file in chunks that are authenticated one by one, so that it is read from any place, and never read wrong.

`SYMBSEAL`, four bytes of length (big-endian), a JSON header, then chunks of 64 KiB, each with a tag of 16 bytes. The
key of the file is random and is used for nothing else. The nonce of a chunk is its number and whether it is the last,
as in STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", 2015): chunks that are cut off, exchanged or repeated are found. The header is authenticated with
every chunk, and the file's key is wrapped for the place that the file has: one that stands in the place of another is
found, too.
"""

import io
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from typing_extensions import Buffer, override

from symbiont.common.encryption.ciphers import TAG_BYTES, decrypt, encrypt, new_key
from symbiont.common.errors import IntegrityError

MAGIC = b"SYMBSEAL"
CHUNK_BYTES = 1 << 16
_LENGTH = struct.Struct(">I")
_MOST_HEADER_BYTES = 4096


@dataclass(frozen=True)
class Header:
    """What stands in clear before the chunks.

    Attributes:
        tenant: whose key wraps the file's.
        version: which of the tenant's keys.
        wrapped: the file's key, in hex.
    """

    tenant: str
    version: int
    wrapped: str

    def to_bytes(self) -> bytes:
        """Returns the header as it stands in a file."""
        raw = json.dumps(vars(self), sort_keys=True, separators=(",", ":")).encode()
        return MAGIC + _LENGTH.pack(len(raw)) + raw


# (tenant, version) -> the tenant's key.
KeyOf = Callable[[str, int], bytes]


def is_sealed(beginning: bytes) -> bool:
    """Whether bytes are the beginning of an encrypted file."""
    return beginning.startswith(MAGIC)


def read_header(stream: BinaryIO, what: str) -> Header:
    """Reads the header; IntegrityError, naming `what`, where it is none."""
    start = stream.read(len(MAGIC) + _LENGTH.size)
    try:
        if not is_sealed(start):
            raise ValueError("no header")
        (length,) = _LENGTH.unpack(start[len(MAGIC) :])
        if length > _MOST_HEADER_BYTES:
            raise ValueError("a header that long is none")
        header = Header(**json.loads(stream.read(length)))
        bytes.fromhex(header.wrapped)
        if not isinstance(header.tenant, str) or type(header.version) is not int:
            raise ValueError("fields of other types")
    except (ValueError, TypeError, struct.error) as exc:
        raise IntegrityError(f"{what}: the header of the encrypted file is damaged") from exc
    return header


class SealedWriter:
    """Writes an encrypted file; without `finish` it is one that was cut off."""

    def __init__(self, stream: BinaryIO, tenant: str, version: int, tenant_key: bytes, place: str) -> None:
        """Writes the header.

        Args:
            stream: gets ciphertext; it is not closed.
            tenant, version, tenant_key: the key that wraps the file's.
            place: where the file will stand; whoever reads it must say the same.
        """
        key = new_key()
        self._stream = stream
        self._header = Header(tenant, version, encrypt(tenant_key, key, place.encode()).hex()).to_bytes()
        self._cipher = AESGCM(key)
        self._waiting = bytearray()
        self._number = 0
        stream.write(self._header)

    def write(self, content: Buffer) -> int:
        """Adds the next bytes; returns how many."""
        self._waiting += content
        # The last chunk says that it is the last, and is known only at the end.
        while len(self._waiting) > CHUNK_BYTES:
            self._put(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]
        return memoryview(content).nbytes

    def finish(self) -> None:
        """Writes the last chunk."""
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _put(self, chunk: bytes, *, last: bool) -> None:
        self._stream.write(self._cipher.encrypt(_nonce(self._number, last=last), chunk, self._header))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Reads an encrypted file from any place; closing it closes the file.

    Raises:
        IntegrityError: in every read, naming the file, where what is read is not what was written there.
    """

    def __init__(self, stream: BinaryIO, key_of: KeyOf, place: str, what: str) -> None:
        """Reads the header, and opens the file's key.

        Args:
            stream: the file, at its beginning.
            key_of: finds the key of a tenant.
            place: as it was written for.
            what: names the file in errors.
        """
        super().__init__()
        header = read_header(stream, what)
        self._stream, self._what, self._header = stream, what, header.to_bytes()
        tenant_key = key_of(header.tenant, header.version)
        self._cipher = AESGCM(decrypt(tenant_key, bytes.fromhex(header.wrapped), place.encode(), what))
        body = stream.seek(0, os.SEEK_END) - len(self._header)
        self._chunks = -(-body // (CHUNK_BYTES + TAG_BYTES))
        self.size = body - self._chunks * TAG_BYTES
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")
        # What was cut off at the end of a chunk is seen here, before anything is read.
        self._chunk(max(self._chunks - 1, 0))

    @override
    def readable(self) -> bool:
        return True

    @override
    def seekable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._position

    @override
    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = max(start + offset, 0)
        return self._position

    @override
    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        if self._position >= self.size:
            return 0
        number, start = divmod(self._position, CHUNK_BYTES)
        found = self._chunk(number)[start : start + len(view)]
        view[: len(found)] = found
        self._position += len(found)
        return len(found)

    @override
    def close(self) -> None:
        self._stream.close()
        super().close()

    def _chunk(self, number: int) -> bytes:
        if self._held[0] != number:
            self._stream.seek(len(self._header) + number * (CHUNK_BYTES + TAG_BYTES))
            sealed = self._stream.read(CHUNK_BYTES + TAG_BYTES)
            last = number == self._chunks - 1
            try:
                self._held = (number, self._cipher.decrypt(_nonce(number, last=last), sealed, self._header))
            except (InvalidTag, ValueError) as exc:
                problem = "the encrypted file was changed or cut short, or is another's"
                raise IntegrityError(f"{self._what}: {problem}") from exc
        return self._held[1]


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])
