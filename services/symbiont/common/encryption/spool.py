"""A temporary file that nobody can read after the process that wrote it, which alone has its key, in memory."""

import hashlib
import io
from pathlib import Path
from typing import BinaryIO, cast

from typing_extensions import Buffer

from symbiont.common.encryption.ciphers import new_key
from symbiont.common.encryption.files import SealedReader, SealedWriter

_PLACE = "spool"


class Spool:
    """Is written once, then read as often as need be; counts and hashes what it holds.

    Args:
        path: a new file.
        sealed: whether it is encrypted.
    """

    def __init__(self, path: Path, *, sealed: bool) -> None:
        self.path = path
        self.size = 0
        self._hash = hashlib.sha256()
        self._stream = path.open("wb")
        self._key = new_key() if sealed else None
        out: BinaryIO | SealedWriter = cast("BinaryIO", self._stream)
        self._out = SealedWriter(cast("BinaryIO", self._stream), "", 0, self._key, _PLACE) if self._key else out

    def write(self, content: Buffer) -> int:
        """Adds the next bytes; returns how many."""
        self._hash.update(content)
        self._out.write(content)
        count = memoryview(content).nbytes
        self.size += count
        return count

    def close(self) -> None:
        """Ends the writing; doing so again is harmless."""
        if not self._stream.closed:
            if isinstance(self._out, SealedWriter):
                self._out.finish()
            self._stream.close()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written, in hex."""
        return self._hash.hexdigest()

    def open(self) -> BinaryIO:
        """Returns what was written, from its beginning; it ends the writing."""
        self.close()
        stream = self.path.open("rb")
        if self._key is None:
            return stream
        key = self._key
        reader = SealedReader(stream, lambda tenant, version: key, _PLACE, self.path.name)
        return cast("BinaryIO", io.BufferedReader(reader))
